-- Looks how long the queue is and how many sessions there are; for hour and day the highest numbers stay. Twice in the same minute
-- does no harm.
insert into log.gauge as g (span, at, name, value)
select s.span, date_trunc(s.span, now(), 'UTC'), v.name, v.value
from unnest('{minute,hour,day}'::text[]) s (span) cross join (
  select 'queue.' || q.state as name, (select count(*) from queue.recipient r where r.state = q.state)::double precision as value
  from unnest('{waiting,held}'::queue.state[]) q (state)
  union all
  select 'queue.oldest_seconds', coalesce(extract(epoch from now() - min(m.received_at)), 0) from queue.message m
  union all
  select 'sessions.' || x.name, (select count(*) from live.session l where l.service = x.name)
  from control.service x where x.enabled and exists (select from control.listener o where o.service = x.name and o.enabled)
) v
on conflict (span, at, name) do update set value = greatest(g.value, excluded.value)
