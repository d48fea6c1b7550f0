-- How many mailboxes account $1 has, how many of them bear the names $2, and how many it may have.
select count(*), count(*) filter (where m.name = any($2::text[])), (select a.max_mailboxes from logic.account a where a.account_id = $1)
from store.mailbox m where m.account_id = $1
