-- Writes what changed among the sessions of node $1: ended ones ($2) go, new ones ($4) come, the others are updated and
-- never put back if somebody has deleted them. Where the node itself has no row, the tables were emptied: then none comes
-- before the node has entered itself again and writes all of them, or a row deleted meanwhile would be put back.
with rows as (
  select * from unnest($3::bigint[], $4::boolean[], $5::text[], $6::bigint[], $7::inet[], $8::integer[], $9::text[], $10::bigint[],
    $11::text[], $12::text[], $13::timestamptz[], $14::timestamptz[], $15::text[])
    as r (id, is_new, service, listener_id, peer, peer_port, tls, account_id, login, state, since, active_at, client)
), ended as (
  delete from live.session where id = any($2::bigint[])
), changed as (
  update live.session s set peer = r.peer, peer_port = r.peer_port, tls = r.tls, account_id = r.account_id, login = r.login, state = r.state, active_at = r.active_at,
    client = r.client
  from rows r where s.id = r.id and not r.is_new
)
insert into live.session (id, node, service, listener_id, peer, peer_port, tls, account_id, login, state, since, active_at, client)
select id, $1, service, listener_id, peer, peer_port, tls, account_id, login, state, since, active_at, client from rows
where is_new and exists (select 1 from live.node where name = $1)
on conflict (id) do nothing
