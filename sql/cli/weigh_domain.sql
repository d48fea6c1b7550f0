-- What would be lost with domain $1: accounts, aliases, messages, bytes. No row: there is no such domain.
select (select count(*) from directory.account a where a.domain_id = d.id),
  (select count(*) from directory.alias a where a.domain_id = d.id),
  coalesce(u.messages, 0)::bigint, coalesce(u.bytes, 0)::bigint
from directory.domain d
cross join lateral (
  select sum(u.messages) as messages, sum(u.bytes) as bytes
  from directory.account a join store.usage u on u.account_id = a.id where a.domain_id = d.id
) u
where d.name = $1
