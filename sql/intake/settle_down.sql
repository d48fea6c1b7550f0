-- None of the servers of the domains $1 could be reached, because of $2: nothing of them is tried for $3 seconds.
insert into queue.destination as x (domain, look_at, down_until, failures, down_reason)
select v.domain, now(), now() + make_interval(secs => v.wait), 1, v.reason
from unnest($1::text[], $2::text[], $3::double precision[]) as v (domain, reason, wait) order by v.domain
on conflict (domain) do update set down_until = excluded.down_until, failures = x.failures + 1, down_reason = excluded.down_reason
