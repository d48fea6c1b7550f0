-- The queue as the daemon works it, and the functions that people call. A destination's row is locked while its
-- recipients are claimed and while its next look is set, and whoever adds work for it does so under the same lock: so no
-- recipient can become due unseen.

-- Takes what is due: of at most `destinations` domains that are not in `busy`, at most `each` recipients, for `lease`.
create function logic.claim_due(node text, lease interval, destinations integer, each integer, busy text[])
returns table (recipient_id bigint, message_id bigint, address text, domain text, attempts integer, notify text[],
  original_recipient text, delay_reported boolean, failures integer,
  content_id bigint, content_size bigint, prefix bytea, size bigint, sender text, account_id bigint, received_at timestamptz,
  envelope_id text, return_full boolean, smtputf8 boolean, body_type text, require_tls boolean, priority smallint,
  deliver_by timestamptz, deliver_by_return boolean, deliver_by_trace boolean, trace text)
language plpgsql as $$
#variable_conflict use_column
declare
  due text[];
  taken bigint[];
begin
  select array_agg(d.domain) into due from (
    select x.domain from queue.destination x
    where x.look_at <= now() and (x.down_until is null or x.down_until <= now()) and x.domain <> all (busy)
    order by x.look_at limit destinations for update skip locked) d;
  if due is null then return; end if;

  -- A statement of its own: it sees what was committed before the locks were had.
  with picked as (
    select r.id from unnest(due) d (domain) cross join lateral (
      select q.id from queue.recipient q
      where q.state = 'waiting' and q.domain = d.domain and q.next_attempt_at <= now()
        and (q.leased_until is null or q.leased_until <= now())
      order by q.next_attempt_at limit each for update skip locked) r
  ), claimed as (
    update queue.recipient q set leased_by = claim_due.node, leased_until = now() + lease from picked p where q.id = p.id
    returning q.id
  )
  select coalesce(array_agg(id), '{}') into taken from claimed;

  -- When to look next: at once where there may be more, else when the next one is due or a lease ends; never where
  -- nothing waits.
  with n as (
    select d.domain, (select count(*) from queue.recipient q where q.id = any (taken) and q.domain = d.domain) as got,
      (select min(least(q.next_attempt_at, q.leased_until)) from (
        (select f.next_attempt_at, null::timestamptz as leased_until from queue.recipient f
         where f.state = 'waiting' and f.domain = d.domain and f.next_attempt_at > now() order by f.next_attempt_at limit 1)
        union all
        (select null, l.leased_until from queue.recipient l
         where l.state = 'waiting' and l.domain = d.domain and l.next_attempt_at <= now() and l.leased_until > now()
         order by l.next_attempt_at limit each + 1)) q) as next
    from unnest(due) d (domain)
  ), gone as (
    delete from queue.destination x using n where x.domain = n.domain and n.got < each and n.next is null
  )
  update queue.destination x set look_at = n.next from n where x.domain = n.domain and n.got < each and n.next is not null;

  return query
  select r.id, r.message_id, r.address, r.domain, r.attempts, r.notify, r.original_recipient, r.delay_reported,
    coalesce((select x.failures from queue.destination x where x.domain = r.domain), 0),
    m.content_id, c.size, m.prefix, m.size, m.sender, m.account_id, m.received_at, m.envelope_id, m.return_full, m.smtputf8, m.body_type,
    m.require_tls, m.priority, m.deliver_by, m.deliver_by_return, m.deliver_by_trace, m.trace
  from queue.recipient r join queue.message m on m.id = r.message_id left join store.content c on c.id = m.content_id
  where r.id = any (taken)
  order by r.domain, m.priority desc, r.next_attempt_at, r.message_id, r.id;
end $$;

-- Says that there is, or may be, something to do for these domains from then on.
create function logic.look_at_destinations(domains text[], times timestamptz[]) returns void language sql as $$
  insert into queue.destination as x (domain, look_at)
  select d, min(t) from unnest(domains, times) as n (d, t) group by d order by d
  on conflict (domain) do update set look_at = least(x.look_at, excluded.look_at)
$$;

