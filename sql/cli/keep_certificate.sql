-- Keeps a certificate: chain $1, key $2, names $3 (empty: those inside), names inside $4, validity $5 to $6, source $7. One of the
-- same source for the same names is replaced. Returns its id, and whether it is new.
with wanted as (
  select case when cardinality($3::text[]) > 0 then $3::text[] else $4::text[] end as names
), replaced as (
  update control.certificate c
  set chain = $1, key = $2::text, names = $3, own_names = $4, not_before = $5, not_after = $6, error = null, active = true
  where c.id = (select f.id from control.certificate f, wanted w
    where f.source = $7 and logic.served_names(f) @> w.names and logic.served_names(f) <@ w.names order by f.active desc, f.id limit 1)
  returning c.id
), made as (
  insert into control.certificate (chain, key, names, own_names, not_before, not_after, source)
  select $1, $2::text, $3, $4, $5, $6, $7 where not exists (select 1 from replaced) returning id
)
select id, false as is_new from replaced union all select id, true from made
