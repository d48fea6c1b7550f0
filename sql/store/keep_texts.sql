-- Puts texts into the index: contents $2, why left out $3, fields $4, signatures $5, texts $6, all in form $1. A lost one is
-- made again, so that nobody waits for the disk.
with off as (
  select set_config('synchronous_commit', 'off', true)
)
insert into store.text (content_id, version, left_out, fields, signature, text)
select t.content_id, $1, t.left_out, t.fields, t.signature, t.text
from off, unnest($2::bigint[], $3::text[], $4::bytea[], $5::bytea[], $6::bytea[]) as t (content_id, left_out, fields, signature, text)
where exists (select 1 from store.content c where c.id = t.content_id)
on conflict (content_id) do update set version = excluded.version, left_out = excluded.left_out, indexed_at = now(),
  fields = excluded.fields, signature = excluded.signature, text = excluded.text
