-- Chunks of a batch; those of contents that were stored already are not stored again.
insert into store.content_chunk (content_id, start, size, codec, bytes)
select content_id, start, size, codec, bytes
from unnest($1::bigint[], $2::bigint[], $3::integer[], $4::smallint[], $5::bytea[]) as c (content_id, start, size, codec, bytes)
where exists (select 1 from store.content where id = content_id)
