-- The Junk mailboxes of these accounts ($1).
select account_id, min(id) from store.mailbox where account_id = any($1::bigint[]) and special_use = '\Junk' group by account_id
