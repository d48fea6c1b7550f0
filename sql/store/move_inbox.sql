-- RENAME INBOX (RFC 9051, 6.3.6): its messages go to mailbox $3 of account $1, INBOX ($2) stays, empty.
update store.message set mailbox_id = $3 where account_id = $1 and mailbox_id = $2
