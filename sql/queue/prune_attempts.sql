-- Forgets up to 10,000 attempts that are older than $1 days.
delete from queue.attempt where id in (
  select id from queue.attempt where at < now() - make_interval(days => $1) order by id limit 10000)
