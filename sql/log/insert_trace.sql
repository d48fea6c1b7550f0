-- Writes a batch of the trace of node $1, and counts it; of some rows ($17 false) nothing is kept but that they are counted. One
-- statement, so that what is counted is what is there, whatever happens; only this node writes these rows of log.mail_count. What a crash
-- of the database would take along is the last half second of both, never mail, so the commit need not wait for the disk.
with v as materialized (
  select v.*
  from unnest($2::timestamptz[], $3::text[], $4::text[], $5::bigint[], $6::inet[], $7::bigint[], $8::text[], $9::text[], $10::text[],
      $11::bigint[], $12::text[], $13::bigint[], $14::bigint[], $15::bigint[], $16::text[], $17::boolean[])
      with ordinality as v (at, message, step, session_id, peer, account_id, command, sender, recipient, size, message_id,
        mailbox_id, uid, queue_id, reply, kept, place),
    (select set_config('synchronous_commit', 'off', true)) off
), kept as (
  insert into log.trace (node, at, message, step, session_id, peer, account_id, command, sender, recipient, size, message_id,
    mailbox_id, uid, queue_id, reply)
  select $1, v.at, v.message, v.step::log.step, v.session_id, v.peer, v.account_id, v.command, v.sender, v.recipient, v.size, v.message_id,
    v.mailbox_id, v.uid, v.queue_id, v.reply
  from v where v.kept order by v.place
), minutes as (
  -- The sender stands in the first row of a message.
  select date_trunc('minute', v.at, 'UTC') as at, v.step, count(*) as count, count(v.sender) filter (where v.step = 'accepted') as messages,
    count(v.account_id) filter (where v.step = 'accepted' and v.sender is not null) as submitted, coalesce(sum(v.size), 0) as bytes
  from v group by 1, 2
), counted as (
  insert into log.mail_count as t (span, at, node, step, count, messages, submitted, bytes)
  select s.span, date_trunc(s.span, m.at, 'UTC'), $1, m.step, sum(m.count), sum(m.messages), sum(m.submitted), sum(m.bytes)
  from minutes m cross join unnest('{minute,hour,day}'::text[]) s (span)
  group by 1, 2, 4 order by 1, 2, 4
  on conflict (span, at, node, step) do update set count = t.count + excluded.count, messages = t.messages + excluded.messages,
    submitted = t.submitted + excluded.submitted, bytes = t.bytes + excluded.bytes
)
insert into log.domain_count as t (day, domain_id, node, step, count, bytes)
select (v.at at time zone 'UTC')::date, a.domain_id, $1, case v.step when 'placed' then 'placed' else 'submitted' end, count(*),
  coalesce(sum(v.size), 0)
from v join directory.account a on a.id = v.account_id
where v.step = 'placed' or v.step = 'accepted' and v.sender is not null
group by 1, 2, 4 order by 1, 2, 4
on conflict (day, domain_id, node, step) do update set count = t.count + excluded.count, bytes = t.bytes + excluded.bytes
