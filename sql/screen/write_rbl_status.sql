-- Writes how the DNS lists $2 answer node $1.
insert into live.rbl_status (node, zone, asked, listed, failed, error, failed_at)
select $1, r.zone, r.asked, r.listed, r.failed, r.error, to_timestamp(r.failed_at)
from unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::bigint[]) as r (zone, asked, listed, failed, error, failed_at),
  (select set_config('synchronous_commit', 'off', true)) off
on conflict (node, zone) do update set asked = excluded.asked, listed = excluded.listed, failed = excluded.failed,
  error = excluded.error, failed_at = excluded.failed_at
