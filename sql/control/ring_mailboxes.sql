-- Tells the other nodes of mailboxes with news, outside of any delivery, and without waiting for a flush: a notifying
-- transaction holds a lock over its commit that all others of its kind wait for.
select set_config('synchronous_commit', 'off', true), pg_notify('store', mailbox) from unnest($1::text[]) mailbox
