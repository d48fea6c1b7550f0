-- All aliases, of domain $1 if it is not null, each as one JSON value.
select to_jsonb(x) from (
  select a.local_part, d.name as domain, a.targets, a.active and d.active as active, a.authenticated_only
  from directory.alias a join directory.domain d on d.id = a.domain_id
  where $1::text is null or d.name = $1
) x order by x.domain, x.local_part
