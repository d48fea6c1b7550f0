-- The servers of the domains $1 can be reached again.
update queue.destination set down_until = null, failures = 0, down_reason = null where domain = any($1::text[]) and failures > 0
