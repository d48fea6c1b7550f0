-- Locks the mailboxes of a batch in key order, so that two nodes never wait for each other.
select 1 from store.mailbox
where (account_id, id) in (select * from unnest($1::bigint[], $2::bigint[]))
order by account_id, id for no key update
