-- The administrator $1, and the locks of this name ($2) and peer ($3). Always one row, so that an unknown name costs the same.
select a.password_hash, a.role::text, a.must_change_password, coalesce(a.active, false),
  (select locked_until > now() from live.login_failure where key = $2),
  (select locked_until > now() from live.login_failure where key = $3),
  (select failures from live.login_failure where key = $2)
from (select 1) one left join control.administrator a on a.name = $1
