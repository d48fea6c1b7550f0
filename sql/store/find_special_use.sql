-- The mailbox of account $1 that has special use $2, other than mailbox $3.
select name from store.mailbox where account_id = $1 and special_use = $2 and id is distinct from $3 order by id limit 1
