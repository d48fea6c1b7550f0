-- Internal date and size of the messages $3 in mailbox $2 of account $1, in UID order: from their rows alone.
select uid, internal_date, zone_minutes, size from store.message
where account_id = $1 and mailbox_id = $2 and uid = any($3::bigint[]) order by uid
