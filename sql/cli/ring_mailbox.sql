-- Tells the nodes that mailbox $2 of account $1 has news.
select logic.ring_mailbox($1::bigint, $2::bigint)
