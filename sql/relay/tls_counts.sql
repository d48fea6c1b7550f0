-- What was counted of domain $2 on day $1, as objects; at most as much as a report can hold.
select to_jsonb(c) from log.tls_count c where day = $1::text::date and domain = $2 order by sessions desc limit 10000
