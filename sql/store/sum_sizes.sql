-- The bytes of the messages $3 in mailbox $2 of account $1.
select coalesce(sum(size), 0)::bigint from store.message
where account_id = $1 and mailbox_id = $2 and uid = any($3::bigint[])
