-- Writes a batch of events of node $1. What a crash of the database would take along is the last half second of the log, so
-- the commit need not wait for the disk.
insert into log.event (node, at, level, service, message, fields, peer, login, session_id)
select $1, v.at, v.level::log.level, v.service, v.message, v.fields, v.peer, v.login, v.session_id
from unnest($2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::jsonb[], $7::inet[], $8::text[], $9::bigint[])
    with ordinality as v (at, level, service, message, fields, peer, login, session_id, place),
  (select set_config('synchronous_commit', 'off', true)) off
order by v.place
