-- What node $1 does not do that it should: each service that is switched on runs, and each listener is open; what it obeys is what is
-- committed, but for the last moments.
select array(
  select s.service || ': ' || coalesce(s.error, s.state) from live.service_status s where s.node = $1 and s.state = 'failed'
  union all
  select l.service || ': ' || l.error from live.listener_status l
  where l.node = $1 and l.error is not null
    and not exists (select 1 from live.service_status s where s.node = $1 and s.service = l.service and s.state = 'failed')
  union all
  select 'this node has no row in live.node: it has not reported yet' where not exists (select 1 from live.node where name = $1)
  union all
  select 'changes are not obeyed: ' || n.error from live.node n where n.name = $1 and n.error is not null
)
