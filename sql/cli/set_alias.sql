-- Changes alias $1 of domain $2; null leaves a column as it is: $3 targets, $4 only for users who have logged in, $5 active.
update directory.alias a set
  targets = coalesce($3::text[], targets),
  authenticated_only = coalesce($4::boolean, authenticated_only),
  active = coalesce($5::boolean, a.active)
from directory.domain d where d.id = a.domain_id and a.local_part = $1 and d.name = $2
