-- Enters node $1 with boot id $2, version $3 and applied generation $4; what an earlier run left behind goes.
with sessions as (delete from live.session where node = $1),
  services as (delete from live.service_status where node = $1),
  listeners as (delete from live.listener_status where node = $1)
insert into live.node (name, boot, version, applied_generation) values ($1, $2::text::uuid, $3, $4)
on conflict (name) do update set boot = excluded.boot, version = excluded.version, started_at = now(), seen_at = now(),
  applied_generation = excluded.applied_generation, error = null
