-- The report of domain $2 on day $1 is on its way.
delete from log.tls_count where day = $1::text::date and domain = $2
