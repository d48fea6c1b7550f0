-- Number, size and imported POP3 unique id of all messages of mailbox $2 of account $1, in UID order.
select uid, size, pop3_uidl from store.message where account_id = $1 and mailbox_id = $2 order by uid
