-- The numbers that monitoring asks for of node $1: services and whether they run, listeners by state, the queue, certificates.
select jsonb_build_object(
  'services', (select coalesce(jsonb_agg(jsonb_build_array(s.name, s.enabled, t.state) order by s.name), '[]')
    from control.service s join live.service_status t on t.service = s.name and t.node = $1),
  'listeners', (select coalesce(jsonb_agg(jsonb_build_array(l.service, l.state, l.count) order by l.service, l.state), '[]')
    from (select service, state, count(*) from live.listener_status where node = $1 group by 1, 2) l),
  'queue', (select to_jsonb(q) from logic.queue_now() q),
  'certificates', (select coalesce(jsonb_agg(jsonb_build_array(c.id, array_to_string(coalesce(c.own_names, c.names), ','),
      extract(epoch from c.not_after)) order by c.id), '[]') from control.certificate c where c.active),
  'nodes', (select count(*) from live.node where seen_at > now() - interval '15 seconds'),
  'generation', (select value from control.generation))
