-- What became of attempts to deliver, made by node $1; they are counted in the same statement. Only this node's committer writes these
-- rows of log.mail_count and log.destination_count, so it waits for nobody.
with v as materialized (
  select v.*, now() as at
  from unnest($2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::text[], $9::integer[], $10::text[], $11::text[],
    $12::text[], $13::text[], $14::integer[])
    as v (message_id, recipient, sender, account_id, content_id, size, outcome, attempt, host, address, tls, reply, milliseconds)
), kept as (
  insert into queue.attempt (node, message_id, recipient, sender, account_id, content_id, size, outcome, attempt, host, address, tls, reply,
    milliseconds)
  select $1, message_id, recipient, sender, account_id, content_id, size, outcome, attempt, host, address::inet, tls, reply, milliseconds
  from v
), counted as (
  insert into log.mail_count as t (span, at, node, step, count, bytes, milliseconds)
  select s.span, date_trunc(s.span, v.at, 'UTC'), $1, v.outcome, count(*), sum(v.size), sum(v.milliseconds)
  from v cross join unnest('{minute,hour,day}'::text[]) s (span)
  group by 1, 2, 4 order by 1, 2, 4
  on conflict (span, at, node, step) do update set count = t.count + excluded.count, bytes = t.bytes + excluded.bytes,
    milliseconds = t.milliseconds + excluded.milliseconds
)
insert into log.destination_count as t (span, at, domain, node, attempts, delivered, delayed, failed, milliseconds, longest)
select s.span, date_trunc(s.span, v.at, 'UTC'), lower(split_part(v.recipient, '@', -1)), $1, count(*),
  count(*) filter (where v.outcome = 'delivered'), count(*) filter (where v.outcome = 'delayed'),
  count(*) filter (where v.outcome in ('failed', 'expired')), sum(v.milliseconds), max(v.milliseconds)
from v cross join unnest('{hour,day}'::text[]) s (span)
group by 1, 2, 3 order by 1, 2, 3
on conflict (span, at, domain, node) do update set attempts = t.attempts + excluded.attempts, delivered = t.delivered + excluded.delivered,
  delayed = t.delayed + excluded.delayed, failed = t.failed + excluded.failed, milliseconds = t.milliseconds + excluded.milliseconds,
  longest = greatest(t.longest, excluded.longest)
