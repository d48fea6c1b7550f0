-- How many mailboxes account $1 has, and how many of them bear the names $2.
select count(*), count(*) filter (where name = any($2::text[])) from store.mailbox where account_id = $1
