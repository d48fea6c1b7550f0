-- Messages of a batch, into mailboxes that do not exist: the content's id serves as UID.
insert into store.message (account_id, mailbox_id, uid, content_id, internal_date, modseq, size, prefix)
select account, 1, id, id, now(), 1, size, prefix
from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bytea[]) as m (id, account, size, prefix)
