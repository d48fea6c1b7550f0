-- Gives mailbox $2 of account $1 the special use $3, or none.
update store.mailbox set special_use = $3 where account_id = $1 and id = $2
