-- The annotations of the mailboxes of accounts $1, and of the server (account 0), that account $2 can see: private ones of its
-- own and shared ones. The last column is another one when the value is.
select account_id, mailbox_id, user_id <> 0, entry, hashtextextended(encode(value, 'hex'), 0)
from store.metadata where account_id = any($1::bigint[]) and user_id in (0, $2)
