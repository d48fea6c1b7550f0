-- Chunks of a batch, one for each content.
insert into store.content_chunk (content_id, start, size, codec, bytes)
select id, 0, size, codec, bytes from unnest($1::bigint[], $2::integer[], $3::smallint[], $4::bytea[]) as c (id, size, codec, bytes)
