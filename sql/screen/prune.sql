-- Forgets what is too old: traffic ($1 days), greylisted senders that have not come again ($2 hours), and those and their networks
-- that have passed ($3 days).
with history as (
  delete from log.traffic where window_start < now() - make_interval(days => $1::integer)
), networks as (
  delete from screen.greylist_network where last_at < now() - make_interval(days => $3::integer)
)
delete from screen.greylist
where last_at < now() - make_interval(hours => $2::integer)
  and (passed_at is null or last_at < now() - make_interval(days => $3::integer))
