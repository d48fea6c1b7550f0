-- The key that account $1 signs URLs of mailbox $2 with: $3, where it has none yet. What is there is written again, so that it is
-- returned.
insert into store.url_key as k (account_id, mailbox_id, key) values ($1, $2, $3)
on conflict (account_id, mailbox_id) do update set key = k.key
returning key
