-- Node $1 (boot id $2) stops: nothing of it is running any more.
with n as (delete from live.node where name = $1 and boot = $2::text::uuid returning 1),
  s as (delete from live.session where node = $1 and exists (select 1 from n)),
  l as (delete from live.listener_status where node = $1 and exists (select 1 from n))
delete from live.service_status where node = $1 and exists (select 1 from n)
