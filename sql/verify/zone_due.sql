-- Domains whose DNS records are to be looked for: never looked for, wanted since, or last looked for $1 hours ago (0: only when
-- wanted); $2 at most, those that wait longest first.
select d.id, d.name
from directory.domain d left join directory.dns_check c on c.domain_id = d.id
where d.active and (c.checked_at is null and ($1::integer > 0 or c.wanted_at is not null) or c.wanted_at > c.checked_at
  or $1::integer > 0 and c.checked_at < now() - make_interval(hours => $1::integer))
order by c.checked_at nulls first, d.id limit $2::bigint
