-- Certificates of which it is not known yet what is inside.
select id, chain, key::text, names from control.certificate where not_after is null and error is null order by id limit 100
