-- Adds what this node has counted ($5, $6) for kinds $1 and keys $2 in the windows from $3 to $4 (seconds since 1970), and
-- returns what all nodes have counted there. Nothing is lost by a crash but counts, so the commit need not wait for the disk.
insert into live.counter as c (kind, key, window_start, ends_at, amount, bytes)
select r.kind, r.key, to_timestamp(r.starts), to_timestamp(r.ends), r.amount, r.bytes
from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[]) as r (kind, key, starts, ends, amount, bytes),
  (select set_config('synchronous_commit', 'off', true)) off
order by r.kind, r.key, r.starts
on conflict (kind, key, window_start) do update set amount = c.amount + excluded.amount, bytes = c.bytes + excluded.bytes
returning kind, key, extract(epoch from window_start)::bigint, amount, bytes
