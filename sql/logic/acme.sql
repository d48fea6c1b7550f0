-- Certificates: what is known of them, and orders to an authority (ACME).

create function logic.acme_snapshot() returns jsonb language sql stable as $$
  select to_jsonb(s) || jsonb_build_object('answers', (select coalesce(jsonb_agg(to_jsonb(a) order by a.created_at, a.token), '[]') from control.acme_answer a))
  from control.acme s
$$;

-- A certificate that is another one now is read anew.
create function logic.reread_certificate() returns trigger language plpgsql as $$
begin
  if (new.own_names, new.not_before, new.not_after, new.error) is not distinct from (old.own_names, old.not_before, old.not_after, old.error) then
    new.own_names := null;
    new.not_before := null;
    new.not_after := null;
    new.error := null;
  end if;
  return new;
end $$;
create trigger reread before update on control.certificate for each row
when ((old.chain, old.key::text, old.names) is distinct from (new.chain, new.key::text, new.names)) execute function logic.reread_certificate();

create function logic.normalise_acme_names() returns trigger language plpgsql as $$
declare bad text;
begin
  select coalesce(array_agg(n.name order by n.first), '{}') into new.names
  from (select rtrim(lower(btrim(t.name)), '.') as name, min(t.place) as first from unnest(new.names) with ordinality t(name, place) group by 1) n;
  select n into bad from unnest(new.names) n
  where n is null or length(n) > 253 or n !~ '^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$' or n ~ '^[0-9.]+$' limit 1;
  if found then
    raise exception '%', case
      when bad is null then 'a host name is missing'
      when bad like '*.%' then format('"%s" is a wildcard: an authority gives those only for proof in the DNS, which is not supported; name the hosts', bad)
      else format('"%s" is no full host name; international names are written as xn--…', bad) end using errcode = 'check_violation';
  end if;
  return new;
end $$;
create trigger normalise before insert or update of names on control.acme_certificate
for each row execute function logic.normalise_acme_names();

-- What a person changes is tried at once.
create function logic.restart_acme_certificate() returns trigger language plpgsql as $$
begin
  new.next_attempt_at := null;
  if new.names is distinct from old.names then
    new.failures := 0;
    new.last_error := null;
    delete from control.acme_order where acme_certificate_id = new.id;
  end if;
  return new;
end $$;
create trigger restart before update on control.acme_certificate for each row
when ((old.names, old.active, old.renew_at) is distinct from (new.names, new.active, new.renew_at) and new.next_attempt_at is not distinct from old.next_attempt_at)
execute function logic.restart_acme_certificate();

create function logic.restart_acme() returns trigger language plpgsql as $$
begin
  update control.acme_certificate set next_attempt_at = null where next_attempt_at is not null;
  return null;
end $$;
create trigger restart after update on control.acme for each row
when (old.* is distinct from new.*) execute function logic.restart_acme();

-- Has the nodes read the settings again, without a word in the audit log: answers to an authority come and go.
create function logic.tell_nodes() returns void language sql as $$
  insert into control.touched as t (transaction, config) values (pg_current_xact_id(), true)
  on conflict (transaction) do update set config = true where not t.config
$$;

-- Host names that a certificate is served for.
create function logic.served_names(c control.certificate) returns text[] language sql stable as $$
  select case when cardinality(c.names) > 0 then c.names else coalesce(c.own_names, '{}') end
$$;

-- Keeps a certificate that somebody has brought or made, with the rights of who asks. One of the same source for the same names (those
-- given, else those inside) is replaced.
create function logic.keep_certificate(new_chain text, new_key text, host_names text[], inside text[], beginning timestamptz, ending timestamptz, from_source text,
  out id bigint, out is_new boolean) language plpgsql as $$
declare
  wanted text[] := case when cardinality(host_names) > 0 then host_names else inside end;
begin
  is_new := false;
  update control.certificate c
  set chain = new_chain, key = new_key, names = host_names, own_names = inside, not_before = beginning, not_after = ending, error = null, active = true
  where c.id = (
    select f.id from control.certificate f
    cross join lateral (select case when cardinality(f.names) > 0 then f.names else coalesce(f.own_names, '{}') end as names) s
    where f.source = from_source and s.names @> wanted and s.names <@ wanted order by f.active desc, f.id limit 1)
  returning c.id into id;
  if id is null then
    is_new := true;
    insert into control.certificate as c (chain, key, names, own_names, not_before, not_after, source)
    values (new_chain, new_key, host_names, inside, beginning, ending, from_source) returning c.id into id;
  end if;
