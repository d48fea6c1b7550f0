-- Keeps the previews $2 of the contents $1. One that is lost is made again, so that nobody waits for the disk.
with off as (
  select set_config('synchronous_commit', 'off', true)
)
update store.content c set preview = p.preview
from off, unnest($1::bigint[], $2::text[]) as p (content_id, preview)
where c.id = p.content_id and c.preview is null
