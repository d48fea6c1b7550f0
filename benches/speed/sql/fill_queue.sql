-- Recipients $1 to $2 in the queue, ten to a domain, half of them due; one message each. Their destinations are looked at now.
with m as (
  insert into queue.message (id, content_id, size, sender) select n, 0, 10240, 'alice@example.test' from generate_series($1::bigint, $2) n
), r as (
  insert into queue.recipient (message_id, address, domain, next_attempt_at)
  select n, 'u@d' || n / 10 || '.test', 'd' || n / 10 || '.test', now() + case when n % 2 = 0 then interval '-1 hour' else interval '1 day' end
  from generate_series($1::bigint, $2) n
)
insert into queue.destination (domain, look_at) select distinct 'd' || n / 10 || '.test', now() from generate_series($1::bigint, $2) n
on conflict do nothing