end $$;

-- Certificates of the authority, and when the next order for each is due.
create view logic.acme_due as
select a.id, a.names, a.certificate_id, greatest(a.next_attempt_at, least(a.renew_at, case
    when c.id is null or c.error is not null or not (c.names @> a.names and c.names <@ a.names) then '-infinity'
    -- Somebody has put another one there, which is about to be read.
    when c.not_after is null then 'infinity'
    else c.not_after - least((c.not_after - c.not_before) / 3, make_interval(days => s.renew_days)) end)) as due_at
from control.acme_certificate a cross join control.acme s left join control.certificate c on c.id = a.certificate_id
where a.active and s.active;

-- What the daemon does with certificates it has got. It does so as a person would: audited, and told to all nodes.
create function logic.finish_acme_order(wanted bigint, new_chain text, new_key text, host_names text[], inside text[], beginning timestamptz, ending timestamptz)
returns void language plpgsql as $$
declare
  a control.acme_certificate;
  kept bigint;
begin
  perform set_config('mailwright.daemon', 'off', true);
  select * into a from control.acme_certificate x where x.id = wanted for update;
  -- Nobody wants it any more.
  if not found then return; end if;
  update control.certificate c set chain = new_chain, key = new_key, names = host_names, source = 'acme',
    own_names = inside, not_before = beginning, not_after = ending, error = null
  where c.id = a.certificate_id returning c.id into kept;
  if kept is null then
    -- The one that an earlier row had for the same names; it would be served instead.
    update control.certificate c set chain = new_chain, key = new_key, names = host_names, own_names = inside, not_before = beginning, not_after = ending, error = null
    where c.id = (select f.id from control.certificate f where f.source = 'acme' and f.names @> host_names and f.names <@ host_names
      and not exists (select 1 from control.acme_certificate o where o.certificate_id = f.id) order by f.active desc, f.id limit 1) returning c.id into kept;
  end if;
  if kept is null then
    insert into control.certificate (chain, key, names, source, own_names, not_before, not_after)
    values (new_chain, new_key, host_names, 'acme', inside, beginning, ending) returning id into kept;
  end if;
  -- The rest is for those who look, and no change of settings.
  perform set_config('mailwright.daemon', 'on', true);
  -- An authority whose certificates are always due must not be asked without end.
  update control.acme_certificate x set certificate_id = kept, renew_at = null, failures = 0, last_error = null, last_attempt_at = now(),
    next_attempt_at = case when x.names = host_names then now() + interval '1 minute' end where x.id = wanted;
  delete from control.acme_order o where o.acme_certificate_id = wanted;
end $$;

create view report.certificate as
select c.id, logic.served_names(c) as names, c.source, c.active, c.not_before, c.not_after,
  floor(extract(epoch from c.not_after - now()) / 86400)::integer as days_left,
  case when c.error is not null then 'unusable'
    when c.not_after is null then 'not read yet'
    when c.not_after < now() then 'expired'
    when c.not_before > now() then 'not valid yet'
    when c.not_after - now() < least((c.not_after - c.not_before) / 4, interval '21 days') then 'expires soon'
    else 'valid' end as state,
  c.error, a.id as acme_certificate_id, a.last_error as renewal_error, d.due_at as renewal_at, c.created_at
from control.certificate c left join control.acme_certificate a on a.certificate_id = c.id left join logic.acme_due d on d.id = a.id;
comment on view report.certificate is 'Certificates and how long they are valid';
comment on column report.certificate.names is 'Host names it is served for';
comment on column report.certificate.days_left is 'Whole days until it expires; negative when it has';
comment on column report.certificate.state is 'valid, expires soon (a quarter of its life or 21 days are left), expired, not valid yet, unusable (see error), not read yet (by a running server)';
comment on column report.certificate.acme_certificate_id is 'Row of control.acme_certificate that renews it';
comment on column report.certificate.renewal_error is 'Why its last renewal failed';
comment on column report.certificate.renewal_at is 'When it is renewed';
select logic.take_comments('report.certificate', 'control.certificate');
