-- Who is behind the alias $1@$2 (both in their key form), at most $3 of them; no row where there is no such alias in use.
select t.target from logic.address_of($1, $2) x
join directory.alias a on a.id = x.alias_id and a.active
cross join lateral unnest(a.targets) with ordinality as t (target, place)
order by t.place limit $3
