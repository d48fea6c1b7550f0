-- A sign of life of node $1 with boot id $2. Returns the generations to obey, whether the node is registered, and how many
-- other nodes are alive.
with beat as (
  update live.node set seen_at = now() where name = $1 and boot = $2::text::uuid returning 1
)
select value, config, exists (select 1 from beat),
  (select count(*) from live.node where name <> $1 and seen_at > now() - interval '15 seconds') from control.generation
