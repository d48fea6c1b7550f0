-- The active keys of the nearest of these domains ($1) that has any.
with k as (
  select d.name, k.selector, k.algorithm, k.private_key, dense_rank() over (order by array_position($1::text[], d.name)) as nearness
  from directory.domain d join directory.dkim_key k on k.domain_id = d.id
  where d.name = any($1::text[]) and k.state = 'active'
)
select name, selector, algorithm, private_key::text from k where nearness = 1 order by algorithm desc, selector
