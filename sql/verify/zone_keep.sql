-- Keeps what was found of domain $1: places $2, names $3, types $4, contents $5, needs $6, states $7, what is there instead $8. A domain that
-- is not there any more is left alone.
with d as materialized (select id from directory.domain where id = $1 for key share),
  seen as (
    insert into directory.dns_check (domain_id, checked_at) select id, now() from d
    on conflict (domain_id) do update set checked_at = excluded.checked_at
  ), gone as (
    delete from directory.dns_record r using d where r.domain_id = d.id and r.place > cardinality($2::integer[])
  )
insert into directory.dns_record as r (domain_id, place, name, type, content, need, state, found)
select d.id, v.place, v.name, v.type, v.content, v.need::directory.dns_need, v.state::directory.dns_state, v.found
from d, unnest($2::integer[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
  as v (place, name, type, content, need, state, found)
on conflict (domain_id, place) do update set name = excluded.name, type = excluded.type, content = excluded.content, need = excluded.need,
  state = excluded.state, found = excluded.found, checked_at = now()
