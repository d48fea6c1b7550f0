-- Everything that mailwright status shows, in one value and so from one moment. A node is alive that was heard of in the
-- last 15 seconds.
select jsonb_build_object(
  'generation', (select value from control.generation),
  'nodes', (select coalesce(jsonb_agg(jsonb_build_object('name', n.name, 'version', n.version, 'started_at', n.started_at, 'seen_at', n.seen_at,
      'alive', n.seen_at > now() - interval '15 seconds', 'up_seconds', extract(epoch from now() - n.started_at)::bigint,
      'silent_seconds', extract(epoch from now() - n.seen_at)::bigint,
      'applied_generation', n.applied_generation, 'error', n.error) order by n.name), '[]') from live.node n),
  'services', (select coalesce(jsonb_agg(jsonb_build_object('name', s.name, 'enabled', s.enabled, 'node', t.node, 'state', t.state,
      'error', t.error, 'sessions', (select count(*) from live.session x where x.service = s.name and x.node = t.node))
      order by s.name, t.node), '[]')
    from control.service s left join live.service_status t on t.service = s.name),
  'listeners', (select coalesce(jsonb_agg(jsonb_build_object('node', l.node, 'service', l.service, 'address', l.address, 'port', l.port,
      'tls', c.tls, 'mode', c.mode, 'state', l.state, 'error', l.error) order by l.node, l.service, l.port), '[]')
    from live.listener_status l left join control.listener c on c.id = l.listener_id),
  'queue', (select jsonb_build_object('messages', (select count(*) from queue.message),
      'waiting', count(*) filter (where r.state = 'waiting'),
      'due', count(*) filter (where r.state = 'waiting' and r.next_attempt_at <= now()),
      'held', count(*) filter (where r.state = 'held'), 'failed', count(*) filter (where r.state = 'failed'))
    from queue.recipient r))
