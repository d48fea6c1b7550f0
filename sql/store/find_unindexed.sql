-- Of the $2 newest contents below id $1: how many there are, the lowest of them, and those without text in form $3 or a
-- newer one, the newest first.
with looked as (
  select id from store.content where id < $1 order by id desc limit $2
)
select count(*), coalesce(min(id), 0), coalesce(array_agg(id order by id desc) filter (
  where not exists (select 1 from store.text t where t.content_id = looked.id and t.version >= $3)), '{}')
from looked
