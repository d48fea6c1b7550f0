-- What was counted of domain $2 on day $1, as objects; at most as much as a report can hold.
select to_jsonb(c) from log.dmarc_count c where day = $1::text::date and policy_domain = $2 order by messages desc limit 10000
