-- How many mailboxes account $1 has.
select count(*) from store.mailbox where account_id = $1
