-- Keeps a file that session $1 has brought: $2 its users, sealed, $3 the report, $4 passwords to be hashed. What is older than an hour
-- goes, whoever's it is.
with old as (
  delete from live.user_import where created_at < now() - interval '1 hour' and touched_at < now() - interval '1 hour'
    and session_id not in (select id from live.web_session where token_hash = $1)
)
insert into live.user_import (session_id, sealed, report, total)
select id, $2, $3, $4 from live.web_session where token_hash = $1 and not awaits_code
on conflict (session_id) do update set state = 'checked', sealed = excluded.sealed, report = excluded.report, total = excluded.total,
  hashed = 0, said = null, created_at = now(), touched_at = now()
where user_import.state <> 'importing' or user_import.touched_at < now() - interval '1 minute'
