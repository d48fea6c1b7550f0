-- Queues the messages of a batch for other servers: content by digest ($1), envelope ($2 to $14), its name in the trace ($25), and a row for each recipient
-- ($15 which message, $16 address, $17 domain, $18 notify, $19 original), leased to node $21 for $22 seconds where $20 says so. For
-- the others, somebody is to look at the domains $23 from $24 on. Returns message, content and recipient, in the order given.
with m as materialized (
  select nextval('queue.message_id_seq') as id, c.id as content_id, coalesce(octet_length(v.prefix), 0) + c.size as size, v.*
  from unnest($1::bytea[], $2::bytea[], $3::text[], $4::bigint[], $5::text[], $6::boolean[], $7::boolean[], $8::text[], $9::boolean[],
      $10::smallint[], $11::timestamptz[], $12::boolean[], $13::boolean[], $14::timestamptz[], $25::text[])
    with ordinality as v (digest, prefix, sender, account_id, envelope_id, return_full, smtputf8, body_type, require_tls,
      priority, deliver_by, deliver_by_return, deliver_by_trace, hold_until, trace, place)
  join store.content c on c.digest = v.digest
), inserted as (
  insert into queue.message (id, content_id, prefix, size, sender, account_id, envelope_id, return_full, smtputf8, body_type,
    require_tls, priority, deliver_by, deliver_by_return, deliver_by_trace, trace)
  select id, content_id, prefix, size, sender, account_id, envelope_id, return_full, smtputf8, body_type,
    require_tls, priority, deliver_by, deliver_by_return, deliver_by_trace, trace from m
), r as materialized (
  select nextval('queue.recipient_id_seq') as id, v.*
  from unnest($15::bigint[], $16::text[], $17::text[], $18::text[], $19::text[], $20::boolean[])
    with ordinality as v (message, address, domain, notify, original, leased, place)
), addressed as (
  insert into queue.recipient (id, message_id, address, domain, notify, original_recipient, next_attempt_at, leased_by, leased_until)
  select r.id, m.id, r.address, r.domain, string_to_array(r.notify, ','), r.original, coalesce(m.hold_until, now()),
    case when r.leased then $21::text end, case when r.leased then now() + make_interval(secs => $22) end
  from r join m on m.place = r.message
), looked as (
  select logic.look_at_destinations($23::text[], array(select coalesce(t, now()) from unnest($24::timestamptz[]) with ordinality as v (t, place) order by place))
  where cardinality($23::text[]) > 0
)
select m.id, m.content_id, r.id, (select count(*) from looked) from r join m on m.place = r.message order by r.place
