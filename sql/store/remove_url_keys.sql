-- Removes the keys that account $1 signs URLs with: that of mailbox $2, or all where that is null.
delete from store.url_key where account_id = $1 and (mailbox_id = $2::bigint or $2::bigint is null)
