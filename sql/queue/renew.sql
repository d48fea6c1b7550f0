-- Renews the leases of recipients $1, which node $2 holds, for $3 seconds; returns those that it still holds.
update queue.recipient set leased_until = now() + make_interval(secs => $3)
where id = any($1::bigint[]) and leased_by = $2 and state = 'waiting' returning id
