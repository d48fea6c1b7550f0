-- Keys that sign mail: how they are made, put to use and replaced.

-- Begins a new key. The server fills it in within a moment and sets it to ready.
create or replace function directory.make_dkim_key(domain text, algorithm text default 'rsa-sha256', selector text default null)
returns directory.dkim_key language plpgsql as $$
declare
  owner bigint;
  dated text := 'mw' || to_char(now() at time zone 'utc', 'YYYYMMDD') || case when make_dkim_key.algorithm like 'ed25519%' then 'e' else 'r' end;
  made directory.dkim_key;
begin
  select d.id into owner from directory.domain d where d.name = lower(make_dkim_key.domain);
  if not found then
    raise exception 'there is no domain "%" here', make_dkim_key.domain using errcode = 'foreign_key_violation';
  end if;
  if selector is null then
    select dated || coalesce(nullif(n, 1)::text, '') into selector from generate_series(1, 1000) n
    where not exists (select 1 from directory.dkim_key k where k.domain_id = owner and k.selector = dated || coalesce(nullif(n, 1)::text, ''))
    order by n limit 1;
  end if;
  insert into directory.dkim_key (domain_id, selector, algorithm) values (owner, lower(make_dkim_key.selector), make_dkim_key.algorithm)
  returning * into made;
  return made;
end $$;
comment on function directory.make_dkim_key(text, text, text) is
  'Makes a key for DKIM: select * from directory.make_dkim_key(''example.test''); the server fills it in, report.dkim_record shows what to publish';

-- Puts a key to use; the active key of the same algorithm retires.
create or replace function directory.activate_dkim_key(id bigint) returns directory.dkim_key language plpgsql as $$
declare k directory.dkim_key;
begin
  select * into k from directory.dkim_key x where x.id = activate_dkim_key.id for update;
  if not found then
    raise exception 'there is no DKIM key %', activate_dkim_key.id using errcode = 'no_data_found';
  end if;
  if k.state = 'making' then
    raise exception 'DKIM key % is not made yet%', k.id, coalesce(': ' || k.error, '') using errcode = 'check_violation';
  end if;
  update directory.dkim_key x set state = 'retired', retired_at = now()
  where x.domain_id = k.domain_id and x.algorithm = k.algorithm and x.state = 'active' and x.id <> k.id;
  update directory.dkim_key x
  set state = 'active', activate_when_published = false, activated_at = coalesce(x.activated_at, now()), retired_at = null
  where x.id = k.id returning * into k;
  return k;
end $$;
comment on function directory.activate_dkim_key(bigint) is
  'Signs with this key from now on, and no more with the one of the same algorithm that did; publish its DNS record first';

-- Makes successors of all active keys of a domain. Each takes over when its DNS record is there.
create or replace function directory.rotate_dkim_keys(domain text) returns setof directory.dkim_key language plpgsql as $$
declare
  old record;
  made directory.dkim_key;
begin
  for old in
    select k.algorithm from directory.dkim_key k join directory.domain d on d.id = k.domain_id
    where d.name = lower(rotate_dkim_keys.domain) and k.state = 'active'
      and not exists (select 1 from directory.dkim_key n where n.domain_id = k.domain_id and n.algorithm = k.algorithm
        and n.state in ('making', 'ready') and n.activate_when_published)
    order by k.algorithm
  loop
    made := directory.make_dkim_key(domain, old.algorithm);
    update directory.dkim_key k set activate_when_published = true where k.id = made.id returning * into made;
    return next made;
  end loop;
end $$;
comment on function directory.rotate_dkim_keys(text) is
  'Makes new keys for a domain; each takes over by itself as soon as the DNS has its record (report.dkim_record)';

-- What the daemon does with keys. It does so as a person would: audited, and told to all nodes. Each call is a transaction.
create function logic.as_a_person() returns void language sql as $$
  select set_config('mailwright.daemon', 'off', true)
$$;
create function logic.finish_dkim_key(key bigint, private text, public text) returns void language plpgsql as $$
begin
  perform logic.as_a_person();
  update directory.dkim_key set state = 'ready', private_key = coalesce(private_key, private), public_key = public, error = null
  where id = key and state = 'making';
end $$;
create function logic.refuse_dkim_key(key bigint, why text) returns void language plpgsql as $$
begin
  perform logic.as_a_person();
  update directory.dkim_key set error = why where id = key and state = 'making' and error is distinct from why;
end $$;
create function logic.activate_published_dkim_key(key bigint) returns void language plpgsql as $$
begin
  perform logic.as_a_person();
  perform directory.activate_dkim_key(key);
end $$;
create function logic.rotate_old_dkim_keys() returns void language plpgsql as $$
declare s control.dkim := (select s from control.dkim s);
begin
  perform logic.as_a_person();
  if s.rotate_days > 0 then
    perform directory.rotate_dkim_keys(d.name) from directory.domain d
    where exists (select 1 from directory.dkim_key k where k.domain_id = d.id and k.state = 'active'
      and k.activated_at < now() - make_interval(days => s.rotate_days));
  end if;
  if exists (select 1 from directory.dkim_key k where k.state = 'retired' and k.retired_at < now() - make_interval(days => s.overlap_days)) then
    delete from directory.dkim_key k where k.state = 'retired' and k.retired_at < now() - make_interval(days => s.overlap_days);
  end if;
end $$;

create view report.dkim_record as
select k.selector || '._domainkey.' || d.name as name,
  'v=DKIM1; ' || case when k.algorithm = 'ed25519-sha256' then 'k=ed25519; ' else 'k=rsa; ' end || 'p=' || k.public_key as value,
  k.state, case when k.state = 'retired' then k.retired_at + make_interval(days => s.overlap_days) end as remove_at, k.id as key_id
from directory.dkim_key k join directory.domain d on d.id = k.domain_id, control.dkim s
where k.public_key is not null;
comment on view report.dkim_record is 'DNS records (TXT) to publish for DKIM';
comment on column report.dkim_record.name is 'Name of the record';
comment on column report.dkim_record.value is 'Its text; longer than 255 bytes it is split into several strings, as most DNS servers do for you';
comment on column report.dkim_record.state is 'State of the key: a ready one is waiting for its record';
comment on column report.dkim_record.remove_at is 'When the record of a retired key may go';
comment on column report.dkim_record.key_id is 'The key, for directory.activate_dkim_key';
