-- STATUS of mailboxes, each with its owner ($1) and id ($2), one row for each that exists.
select b.id, b.uid_next, b.uid_validity, b.highest_modseq, c.messages, c.unseen, c.deleted, c.size, c.recent, c.deleted_size
from unnest($1::bigint[], $2::bigint[]) w (account_id, id)
join store.mailbox b on b.account_id = w.account_id and b.id = w.id
cross join lateral (
  select count(*) as messages, count(*) filter (where not m.seen) as unseen, count(*) filter (where m.deleted) as deleted,
    coalesce(sum(m.size), 0)::bigint as size, count(*) filter (where m.uid >= b.recent_uid) as recent,
    coalesce(sum(m.size) filter (where m.deleted), 0)::bigint as deleted_size
  from store.message m where m.account_id = b.account_id and m.mailbox_id = b.id
) c
