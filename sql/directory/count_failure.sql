-- Counts a wrong password for name $1 (locked after $3 failures) and peer $2 (after $4), for $5 minutes. A lock that is over
-- starts the count anew.
insert into live.login_failure as f (key, failures, last_at, locked_until)
select key, 1, now(), case when max <= 1 then now() + make_interval(mins => $5) end
from (values ($1::text, $3::integer), ($2::text, $4::integer)) as v (key, max)
order by key
on conflict (key) do update set
  failures = case when f.locked_until < now() or f.last_at < now() - make_interval(mins => $5) then 1 else f.failures + 1 end,
  last_at = now(),
  locked_until = case
    when f.locked_until < now() or f.last_at < now() - make_interval(mins => $5) then null
    when f.failures + 1 >= (case when f.key = $1 then $3 else $4 end) then now() + make_interval(mins => $5)
    else f.locked_until end
