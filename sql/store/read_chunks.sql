-- The chunks of content $1 that hold bytes $2 to $3 (exclusive), at most 4 of them.
select start, size, codec, bytes from store.content_chunk
where content_id = $1 and start < $3 and start + size > $2 and start >= coalesce(
  (select max(start) from store.content_chunk where content_id = $1 and start <= $2), 0)
order by start limit 4
