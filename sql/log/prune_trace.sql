-- Forgets up to 10,000 rows of the trace that are older than $1 days; found by the index on their time.
delete from log.trace t using (select set_config('synchronous_commit', 'off', true)) off
where t.id = any (array(select o.id from log.trace o where o.at < now() - make_interval(days => $1::integer) limit 10000))
