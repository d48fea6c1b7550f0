-- Adds senders that have passed ($2) to networks $1, at times $3 (seconds since 1970).
insert into screen.greylist_network as n (network, passed, last_at)
select r.network::cidr, r.passed, to_timestamp(r.last)
from unnest($1::text[], $2::integer[], $3::bigint[]) as r (network, passed, last),
  (select set_config('synchronous_commit', 'off', true)) off
order by r.network
on conflict (network) do update set passed = n.passed + excluded.passed, last_at = greatest(n.last_at, excluded.last_at)
