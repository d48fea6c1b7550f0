-- Whether node $1 is registered, and which of its written sessions ($2) have no row any more.
select exists (select 1 from live.node where name = $1),
  coalesce((select array_agg(w.id) from unnest($2::bigint[]) w (id)
    where not exists (select 1 from live.session s where s.id = w.id)), '{}')
