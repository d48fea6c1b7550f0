-- All mailboxes of account $1 and all names it has subscribed to; id is null for a name without mailbox.
select coalesce(m.name, s.name), m.id, m.uid_validity, m.uid_next, m.recent_uid, m.highest_modseq, m.special_use, s.name is not null
from (select * from store.mailbox where account_id = $1) m
full join (select * from store.subscription where account_id = $1) s on s.name = m.name
order by 1
