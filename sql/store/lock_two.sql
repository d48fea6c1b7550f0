-- Locks mailbox $2 of account $1 and mailbox $4 of account $3 in key order, before messages move between them.
select id from store.mailbox where account_id = $1 and id = $2 or account_id = $3 and id = $4
order by account_id, id for no key update
