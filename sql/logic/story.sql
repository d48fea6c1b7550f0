-- What became of a message, for the pages. Rows come under row-level security; what runs as the owner says why, and asks who asks.

-- Finds messages as report.find_trace does. As the owner: under row-level security lower(sender) could not use its index, for lower
-- might tell what it is given. Only names come out of it, and what they stand for is read under row-level security. A domain administrator
-- finds what his policy lets him see, if he asks by an address of his domain or by Message-ID, so that the index leads to few rows.
create function logic.web_find(sender text, recipient text, message_id text, peer inet, since timestamptz, until timestamptz, most integer)
returns text[] language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  if logic.web_sees() then
    return logic.find_messages(sender, recipient, message_id, peer, since, until, most);
  elsif logic.web_domain() is null then
    raise exception 'you may not see what became of messages' using errcode = 'insufficient_privilege';
  elsif not (logic.web_has_address(sender) or logic.web_has_address(recipient) or message_id is not null) then
    raise exception 'give a sender or a recipient of your domain, or a Message-ID' using errcode = 'invalid_parameter_value';
  end if;
  return array(
    select n.message from unnest(logic.find_messages(sender, recipient, message_id, peer, since, until, 10 * most)) with ordinality n (message, place)
    where exists (select 1 from log.trace t where t.message = n.message and logic.web_has_trace(t.message, t.recipient, t.account_id))
    order by n.place limit most);
end $$;

-- Who sent a message and what it is: what its first row says for all of its recipients. As the owner: that row may be of a recipient
-- whom a domain administrator may not see, but one of his the message must have.
create function logic.message_facts(message text) returns jsonb language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select jsonb_build_object('at', t.at, 'sender', t.sender, 'peer', host(t.peer), 'size', t.size, 'message_id', t.message_id, 'session_id', t.session_id)
  from log.trace t
  where t.message = message_facts.message and t.step in ('accepted', 'refused')
    and (logic.web_sees() or exists (select 1 from log.trace o where o.message = t.message and logic.web_has_trace(o.message, o.recipient, o.account_id)))
  order by t.step = 'accepted' desc, t.id limit 1
$$;

-- As the owner, for mail is not open to the pages.
create function logic.mailbox_name(account bigint, mailbox bigint) returns text language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select b.name from store.mailbox b
  where b.account_id = account and b.id = mailbox and (logic.web_sees() or logic.web_has_account(account))
$$;

-- The header of a message, from wherever it is still kept: what we have put before it, and itself.
create function logic.message_head(message text, out prefix bytea, out header bytea) language sql stable as $$
  select coalesce(k.prefix, ''), c.header
  from (
    (select m.prefix, m.content_id from log.trace t
     join store.message m on m.account_id = t.account_id and m.mailbox_id = t.mailbox_id and m.uid = t.uid
     where t.message = message_head.message and t.step = 'placed' limit 1)
    union all
    (select m.prefix, m.content_id from log.trace t join queue.message m on m.id = t.queue_id where t.message = message_head.message limit 1)
    union all
    (select m.prefix, m.content_id from queue.message m where message_head.message = 'queue-' || m.id
      and m.id = nullif(substring(message_head.message from '^queue-([0-9]{1,18})$'), '')::bigint)
    union all
    (select null, a.content_id from log.trace t join queue.attempt a on a.message_id = t.queue_id where t.message = message_head.message limit 1)
  ) k join store.content c on c.id = k.content_id limit 1
$$;

-- As the owner, for mail is not open to the pages: who changes everything may read the header.
create function logic.message_header(message text) returns text language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select encode(substring(h.prefix || h.header from 1 for 65536), 'base64') from logic.message_head(message) h where logic.web_changes()
$$;

-- The same; an auditor sees what was found when it was verified. Only what we have put before the message counts: in it anybody can
-- say so.
create function logic.message_verdict(message text) returns text language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select btrim(regexp_replace((regexp_match(encode(h.prefix, 'escape'),
    '(?:^|\n)Authentication-Results:((?:[^\n]|\n[ \t])*)', 'i'))[1], '\s+', ' ', 'g'))
  from logic.message_head(message) h where logic.web_sees()
