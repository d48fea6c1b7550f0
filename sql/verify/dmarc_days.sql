-- Days that are over, and domains of which something was counted on them.
select day::text, policy_domain from log.dmarc_count where day < (now() at time zone 'utc')::date group by day, policy_domain order by day, policy_domain limit 1000