-- Domains whose waiting mail has no row in queue.destination, and messages without recipients: what a crash may leave.
create function logic.mend_queue() returns void language plpgsql as $$
begin
  perform logic.look_at_destinations(array_agg(w.domain), array_agg(now())) from (
    with recursive domains (domain) as (
      (select r.domain from queue.recipient r where r.state = 'waiting' order by r.domain limit 1)
      union all
      select (select r.domain from queue.recipient r where r.state = 'waiting' and r.domain > d.domain order by r.domain limit 1)
      from domains d where d.domain is not null
    )
    select domain from domains where domain is not null
  ) w where not exists (select 1 from queue.destination x where x.domain = w.domain)
  having count(*) > 0;
  with gone as (
    delete from queue.message m where m.received_at < now() - interval '1 hour'
      and not exists (select 1 from queue.recipient r where r.message_id = m.id) returning m.content_id
  )
  insert into store.orphan (content_id) select distinct content_id from gone on conflict do nothing;
end $$;

-- A recipient that people add, release or retry is looked at now, even where its destination was found down.
create function logic.after_recipient() returns trigger language plpgsql as $$
begin
  insert into queue.destination as x (domain, look_at)
  select n.domain, min(n.next_attempt_at) from new_rows n where n.state = 'waiting' group by n.domain order by n.domain
  on conflict (domain) do update set look_at = least(x.look_at, excluded.look_at), down_until = null;
  perform pg_notify('queue', '');
  return null;
end $$;
create trigger by_hand_insert after insert on queue.recipient referencing new table as new_rows for each statement
  when (current_setting('mailwright.daemon', true) is distinct from 'on') execute function logic.after_recipient();
create trigger by_hand_update after update on queue.recipient referencing new table as new_rows for each statement
  when (current_setting('mailwright.daemon', true) is distinct from 'on') execute function logic.after_recipient();

-- Who does something to the queue by hand.
create function logic.by_whom() returns text language sql stable as $$
  select 'by ' || coalesce(nullif(current_setting('mailwright.actor', true), ''), session_user)
$$;

-- What log.trace calls a queued message.
create function logic.queued_name(trace text, id bigint) returns text language sql immutable as $$ select coalesce(trace, 'queue-' || id) $$;

-- What people do to the queue is a step of the message's story. The daemon's own changes never come here.
create function logic.trace_recipient() returns trigger language plpgsql as $$
begin
  if not (select l.trace from control.log l) then return null; end if;
  insert into log.trace (at, step, node, message, recipient, queue_id, reply)
  select now(), s.step::log.step, '', logic.queued_name(m.trace, m.id), n.address, m.id, s.step || ' ' || logic.by_whom()
  from new_rows n join old_rows o on o.id = n.id join queue.message m on m.id = n.message_id
  cross join lateral (select case
    when n.state = 'held' and o.state <> 'held' then 'held'
    when n.state = 'waiting' and o.state = 'held' then 'released'
    when n.state = 'waiting' and n.next_attempt_at <= now() and (n.next_attempt_at, n.state) is distinct from (o.next_attempt_at, o.state) then 'retried'
    end as step) s
  where s.step is not null order by n.id;
  return null;
end $$;
create trigger by_hand_trace after update on queue.recipient referencing old table as old_rows new table as new_rows for each statement
  when (current_setting('mailwright.daemon', true) is distinct from 'on') execute function logic.trace_recipient();

-- What people cancel is noted; the content may have lost its last reference.
create function logic.after_recipient_delete() returns trigger language plpgsql as $$
begin
  insert into queue.attempt (node, message_id, recipient, sender, account_id, content_id, size, outcome, attempt, reply, milliseconds)
  select '', m.id, o.address, m.sender, m.account_id, m.content_id, m.size, 'cancelled', o.attempts, 'cancelled ' || logic.by_whom(), 0
  from old_rows o join queue.message m on m.id = o.message_id;
  insert into log.trace (at, step, node, message, recipient, queue_id, reply)
  select now(), 'cancelled', '', logic.queued_name(m.trace, m.id), o.address, m.id, 'cancelled ' || logic.by_whom()
  from old_rows o join queue.message m on m.id = o.message_id, control.log l where l.trace order by o.id;
  delete from queue.message m where m.id in (select message_id from old_rows)
    and not exists (select 1 from queue.recipient r where r.message_id = m.id);
  perform pg_notify('queue', '');
  return null;
end $$;
create trigger by_hand_delete after delete on queue.recipient referencing old table as old_rows for each statement
  when (current_setting('mailwright.daemon', true) is distinct from 'on') execute function logic.after_recipient_delete();

create function logic.before_message_cancelled() returns trigger language plpgsql as $$
begin
  insert into queue.attempt (node, message_id, recipient, sender, account_id, content_id, size, outcome, attempt, reply, milliseconds)
  select '', old.id, r.address, old.sender, old.account_id, old.content_id, old.size, 'cancelled', r.attempts, 'cancelled ' || logic.by_whom(), 0
  from queue.recipient r where r.message_id = old.id;
  insert into log.trace (at, step, node, message, recipient, queue_id, reply)
  select now(), 'cancelled', '', logic.queued_name(old.trace, old.id), r.address, old.id, 'cancelled ' || logic.by_whom()
  from queue.recipient r, control.log l where r.message_id = old.id and l.trace order by r.id;
  insert into store.orphan (content_id) values (old.content_id) on conflict do nothing;
  return old;
