-- Of the messages $1, those without recipients leave the queue; their contents may have lost their last reference.
with gone as (
  delete from queue.message m where m.id = any($1::bigint[])
    and not exists (select 1 from queue.recipient r where r.message_id = m.id)
  returning m.content_id
)
insert into store.orphan (content_id) select distinct content_id from gone on conflict do nothing
