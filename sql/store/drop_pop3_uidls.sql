-- Takes away the imported POP3 unique ids of the messages $3 in mailbox $2 of account $1. No client but those of POP3 sees
-- them, so that nothing is counted up.
update store.message set pop3_uidl = null where account_id = $1 and mailbox_id = $2 and uid = any($3::bigint[])
