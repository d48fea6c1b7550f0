-- Internal date and size of the messages with UIDs from $3 to $4 in mailbox $2 of account $1, in UID order.
select uid, internal_date, zone_minutes, size from store.message
where account_id = $1 and mailbox_id = $2 and uid between $3 and $4 order by uid
