-- Takes away the windows that have ended; what they say of traffic goes into the history. Nodes may do it at the same time, and
-- what a slow node adds later comes on top.
with ended as (
  delete from live.counter where ends_at < now() - interval '5 seconds' returning kind, key, window_start, ends_at, amount, bytes
)
insert into log.traffic as t (window_start, direction, key, ends_at, messages, bytes)
select window_start, kind::control.traffic_direction, key, ends_at, amount, bytes from ended
where kind in ('incoming', 'outgoing') and amount > 0
order by window_start, kind, key
on conflict (window_start, direction, key) do update set messages = t.messages + excluded.messages, bytes = t.bytes + excluded.bytes
