-- The overview of the administration: all that its page shows, in one answer and so from one moment. It runs with the rights of who asks,
-- and reads what was counted, never what was counted from: its cost does not grow with the number of messages or accounts.

-- When each point of a chart begins.
create function logic.overview_times(asked text, out grain text, out since timestamptz, out step interval, out steps integer)
language sql stable as $$
  select g, date_trunc(g, now(), 'UTC') - (n - 1) * s, s, n
  from (select case asked when 'hour' then 'minute' when 'day' then 'hour' else 'day' end) x (g)
  cross join lateral (select ('1 ' || g)::interval, case g when 'minute' then 60 when 'hour' then 24 else 30 end) y (s, n)
$$;

-- For administrators of the whole server, and auditors.
create function logic.overview(asked text) returns jsonb language plpgsql stable as $$
#variable_conflict use_column
declare
  t record := logic.overview_times(asked);
  -- How slow others are now: the last hour, or since yesterday.
  coarse text := case t.grain when 'minute' then 'hour' else 'day' end;
  last_day date;
begin
  if not logic.web_sees() then
    raise exception 'you may not see the overview of the whole server' using errcode = 'insufficient_privilege';
  end if;
  select max(s.day) into last_day from log.domain_storage s;
  return jsonb_build_object(
    'pages', logic.pages(),
    'from', extract(epoch from t.since), 'step', extract(epoch from t.step), 'steps', t.steps, 'now', extract(epoch from now()),
    'traffic', (select coalesce(jsonb_agg(jsonb_build_array(extract(epoch from x.at), x.step, x.count, x.messages, x.bytes)), '[]') from (
      select at, step, sum(count) as count, sum(messages) as messages, sum(bytes) as bytes from log.mail_count
      where span = t.grain and at >= t.since group by at, step) x),
    'gauges', (select coalesce(jsonb_agg(jsonb_build_array(extract(epoch from at), name, value)), '[]') from log.gauge
      where span = t.grain and at >= t.since),
    'queue', (select to_jsonb(q) from logic.queue_now() q),
    -- Deliveries, to mailboxes here and to other servers, in a second of the last minute and the present one.
    'per_second', (select coalesce(sum(count), 0) / (60 + extract(epoch from now() - date_trunc('minute', now(), 'UTC'))) from log.mail_count
      where span = 'minute' and at >= date_trunc('minute', now(), 'UTC') - interval '1 minute' and step in ('placed', 'delivered')),
    'sessions', (select coalesce(jsonb_agg(jsonb_build_array(service, count) order by service), '[]') from (
      select service, count(*) as count from live.session group by service) x),
    'services', (select jsonb_object_agg(name, enabled) from control.service),
    'failed', (select coalesce(jsonb_agg(node || ': ' || service || ': ' || coalesce(error, state) order by node, service), '[]')
      from live.service_status where state = 'failed'),
    'storage', (select coalesce(jsonb_agg(jsonb_build_array(x.domain_id, coalesce(d.name, '(removed)'), x.bytes) order by x.bytes desc), '[]') from (
      select domain_id, bytes from log.domain_storage where day = last_day and bytes > 0 order by bytes desc limit 10) x
      left join directory.domain d on d.id = x.domain_id),
    'stored', (select jsonb_build_array(coalesce(sum(bytes), 0), coalesce(sum(messages), 0), coalesce(sum(accounts), 0)) from log.domain_storage
      where day = last_day),
    'destinations', (select coalesce(jsonb_agg(jsonb_build_array(x.domain, x.mean) order by x.mean desc), '[]') from (
      select domain, sum(milliseconds) / sum(attempts) / 1000.0 as mean from log.destination_count
      where span = coarse and at >= date_trunc(coarse, now() - ('1 ' || coarse)::interval, 'UTC') group by domain order by 2 desc limit 10) x),
    'certificates', (select coalesce(jsonb_agg(jsonb_build_array(x.id, array_to_string(x.names, ', '), extract(epoch from x.not_after), x.error)
      order by x.not_after), '[]') from (
      select id, coalesce(nullif(own_names, '{}'), names) as names, not_after, error from control.certificate where active order by not_after limit 10) x),
    'dns', (select jsonb_build_object('checked', count(*), 'missing', count(*) filter (where state = 'missing' and need <> 'optional'),
        'differs', count(*) filter (where state = 'differs' and need <> 'optional'), 'unknown', count(*) filter (where state = 'unknown' and need <> 'optional'))
      from directory.dns_record),
    'missing', (select coalesce(jsonb_agg(jsonb_build_array(x.domain_id, x.place, x.name, x.type, x.content)), '[]') from (
      select domain_id, place, name, type, content from directory.dns_record
      where state = 'missing' and need <> 'optional' order by need, domain_id, place limit 10) x),
    'begun', jsonb_build_object(
      'hostname', exists (select from control.server where hostname is not null),
      'domain', exists (select from directory.domain),
      'account', exists (select from directory.account),
      'dns', exists (select from directory.dns_record) and not exists (select from directory.dns_record where need <> 'optional' and state <> 'ok'),
      'mail', exists (select from log.mail_count)));
