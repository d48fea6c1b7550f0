-- What the nodes read, and what scripts call.

-- The whole configuration in one value, read in one statement and therefore from one moment.
create or replace function control.snapshot() returns jsonb language sql stable as $$
  select jsonb_build_object(
    'generation', (select value from control.generation),
    'config_generation', (select config from control.generation),
    'server', (select to_jsonb(s) from control.server s),
    'log', (select to_jsonb(s) from control.log s),
    'smtp', (select to_jsonb(s) from control.smtp s),
    'imap', (select to_jsonb(s) from control.imap s),
    'imap_capabilities', (select coalesce(jsonb_agg(to_jsonb(c) order by c.id), '[]') from control.imap_capability c),
    'pop3', (select to_jsonb(s) from control.pop3 s),
    'directory', (select to_jsonb(s) from control.directory s),
    'store', (select to_jsonb(s) from control.store s),
    'web', (select to_jsonb(s) from control.web s),
    'metrics_tokens', (select coalesce(jsonb_agg(t.token order by t.name), '[]') from control.metrics_token t),
    'srs', (select to_jsonb(s) from control.srs s),
    'screen', logic.screen_snapshot(),
    'acme', logic.acme_snapshot(),
    'dns', (select to_jsonb(d) from control.dns d),
    'relay', (select to_jsonb(s) from control.relay s),
    'relay_tls', (select to_jsonb(s) from control.relay_tls s),
    'retry', (select coalesce(jsonb_agg(r.after_seconds order by r.attempt), '[]') from control.retry r),
    'routes', (select coalesce(jsonb_agg(to_jsonb(r) order by r.id), '[]') from control.route r where r.active),
    'templates', (select coalesce(jsonb_agg(jsonb_build_object('name', t.name, 'domain', d.name, 'subject', t.subject, 'body', t.body)), '[]')
      from control.template t left join directory.domain d on d.id = t.domain_id),
    'authentication', (select to_jsonb(s) from control.authentication s),
    'authentication_policy', (select coalesce(jsonb_agg(to_jsonb(p) order by p.method, p.result), '[]') from control.authentication_policy p),
    'trusted_sealers', (select coalesce(jsonb_agg(t.domain order by t.domain), '[]') from control.trusted_sealer t),
    'dkim', (select to_jsonb(s) from control.dkim s),
    'dmarc', (select to_jsonb(s) from control.dmarc s),
    'oidc_issuers', (select coalesce(jsonb_agg(to_jsonb(i) order by i.id), '[]') from control.oidc_issuer i where i.active),
    'services', (select coalesce(jsonb_agg(to_jsonb(s) order by s.name), '[]') from control.service s),
    'listeners', (select coalesce(jsonb_agg(to_jsonb(l) order by l.id), '[]') from control.listener l where l.enabled),
    'certificates', (select coalesce(jsonb_agg(to_jsonb(c) order by c.source = 'self-signed', c.id), '[]')
      from control.certificate c where c.active),
    'ip_lists', (select coalesce(jsonb_agg(jsonb_build_object('id', i.id, 'mode', i.mode, 'patterns',
        (select coalesce(jsonb_agg(r.pattern), '[]') from control.ip_rule r where r.list_id = i.id)) order by i.id), '[]')
      from control.ip_list i))
$$;
comment on function control.snapshot() is 'The whole configuration as the daemon reads it';

-- Waits until every node that is alive obeys the change with this number; without a number, the last committed one.
create or replace function control.wait_applied(generation bigint default null, timeout interval default '10 seconds')
returns bigint language plpgsql volatile as $$
declare
  wanted bigint;
  deadline timestamptz := clock_timestamp() + timeout;
  behind text;
begin
  if exists (select 1 from control.touched where transaction = pg_current_xact_id_if_assigned()) then
    raise exception 'this transaction has changed settings itself: commit first, then wait';
  end if;
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'control.wait_applied needs the isolation level read committed';
  end if;
  wanted := coalesce(generation, (select value from control.generation));
  loop
    select string_agg(format('%s (at %s%s)', name, applied_generation, coalesce(', ' || error, '')), ', ' order by name) into behind
    from live.node where applied_generation < wanted and seen_at > clock_timestamp() - interval '15 seconds';
    if behind is null and exists (select 1 from live.node where applied_generation >= wanted) then
      return wanted;
    end if;
    if clock_timestamp() > deadline then
      raise exception 'change % is not obeyed after % by: %', wanted, timeout, coalesce(behind, 'any node: none is running')
        using errcode = 'query_canceled';
    end if;
    perform pg_sleep(0.01);
  end loop;
