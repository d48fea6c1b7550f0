-- Who is told of a change: every change in schemas control and directory, and by hand in what the nodes learn and
-- remember of others, raises control.generation once per transaction, at its end, and rings the nodes. The row lock on the generation is therefore held for the moment of
-- the commit only, however long the transaction was.

create function logic.touch() returns trigger language plpgsql as $$
begin
  insert into control.touched as t (transaction, config)
  values (pg_current_xact_id(), tg_table_schema = 'control')
  on conflict (transaction) do update set config = true where excluded.config and not t.config;
  return null;
end $$;

create function logic.raise_generation() returns trigger language plpgsql as $$
declare
  raised bigint;
  is_config boolean;
begin
  -- Deferred to the end of the transaction; the row as it is then, not as it was inserted.
  delete from control.touched where transaction = new.transaction returning config into is_config;
  if not found then return null; end if;
  update control.generation
  set value = value + 1, config = case when is_config then value + 1 else config end, changed_at = now()
  returning value into raised;
  perform pg_notify('control', raised::text);
  return null;
end $$;

create constraint trigger raise_generation after insert on control.touched
deferrable initially deferred for each row execute function logic.raise_generation();

do $$
declare t record;
begin
  for t in
    select format('%I.%I', n.nspname, c.relname) as name
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind = 'r' and (n.nspname in ('control', 'directory')
        and c.relname not in ('generation', 'touched', 'lease', 'logic')
      or c.oid in ('screen.greylist'::regclass, 'screen.greylist_network'::regclass, 'queue.sts_policy'::regclass))
  loop
    -- These only mirror others, and are written within the same statements.
    continue when t.name in ('directory.address', 'directory.domain_name');
    execute format('create trigger touch after insert or update or delete or truncate on %s for each statement
      when (current_setting(''mailwright.daemon'', true) is distinct from ''on'') execute function logic.touch()', t.name);
  end loop;
end $$;

-- A row deleted from live.session by a person ends that session. The nodes delete the rows of sessions that have
-- ended, and say so by their setting.
create function logic.ring_sessions() returns trigger language plpgsql as $$
begin
  perform pg_notify('control', 'session');
  return null;
end $$;
create trigger ring after delete on live.session for each statement
  when (current_setting('mailwright.daemon', true) is distinct from 'on') execute function logic.ring_sessions();
create trigger ring_truncate after truncate on live.session for each statement execute function logic.ring_sessions();
