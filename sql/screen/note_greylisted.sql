-- Notes attempts: networks $1, senders $2, recipients $3, first, last and first successful attempt ($4, $5, $6, seconds since 1970).
-- Of two nodes that saw a first attempt the earlier one counts, unless it is longer ago than $7 hours.
insert into screen.greylist as g (network, sender, recipient, first_at, last_at, passed_at)
select r.network::cidr, r.sender, r.recipient, to_timestamp(r.first), to_timestamp(r.last), to_timestamp(r.passed)
from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[]) as r (network, sender, recipient, first, last, passed),
  (select set_config('synchronous_commit', 'off', true)) off
order by r.network, r.sender, r.recipient
on conflict (network, sender, recipient) do update set
  first_at = case when g.passed_at is null and g.first_at < excluded.first_at - make_interval(hours => $7::integer)
    then excluded.first_at else least(g.first_at, excluded.first_at) end,
  last_at = greatest(g.last_at, excluded.last_at),
  passed_at = coalesce(g.passed_at, excluded.passed_at)
