-- Days that are over, and domains of which something was counted on them.
select day::text, domain from log.tls_count where day < (now() at time zone 'utc')::date group by day, domain order by day, domain limit 1000
