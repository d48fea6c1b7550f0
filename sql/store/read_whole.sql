-- All chunks of the contents $1, in order; for contents known to be small.
select content_id, start, size, codec, bytes from store.content_chunk
where content_id = any($1::bigint[]) order by content_id, start
