-- What became of messages, for people: the trace and the attempts that follow it, as one story.

create view report.trace as
select t.at, t.message, t.step::text as step, t.command, t.sender, t.recipient, t.reply, host(t.peer) as peer, null::text as host,
  a.address as account, b.name as mailbox, t.uid, t.size, t.message_id as header_message_id, t.queue_id, t.session_id, t.node,
  t.id as trace_id
from log.trace t
left join logic.account a on a.account_id = t.account_id
left join store.mailbox b on b.account_id = t.account_id and b.id = t.mailbox_id
-- An attempt says so already.
where t.step::text <> 'cancelled'
union all
select a.at, t.message, a.outcome, null, null, a.recipient, a.reply, host(a.address), a.host,
  null, null, null, a.size, null, a.message_id, null, a.node, null
from queue.attempt a
left join log.trace t on t.queue_id = a.message_id and t.recipient = a.recipient and t.step = 'queued';
comment on view report.trace is 'What became of messages, step by step: accepted or refused, placed in a mailbox, queued, and each attempt to deliver (delivered, delayed, failed, expired, cancelled), held, released or retried by somebody, reported to the sender. All steps of one message bear the same message; order by at, trace_id';
comment on column report.trace.step is 'What happened: see the table in docs/administer.md';
comment on column report.trace.recipient is 'For whom';
comment on column report.trace.reply is 'What was said, here or by the other server';
comment on column report.trace.peer is 'Address of the client, or of the server that it was delivered to';
comment on column report.trace.host is 'Name of the server that it was delivered to';
comment on column report.trace.account is 'Who submitted it; where it was placed: whose mailbox it is';
comment on column report.trace.mailbox is 'The mailbox it was placed in';
comment on column report.trace.header_message_id is 'Its Message-ID, in the first row';
comment on column report.trace.trace_id is 'The row of log.trace; empty = an attempt of queue.attempt';
select logic.take_comments('report.trace', 'log.trace');

-- What log.trace calls the messages that were so, the newest first: by whichever index leads to the fewest of them.
create function logic.find_messages(sender text, recipient text, message_id text, peer inet, since timestamptz, until timestamptz, most integer)
returns text[] language plpgsql stable set plan_cache_mode = force_custom_plan as $$
begin
  if num_nonnulls(find_messages.sender, find_messages.recipient, find_messages.message_id, find_messages.peer) = 0 then
    raise exception 'whose messages? Give a sender, a recipient, a message_id or a peer' using errcode = 'invalid_parameter_value';
  end if;
  return array(
    select m.message from (
      select t.message, max(t.id) as last from log.trace t
      where t.at >= since and t.at < until
        and case
          when find_messages.message_id is not null then t.message_id in (find_messages.message_id, '<' || find_messages.message_id || '>')
          when find_messages.recipient is not null then lower(t.recipient) = lower(find_messages.recipient)
          when find_messages.sender is not null then lower(t.sender) = lower(find_messages.sender)
          else t.peer = find_messages.peer end
      group by t.message
    ) m
    where (find_messages.recipient is null or exists (
        select from log.trace t where t.message = m.message and lower(t.recipient) = lower(find_messages.recipient)))
      and (find_messages.sender is null or exists (
        select from log.trace t where t.message = m.message and lower(t.sender) = lower(find_messages.sender)))
      and (find_messages.peer is null or exists (select from log.trace t where t.message = m.message and t.peer = find_messages.peer))
    order by m.last desc limit most);
end $$;

-- The messages come first; then all that is known of these. Without that the planner would read every attempt.
create function report.find_trace(sender text default null, recipient text default null, message_id text default null, peer inet default null,
  since timestamptz default '-infinity', until timestamptz default 'infinity', most integer default 100)
returns setof report.trace language sql stable set plan_cache_mode = force_custom_plan
begin atomic
  -- Parsed here, so that roles which may not look into schema logic can call it.
  select r.* from report.trace r
  where r.message = any ((select logic.find_messages(find_trace.sender, find_trace.recipient, find_trace.message_id, find_trace.peer,
    find_trace.since, find_trace.until, find_trace.most))::text[])
  order by min(r.at) over (partition by r.message), r.message, r.at, r.trace_id;
end;
comment on function report.find_trace(text, text, text, inet, timestamptz, timestamptz, integer) is
  'What became of messages by sender, recipient, Message-ID or peer (together: all of them must be so), the newest 100 messages of that time or as many as most says; each message from its beginning to its end';
