-- Locks mailboxes $2 and $3 of account $1 in key order, before messages move between them.
select id from store.mailbox where account_id = $1 and id in ($2, $3) order by id for no key update
