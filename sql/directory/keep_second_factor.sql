-- Switches on the second factor that session $1 was offered: its first code was that of step $2, $3 are hashes of its recovery
-- codes. Its owner's other sessions end.
with session as (
  select id, login, account_id, offered_secret from live.web_session where token_hash = $1 and offered_secret is not null
), made as (
  insert into directory.second_factor (administrator, account_id, secret, last_step)
  select case when account_id is null then login end, account_id, offered_secret, $2 from session returning id
), codes as (
  insert into directory.recovery_code (second_factor_id, code_hash) select m.id, h from made m, unnest($3::text[]) h
), ended as (
  delete from live.web_session w using session s where w.id <> s.id and w.login = s.login and w.account_id is not distinct from s.account_id
)
update live.web_session w set offered_secret = null from session s, made m where w.id = s.id
