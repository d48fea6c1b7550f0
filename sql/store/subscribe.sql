-- Subscribes account $1 to name $2.
insert into store.subscription (account_id, name) values ($1, $2) on conflict do nothing
