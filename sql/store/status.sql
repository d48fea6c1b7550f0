-- STATUS of the mailboxes $2 of account $1, one row for each that exists.
select b.id, b.uid_next, b.uid_validity, b.highest_modseq, c.messages, c.unseen, c.deleted, c.size, c.recent, c.deleted_size
from store.mailbox b cross join lateral (
  select count(*) as messages, count(*) filter (where not m.seen) as unseen, count(*) filter (where m.deleted) as deleted,
    coalesce(sum(m.size), 0)::bigint as size, count(*) filter (where m.uid >= b.recent_uid) as recent,
    coalesce(sum(m.size) filter (where m.deleted), 0)::bigint as deleted_size
  from store.message m where m.account_id = $1 and m.mailbox_id = b.id
) c
where b.account_id = $1 and b.id = any($2::bigint[])
