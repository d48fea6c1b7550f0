-- What the DNS records of domain $1 are made from; without a row the domain is not ours.
select jsonb_build_object(
  'hostname', (select hostname from control.server),
  'dns', (select to_jsonb(s) from control.dns s),
  'report_to', (select receive_at from control.dmarc),
  'keys', (select coalesce(jsonb_agg(jsonb_build_object('selector', k.selector, 'algorithm', k.algorithm, 'public_key', k.public_key)
      order by k.state <> 'active', k.id), '[]')
    from directory.dkim_key k where k.domain_id = d.id and k.state in ('ready', 'active', 'retired')),
  'listeners', (select coalesce(jsonb_agg(jsonb_build_object('service', l.service, 'port', l.port, 'tls', l.tls, 'mode', l.mode) order by l.id), '[]')
    from control.listener l join control.service s on s.name = l.service where l.enabled and s.enabled),
  'certificates', (select coalesce(jsonb_agg(jsonb_build_object('names', c.names, 'chain', c.chain)
      order by c.source = 'self-signed', c.id), '[]') from control.certificate c where c.active))
from directory.domain d where d.name = $1
