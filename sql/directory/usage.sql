-- What account $1 keeps now: bytes and messages.
select bytes, messages from store.usage where account_id = $1
