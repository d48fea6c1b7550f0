-- Takes or renews lease $1 for node $2 for $3 seconds; a row when it is this node's.
insert into control.lease as l (name, node, until) values ($1, $2, now() + make_interval(secs => $3))
on conflict (name) do update set node = excluded.node, until = excluded.until where l.node = excluded.node or l.until < now()
returning 1