end $$;

-- Sessions of the domain that this administrator manages. As the owner: row by row, row-level security would take long. Who asks is found
-- out by the same function that it relies on.
create function logic.sessions_of_domain() returns table (service text, count bigint) language sql stable security definer
set search_path = pg_catalog as $$
  select s.service, count(*) from live.session s join directory.account a on a.id = s.account_id
  where a.domain_id = logic.web_domain() group by s.service
$$;

-- For the administrator of a domain: what is of his domain, of the last 30 days.
create function logic.overview_of_domain() returns jsonb language plpgsql stable as $$
#variable_conflict use_column
declare
  t record := logic.overview_times('month');
  own bigint := logic.web_domain();
begin
  if own is null then
    raise exception 'you do not manage a domain any more' using errcode = 'insufficient_privilege';
  end if;
  return jsonb_build_object(
    'pages', logic.pages(), 'domain', (select name from directory.domain where id = own),
    'from', extract(epoch from t.since), 'step', extract(epoch from t.step), 'steps', t.steps, 'now', extract(epoch from now()),
    -- By their keys for each day, whatever number of other domains there is.
    'traffic', (select coalesce(jsonb_agg(jsonb_build_array(extract(epoch from p.at), x.step, x.count, x.count, x.bytes)), '[]')
      from generate_series(t.since, now(), t.step) p (at) cross join lateral (
        select c.step, sum(c.count) as count, sum(c.bytes) as bytes from log.domain_count c
        where c.day = (p.at at time zone 'UTC')::date and c.domain_id = own group by c.step) x),
    'growth', (select coalesce(jsonb_agg(jsonb_build_array(extract(epoch from p.at), x.bytes)), '[]')
      from generate_series(t.since, now(), t.step) p (at) cross join lateral (
        select s.bytes from log.domain_storage s where s.day = (p.at at time zone 'UTC')::date and s.domain_id = own) x),
    'stored', (select jsonb_build_array(s.bytes, s.messages) from log.domain_storage s
      where s.domain_id = own and s.day >= (now() at time zone 'UTC')::date - 1 order by s.day desc limit 1),
    'accounts', (select count(*) from directory.account where domain_id = own),
    'sessions', (select coalesce(jsonb_agg(jsonb_build_array(service, count) order by service), '[]') from logic.sessions_of_domain()),
    'dns', (select jsonb_build_object('checked', count(*), 'missing', count(*) filter (where state = 'missing' and need <> 'optional'),
        'differs', count(*) filter (where state = 'differs' and need <> 'optional'), 'unknown', count(*) filter (where state = 'unknown' and need <> 'optional'))
      from directory.dns_record where domain_id = own));
end $$;
