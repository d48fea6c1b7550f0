-- The mailbox of account $1 with name $2.
select m.name, m.id, m.uid_validity, m.uid_next, m.recent_uid, m.highest_modseq, m.special_use,
  exists (select 1 from store.subscription s where s.account_id = $1 and s.name = $2)
from store.mailbox m where m.account_id = $1 and m.name = $2
