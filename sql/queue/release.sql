-- Gives back what node $1 had leased before it was started again. Reads the whole queue, once.
with released as (
  update queue.recipient set leased_by = null, leased_until = null where leased_by = $1 returning domain
), domains as (
  select array_agg(distinct domain) as all_of_them, count(distinct domain)::integer as n from released
)
select logic.look_at_destinations(all_of_them, array_fill(now(), array[n])) from domains where n > 0
