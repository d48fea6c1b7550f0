-- STATUS of mailbox $2 of account $1.
select b.uid_next, b.uid_validity, b.highest_modseq, b.recent_uid,
  count(m.uid), count(m.uid) filter (where not m.seen), count(m.uid) filter (where m.deleted), coalesce(sum(m.size), 0)::bigint,
  count(m.uid) filter (where m.uid >= b.recent_uid)
from store.mailbox b left join store.message m on m.account_id = b.account_id and m.mailbox_id = b.id
where b.account_id = $1 and b.id = $2 group by b.account_id, b.id
