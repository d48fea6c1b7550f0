-- Unsubscribes account $1 from name $2.
delete from store.subscription where account_id = $1 and name = $2