end $$;
comment on function control.wait_applied(bigint, interval) is 'Waits until all running nodes obey a committed change';

-- The short form "192.168.0.1 25, [::1]:2525, * 587" as rows; a port may be left out where a default is given.
create or replace function control.parse_listeners(spec text, default_port integer default null)
returns table (address text, port integer) language plpgsql immutable as $$
declare
  item text;
  found text[];
begin
  foreach item in array string_to_array(coalesce(nullif(btrim(spec), ''), '*'), ',') loop
    item := btrim(item);
    found := coalesce(
      regexp_match(item, '^([0-9.]+|\*):([0-9]{1,5})$'),
      -- Brackets are for IPv6; without them a port needs a space.
      regexp_match(item, '^\[([0-9a-fA-F.]*:[0-9a-fA-F:.]*)\](?:\s*:?\s*([0-9]{1,5}))?$'),
      regexp_match(item, '^([0-9a-fA-F:.]+|\*)(?:\s+([0-9]{1,5}))?$'));
    if found is null then
      raise exception '"%" is no listener: write an address or *, and a port, as in "192.168.0.1 25, * 587"', item
        using errcode = 'check_violation';
    end if;
    if found[2] is null and default_port is null then
      raise exception '"%" names no port', item using errcode = 'check_violation';
    end if;
    address := found[1];
    port := coalesce(found[2]::integer, default_port);
    return next;
  end loop;
end $$;
comment on function control.parse_listeners(text, integer) is 'The short form of listeners as rows';

-- A listener row entered in the short form becomes one row for each address.
create function logic.expand_listener() returns trigger language plpgsql as $$
declare
  item record;
  first boolean := true;
begin
  if new.address !~ '[,[:space:]\[]' and new.address !~ '^(\d+\.\d+\.\d+\.\d+|\*):\d+$' then return new; end if;
  for item in select * from control.parse_listeners(new.address, new.port) loop
    if first then
      new.address := item.address;
      new.port := item.port;
      first := false;
    else
      insert into control.listener (service, address, port, tls, mode, enabled, proxy_ip_list_id)
      values (new.service, item.address, item.port, new.tls, new.mode, new.enabled, new.proxy_ip_list_id);
    end if;
  end loop;
  return new;
end $$;
create trigger expand before insert or update of address on control.listener
for each row execute function logic.expand_listener();

-- Replaces a service's listeners of one kind (TLS and mode) by what the short form says.
create or replace function control.set_listeners(service text, spec text, tls control.tls_mode default 'starttls',
  mode control.listener_mode default 'standard') returns setof control.listener language plpgsql as $$
#variable_conflict use_column
begin
  if not exists (select 1 from control.service s where s.name = set_listeners.service) then
    raise exception 'there is no service "%"', service using errcode = 'foreign_key_violation';
  end if;
  delete from control.listener l where l.service = set_listeners.service and l.tls = set_listeners.tls and l.mode = set_listeners.mode
    and not exists (select 1 from control.parse_listeners(spec) p where p.address = l.address and p.port = l.port);
  insert into control.listener (service, address, port, tls, mode)
  select set_listeners.service, p.address, p.port, set_listeners.tls, set_listeners.mode from control.parse_listeners(spec) p
  where not exists (select 1 from control.listener l where l.service = set_listeners.service and l.tls = set_listeners.tls
    and l.mode = set_listeners.mode and l.address = p.address and l.port = p.port);
  return query select l.* from control.listener l
    where l.service = set_listeners.service and l.tls = set_listeners.tls and l.mode = set_listeners.mode order by l.id;
end $$;
comment on function control.set_listeners(text, text, control.tls_mode, control.listener_mode) is
  'Replaces a service''s listeners: select control.set_listeners(''smtp'', ''192.168.0.1 25, * 2525'')';

-- Of a token only its hash is kept: who reads the table, or a backup of it, cannot use it.
create function logic.hash_token() returns trigger language plpgsql as $$
begin
  if new.token ~ '^sha256:[0-9a-f]{64}$' then return new; end if;
  if length(new.token) < 20 then
    raise exception 'a token has at least 20 characters, so that nobody guesses it' using errcode = 'check_violation', column = 'token';
  end if;
  new.token := 'sha256:' || encode(sha256(convert_to(new.token, 'UTF8')), 'hex');
  return new;
end $$;
create trigger hash before insert or update of token on control.metrics_token for each row execute function logic.hash_token();
