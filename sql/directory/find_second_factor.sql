-- The second factor of administrator $1, or of account $2, and whether its codes are locked ($3). Always one row.
select f.id, coalesce((select locked_until > now() from live.login_failure where key = $3), false), f.created_at,
  (select count(*) from directory.recovery_code c where c.second_factor_id = f.id and c.used_at is null)
from (select 1) one
left join directory.second_factor f on f.administrator = $1 or f.account_id = $2
