-- The values of entries $2 of the server that account $1 may use: its own, and those shared by all, which come first so that its
-- own take their place (RFC 5466, 3.2).
select entry, value from store.metadata
where account_id = 0 and mailbox_id = 0 and user_id in (0, $1) and entry = any($2::text[]) order by user_id
