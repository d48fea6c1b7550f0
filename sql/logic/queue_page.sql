-- The page of the queue: how much waits, where to, since when; and what is done to all of a destination or a state at once. All
-- of it runs with the rights of who asks. Counting reads the queue once: about a second where a million recipients wait.

-- Counts by state, by destination (those that contain the words, the fullest first, at most so many) and by age. A destination
-- comes with what was said there last: of its waiting recipients one whose next attempt is far off, for it was tried last.
create function logic.queue_counts(words text, most integer) returns jsonb language plpgsql stable
set plan_cache_mode = force_custom_plan as $$
declare
  counts jsonb;
begin
  perform logic.must_see_page('queue');
  with bounds as (
    select array['-infinity'::timestamptz] || array_agg(now() - b order by b desc) as b
    from unnest(array['5 days', '1 day', '6 hours', '1 hour']::interval[]) b
  ), counted as (
    select r.state, r.domain, width_bucket(m.received_at, (select b from bounds)) as age,
      count(*) as n, count(*) filter (where r.state = 'waiting') as waiting, count(*) filter (where r.state = 'held') as held,
      count(*) filter (where r.state = 'failed') as failed,
      min(r.next_attempt_at) filter (where r.state = 'waiting') as next_attempt_at, grouping(r.state) = 0 as by_state, grouping(r.domain) = 0 as by_domain
    from queue.recipient r join queue.message m on m.id = r.message_id
    group by grouping sets ((r.state), (r.domain), (3))
  ), fullest as (
    select c.* from counted c where c.by_domain and strpos(c.domain, lower(words)) > 0 order by c.n desc, c.domain limit most
  )
  select jsonb_build_object(
    'states', (select coalesce(jsonb_agg(jsonb_build_object('state', c.state, 'count', c.n) order by c.state), '[]') from counted c where c.by_state),
    'ages', (select coalesce(jsonb_agg(jsonb_build_object('bucket', c.age, 'from', nullif(b.b[c.age], '-infinity'), 'until', b.b[c.age + 1], 'count', c.n)
      order by c.age desc), '[]') from counted c, bounds b where not c.by_state and not c.by_domain),
    'all_destinations', (select count(*) from counted c where c.by_domain),
    'destinations', (select coalesce(jsonb_agg(jsonb_build_object('domain', f.domain, 'count', f.n, 'waiting', f.waiting, 'held', f.held,
        'failed', f.failed, 'next_attempt_at', f.next_attempt_at, 'last_reply', l.last_reply, 'last_attempt_at', l.last_attempt_at,
        'down_until', case when d.down_until > now() then d.down_until end, 'down_reason', d.down_reason)
      order by f.n desc, f.domain), '[]')
      from fullest f left join queue.destination d on d.domain = f.domain
      left join lateral (
        select x.last_reply, x.last_attempt_at from (
          select r.last_reply, r.last_attempt_at from queue.recipient r
          where r.state = 'waiting' and r.domain = f.domain order by r.next_attempt_at desc limit 20) x
        where x.last_attempt_at is not null order by x.last_attempt_at desc limit 1) l on true)
  ) into counts;
  return counts;
end $$;

-- How many recipients, and of how many messages, are of this destination and in this state, where these are not null.
create function logic.queue_selection(of_domain text, of_state text) returns jsonb language plpgsql stable
set plan_cache_mode = force_custom_plan as $$
begin
  perform logic.must_see_page('queue');
  return (
    select jsonb_build_object('recipients', count(*), 'messages', count(distinct r.message_id), 'waiting', count(*) filter (where r.state = 'waiting'),
      'held', count(*) filter (where r.state = 'held'), 'destinations', count(distinct r.domain))
    from queue.recipient r
    where (of_domain is null or r.domain = of_domain) and (of_state is null or r.state = of_state::queue.state));
end $$;

-- Does so to the recipients of a destination, or in a state, or both: those that came first, at most so many, in one statement.
create function logic.queue_act(action text, of_domain text, of_state text, most integer) returns jsonb language plpgsql
set plan_cache_mode = force_custom_plan as $$
declare
  chosen bigint[];
  done bigint;
begin
  if logic.web_kind() is distinct from 'system' then
    return jsonb_build_object('wrong', 'you may not do this here');
  elsif num_nonnulls(of_domain, of_state) = 0 then
    return jsonb_build_object('wrong', 'choose a destination or a state');
  elsif of_state <> all (enum_range(null::queue.state)::text[]) then
    return jsonb_build_object('wrong', format('there is no state "%s"', left(of_state, 40)));
  end if;
  chosen := array(
    select r.id from queue.recipient r
    where (of_domain is null or r.domain = of_domain) and (of_state is null or r.state = of_state::queue.state)
      and (action = 'cancel' or r.state = any (case action when 'release' then array['held'] when 'hold' then array['waiting']
        else array['waiting', 'failed'] end::queue.state[]))
    order by r.id limit most);
  if action in ('retry', 'release') then
    update queue.recipient r set state = 'waiting', next_attempt_at = now() where r.id = any (chosen) and (r.state = 'held') = (action = 'release');
  elsif action = 'hold' then
    update queue.recipient r set state = 'held' where r.id = any (chosen) and r.state = 'waiting';
  elsif action = 'cancel' then
    delete from queue.recipient r where r.id = any (chosen);
  else
    return jsonb_build_object('wrong', 'there is no such button');
  end if;
  get diagnostics done = row_count;
  return jsonb_build_object('done', done, 'more', cardinality(chosen) >= most);
end $$;