$$;

-- Messages that are found, the newest first, each with what became of it last.
create function logic.find_page(sender text, recipient text, message_id text, peer text, since timestamptz, until timestamptz, most integer)
returns jsonb language plpgsql stable as $$
begin
  perform logic.must_see_page('find');
  return (
    select coalesce(jsonb_agg(jsonb_build_object('message', n.message, 'at', t.at, 'sender', f.facts -> 'sender', 'size', f.facts -> 'size',
      'recipients', t.recipients, 'more', greatest(t.count - 3, 0), 'step', l.step) order by n.place), '[]')
    from unnest(logic.web_find(sender, recipient, message_id, peer::inet, coalesce(since, '-infinity'), coalesce(until, 'infinity'), most))
      with ordinality n (message, place)
    cross join lateral (select logic.message_facts(n.message) as facts) f
    cross join lateral (
      select min(t.at) as at, (array_agg(distinct t.recipient) filter (where t.step in ('accepted', 'refused', 'placed', 'queued')))[1:3] as recipients,
        count(distinct t.recipient) as count, array_agg(distinct t.queue_id) as queue_ids
      from log.trace t where t.message = n.message) t
    left join lateral (
      select s.step from (
        (select o.at, o.step::text as step from log.trace o where o.message = n.message order by o.id desc limit 1)
        union all
        (select x.at, x.outcome from queue.attempt x where x.message_id = any (t.queue_ids) order by x.at desc, x.id desc limit 1)) s
      order by s.at desc limit 1) l on true);
end $$;

-- The story of one message, by what log.trace calls it; null when nothing is known of it, or nothing that may be seen.
create function logic.message_story(message text) returns jsonb language plpgsql stable as $$
declare
  queued bigint[];
  steps jsonb;
  waiting jsonb;
begin
  perform logic.must_see_page('find');
  queued := array(
    select distinct t.queue_id from log.trace t where t.message = message_story.message and t.queue_id is not null
    union select nullif(substring(message_story.message from '^queue-([0-9]{1,18})$'), '')::bigint);
  select jsonb_agg(to_jsonb(s) order by s.at, s.place) into steps from (
    select t.at, t.id as place, t.step::text as step, t.command, t.recipient, t.reply, host(t.peer) as peer, null::text as host, null::text as tls,
      null::integer as attempt, null::integer as milliseconds, a.local_part || '@' || d.name as account, logic.mailbox_name(t.account_id, t.mailbox_id) as mailbox, t.uid, t.node
    from log.trace t left join directory.account a on a.id = t.account_id left join directory.domain d on d.id = a.domain_id
    where t.message = message_story.message and (t.step::text <> 'cancelled' or not exists (
      select 1 from queue.attempt x where x.message_id = t.queue_id and x.recipient = t.recipient and x.outcome = 'cancelled'))
    union all
    select x.at, null, x.outcome, null, x.recipient, x.reply, host(x.address), x.host, x.tls, x.attempt, x.milliseconds, null, null, null, x.node
    from queue.attempt x where x.message_id = any (queued)
    order by 1, 2 limit 1000
  ) s;
  select jsonb_agg(jsonb_build_object('id', r.id, 'address', r.address, 'state', r.state, 'attempts', r.attempts,
    'next_attempt_at', case when r.state = 'waiting' then r.next_attempt_at end, 'last_reply', r.last_reply) order by r.id) into waiting
  from (select * from queue.recipient r where r.message_id = any (queued) order by r.id limit 1000) r;
  if steps is null and waiting is null then
    return null;
  end if;
  return jsonb_build_object('facts', coalesce(logic.message_facts(message), '{}'), 'steps', coalesce(steps, '[]'), 'waiting', coalesce(waiting, '[]'),
    'verdict', logic.message_verdict(message), 'header', logic.message_header(message));
end $$;
