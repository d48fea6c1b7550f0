-- Adds up what was counted since the last time ($1: an array of objects with the table's columns).
insert into log.tls_count as c (day, domain, policy_type, policy, host, address, result, reason, sessions)
select day, domain, policy_type, policy, host, address, result, reason, sessions
from jsonb_to_recordset($1) as r (day date, domain text, policy_type text, policy text, host text, address text, result text, reason text,
  sessions bigint)
on conflict on constraint tls_count_key do update set sessions = c.sessions + excluded.sessions
