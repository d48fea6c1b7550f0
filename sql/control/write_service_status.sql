-- The state of all services ($2 names, $3 states, $4 errors) and listeners ($5 ids, $6 services, $7 addresses, $8 ports, $9 errors)
-- of node $1; what is not named any more goes.
with s as (
  select * from unnest($2::text[], $3::text[], $4::text[]) as s (service, state, error)
), l as (
  select * from unnest($5::bigint[], $6::text[], $7::text[], $8::integer[], $9::text[]) as l (listener_id, service, address, port, error)
), old_services as (
  delete from live.service_status t where t.node = $1 and not exists (select 1 from s where s.service = t.service)
), old_listeners as (
  delete from live.listener_status t where t.node = $1 and not exists (select 1 from l where l.listener_id = t.listener_id)
), services as (
  insert into live.service_status as t (node, service, state, error) select $1, service, state, error from s
  on conflict (node, service) do update set state = excluded.state, error = excluded.error,
    since = case when t.state = excluded.state then t.since else now() end
)
insert into live.listener_status (node, listener_id, service, address, port, state, error)
select $1, listener_id, service, address, port, case when error is null then 'open' else 'failed' end, error from l
on conflict (node, listener_id) do update set service = excluded.service, address = excluded.address, port = excluded.port,
  state = excluded.state, error = excluded.error
