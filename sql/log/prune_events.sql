-- Forgets up to 10,000 events that are older than $1 days; found by the index on their time.
delete from log.event e using (select set_config('synchronous_commit', 'off', true)) off
where e.id = any (array(select o.id from log.event o where o.at < now() - make_interval(days => $1::integer) limit 10000))
