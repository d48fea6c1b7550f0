-- The key that account $1 signs URLs of mailbox $2 with.
select key from store.url_key where account_id = $1 and mailbox_id = $2
