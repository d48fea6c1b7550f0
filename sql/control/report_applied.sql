-- Says that node $1 (boot id $2) obeys generation $3, or with $4 why it does not.
update live.node set applied_generation = case when $4::text is null then $3 else applied_generation end, error = $4, seen_at = now()
where name = $1 and boot = $2::text::uuid
