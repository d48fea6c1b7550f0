-- What account $1 keeps now.
select bytes from store.usage where account_id = $1
