-- Keeps a chunk of a message that is still coming in; the collector removes it if the message never arrives.
with noted as (insert into store.orphan (content_id) values ($1) on conflict do nothing),
  off as (select set_config('synchronous_commit', 'off', true))
insert into store.content_chunk (content_id, start, size, codec, bytes) select $1, $2, $3, $4, $5 from off
