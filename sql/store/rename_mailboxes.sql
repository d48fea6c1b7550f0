-- Renames mailbox $2 of account $1 and all below it to $3.
update store.mailbox set name = $3::text || substring(name from length($2::text) + 1)
where account_id = $1 and (name = $2::text or starts_with(name, $2::text || '/'))
