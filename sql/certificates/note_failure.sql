-- Notes that an order for $1 failed, and why ($2). It is tried again in five minutes, then after twice as long each time, a day at
-- most; not before $3 seconds.
update control.acme_certificate
set failures = failures + 1, last_error = $2, last_attempt_at = now(),
  next_attempt_at = now() + greatest(least(interval '5 minutes' * power(2, least(failures, 10)), interval '1 day'), make_interval(secs => $3))
where id = $1
