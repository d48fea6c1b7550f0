-- Removes the chunks of a message that did not arrive.
with gone as (delete from store.content_chunk where content_id = $1)
delete from store.orphan where content_id = $1
