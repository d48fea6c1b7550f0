-- Forgets what was counted by the minute more than $1 days ago, and by the hour and the day more than $2 days ago.
with off as (select set_config('synchronous_commit', 'off', true)),
  old (span, until) as (values ('minute', now() - make_interval(days => $1::integer)),
    ('hour', now() - make_interval(days => $2::integer)), ('day', now() - make_interval(days => $2::integer))),
  a as (delete from log.mail_count t using old, off where t.span = old.span and t.at < old.until),
  b as (delete from log.domain_count t using old where old.span = 'day' and t.day < old.until),
  c as (delete from log.destination_count t using old where t.span = old.span and t.at < old.until),
  d as (delete from log.gauge t using old where t.span = old.span and t.at < old.until)
delete from log.domain_storage t using old where old.span = 'day' and t.day < old.until
