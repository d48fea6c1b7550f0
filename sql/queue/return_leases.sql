-- Gives back the recipients $1, which node $2 had leased and did not try.
with released as (
  update queue.recipient set leased_by = null, leased_until = null where id = any($1::bigint[]) and leased_by = $2 returning domain
), domains as (
  select array_agg(distinct domain) as all_of_them, count(distinct domain)::integer as n from released
)
select logic.look_at_destinations(all_of_them, array_fill(now(), array[n])) from domains where n > 0