end $$;
create trigger by_hand_delete before delete on queue.message for each row
  when (current_setting('mailwright.daemon', true) is distinct from 'on') execute function logic.before_message_cancelled();

create function logic.ring_queue() returns trigger language plpgsql as $$
begin
  perform pg_notify('queue', '');
  return null;
end $$;
create trigger ring after delete or truncate on queue.message for each statement execute function logic.ring_queue();

-- A text may use only the words that are known.
create function logic.check_template() returns trigger language plpgsql as $$
declare
  known constant text[] := array['hostname', 'sender', 'subject', 'received', 'recipients', 'reasons', 'expires'];
  unknown text;
begin
  select w[1] into unknown from regexp_matches(new.subject || new.body, '\{([^{}]*)\}', 'g') w where w[1] <> all (known) limit 1;
  if found then
    raise exception 'the text uses {%}, which stands for nothing', unknown
      using errcode = 'check_violation', hint = format('Known are {%s}.', array_to_string(known, '} {'));
  end if;
  return new;
end $$;
create trigger check_words before insert or update on control.template for each row execute function logic.check_template();

create function logic.normalise_route() returns trigger language plpgsql as $$
begin
  new.pattern := lower(rtrim(btrim(new.pattern), '.'));
  new.host := lower(rtrim(btrim(new.host), '.'));
  return new;
end $$;
create trigger normalise before insert or update on control.route for each row execute function logic.normalise_route();

-- What people call ---------------------------------------------------------------------------------------------

create or replace function queue.retry(message bigint default null) returns bigint language plpgsql as $$
declare n bigint;
begin
  update queue.recipient r set next_attempt_at = now() where r.state = 'waiting' and (message is null or r.message_id = message);
  get diagnostics n = row_count;
  return n;
end $$;
comment on function queue.retry(bigint) is 'Tries a message again now, or without a number everything; returns how many recipients';

create or replace function queue.hold(message bigint) returns bigint language plpgsql as $$
declare n bigint;
begin
  update queue.recipient r set state = 'held' where r.state = 'waiting' and r.message_id = message;
  get diagnostics n = row_count;
  return n;
end $$;
comment on function queue.hold(bigint) is 'Keeps a message in the queue until it is released; returns how many recipients';

create or replace function queue.release(message bigint) returns bigint language plpgsql as $$
declare n bigint;
begin
  update queue.recipient r set state = 'waiting', next_attempt_at = now() where r.state = 'held' and r.message_id = message;
  get diagnostics n = row_count;
  return n;
end $$;
comment on function queue.release(bigint) is 'Sends a held message; returns how many recipients';

create or replace function queue.cancel(message bigint) returns bigint language plpgsql as $$
declare n bigint;
begin
  select count(*) into n from queue.recipient r where r.message_id = message;
  delete from queue.message m where m.id = message;
  return n;
end $$;
comment on function queue.cancel(bigint) is 'Takes a message out of the queue without telling its sender; returns how many recipients';

create or replace function control.preview_template(name text, domain_id bigint default null)
returns table (subject text, body text) language sql stable as $$
  select filled.s, filled.b from (
    select replace(replace(replace(replace(replace(replace(replace(t.subject, '{hostname}', h), '{sender}', 'alice@example.test'),
        '{subject}', 'Lunch on Friday'), '{received}', now()::text), '{recipients}', '  bob@example.org'),
        '{reasons}', '  550 5.1.1 No such user here'), '{expires}', (now() + interval '5 days')::text) as s,
      replace(replace(replace(replace(replace(replace(replace(t.body, '{hostname}', h), '{sender}', 'alice@example.test'),
        '{subject}', 'Lunch on Friday'), '{received}', now()::text), '{recipients}', '  bob@example.org'),
        '{reasons}', '  550 5.1.1 No such user here'), '{expires}', (now() + interval '5 days')::text) as b
    from control.template t, coalesce((select hostname from control.server), 'mail.example.test') h
    where t.name = preview_template.name and (t.domain_id = preview_template.domain_id or t.domain_id is null)
    order by t.domain_id nulls last limit 1) filled
$$;
comment on function control.preview_template(text, bigint) is 'How a report''s text looks, with sample values';
