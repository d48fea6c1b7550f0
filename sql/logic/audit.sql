-- Every change of settings and directory leaves a row in log.audit, whoever made it and by whatever way.
-- Arguments of the trigger: the key columns and the secret columns of its table, as the catalog names them.

create function logic.pick(row_value jsonb, columns text[]) returns jsonb language sql immutable parallel safe as $$
  select coalesce(jsonb_object_agg(key, value), '{}') from jsonb_each(row_value) where key = any(columns)
$$;

create function logic.hide(row_value jsonb, secrets text[]) returns jsonb language sql immutable parallel safe as $$
  select jsonb_object_agg(key, case when key = any(secrets) and value <> 'null' then '"(hidden)"'::jsonb else value end)
  from jsonb_each(row_value)
$$;

create function logic.audit() returns trigger language plpgsql as $$
declare
  keys text[] := string_to_array(tg_argv[0], ',');
  secrets text[] := coalesce(string_to_array(nullif(tg_argv[1], ''), ','), '{}');
  who text := coalesce(nullif(current_setting('mailwright.actor', true), ''), session_user);
  from_peer text := coalesce(nullif(current_setting('mailwright.peer', true), ''), host(inet_client_addr()));
  by_path text := nullif(current_setting('application_name'), '');
  taken_back bigint := nullif(current_setting('mailwright.undoes', true), '')::bigint;
  full_name text := format('%I.%I', tg_table_schema, tg_table_name);
begin
  if tg_op = 'INSERT' then
    insert into log.audit (actor, peer, path, table_name, action, key, new, undoes)
    select who, from_peer, by_path, full_name, 'insert', logic.pick(to_jsonb(n), keys), logic.hide(to_jsonb(n), secrets), taken_back
    from new_rows n;
  elsif tg_op = 'DELETE' then
    insert into log.audit (actor, peer, path, table_name, action, key, old, undoes)
    select who, from_peer, by_path, full_name, 'delete', logic.pick(to_jsonb(o), keys), logic.hide(to_jsonb(o), secrets), taken_back
    from old_rows o;
  else
    -- A changed key pairs with nothing: it is a deletion and an insertion then.
    insert into log.audit (actor, peer, path, table_name, action, key, old, new, undoes)
    select who, from_peer, by_path, full_name,
      case when n.j is null then 'delete' when o.j is null then 'insert' else 'update' end,
      coalesce(o.k, n.k), logic.hide(o.j, secrets), logic.hide(n.j, secrets), taken_back
    from (select to_jsonb(r) as j, logic.pick(to_jsonb(r), keys) as k from old_rows r) o
    full join (select to_jsonb(r) as j, logic.pick(to_jsonb(r), keys) as k from new_rows r) n on n.k = o.k
    where o.j is distinct from n.j;
  end if;
  return null;
end $$;

do $$
declare t record;
begin
  for t in
    select format('%I.%I', n.nspname, c.relname) as name,
      (select string_agg(a.attname, ',' order by a.attnum) from pg_index i join pg_attribute a
         on a.attrelid = i.indrelid and a.attnum = any(i.indkey) where i.indrelid = c.oid and i.indisprimary) as keys,
      coalesce((select string_agg(a.attname, ',') from pg_attribute a
         where a.attrelid = c.oid and a.attnum > 0 and a.atttypid = 'control.secret'::regtype), '') as secrets
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind = 'r' and n.nspname in ('control', 'directory')
      and format('%s.%s', n.nspname, c.relname) not in ('control.generation', 'control.touched', 'control.lease', 'control.logic', 'directory.address',
        'directory.domain_name')
  loop
    execute format('create trigger audit_insert after insert on %s referencing new table as new_rows for each statement
      when (current_setting(''mailwright.daemon'', true) is distinct from ''on'') execute function logic.audit(%L, %L)', t.name, t.keys, t.secrets);
    execute format('create trigger audit_delete after delete on %s referencing old table as old_rows for each statement
      when (current_setting(''mailwright.daemon'', true) is distinct from ''on'') execute function logic.audit(%L, %L)', t.name, t.keys, t.secrets);
    execute format('create trigger audit_update after update on %s referencing old table as old_rows new table as new_rows for each statement
      when (current_setting(''mailwright.daemon'', true) is distinct from ''on'') execute function logic.audit(%L, %L)', t.name, t.keys, t.secrets);
  end loop;
end $$;

-- The newest changes of a row, by number. As the owner: under row-level security the index could not be used, for comparing documents
-- might tell what is in them. What the numbers stand for is read under row-level security.
create function logic.audit_ids(of_table text, of_key jsonb) returns bigint[] language sql stable security definer set search_path = pg_catalog as $$
  select array(select a.id from log.audit a where a.table_name = of_table and a.key = of_key order by a.id desc limit 1000)
$$;

-- Takes one audited change back, under the same checks as any other change. Returns the number of the change it made.
create or replace function control.undo(change bigint) returns bigint language plpgsql as $$
declare
  a log.audit;
  matches text;
  columns text;
  current_row jsonb;
  made bigint;
  hit bigint;
begin
  select * into a from log.audit where id = change;
  if not found then
    raise exception 'there is no change % in log.audit', change using errcode = 'no_data_found';
  end if;
  if a.action = 'view' then
    raise exception 'change % was a look into a mailbox, and nothing was changed', change;
  end if;
  if a.table_name !~ '^(control|directory)\.[a-z_]+$' or to_regclass(a.table_name) is null then
    raise exception 'change % is in %, which cannot be undone', change, a.table_name;
  end if;
  select string_agg(format('t.%I is not distinct from k.%I', key, key), ' and ') into matches from jsonb_object_keys(a.key) key;
  execute format('select to_jsonb(t) from %s t, jsonb_populate_record(null::%s, $1) k where %s', a.table_name, a.table_name, matches)
    into current_row using a.key;
  perform set_config('mailwright.undoes', change::text, true);
  if a.action = 'insert' then
    if current_row is null then
      raise exception 'the row that change % made is gone already', change;
    end if;
    execute format('delete from %s t using jsonb_populate_record(null::%s, $1) k where %s', a.table_name, a.table_name, matches)
      using a.key;
  elsif a.action = 'delete' then
    if current_row is not null then
      raise exception 'the row that change % deleted is there again', change;
    end if;
    select string_agg(e.key, ', ') into columns from jsonb_each(a.old) e
    join pg_attribute t on t.attrelid = to_regclass(a.table_name) and t.attname = e.key and t.attnotnull where e.value = '"(hidden)"';
    if columns is not null then
      raise exception 'the row that change % deleted cannot come back: the log does not keep its secrets (%), and it cannot be without them', change, columns;
    end if;
    -- What was hidden is not known any more and stays empty.
    select string_agg(format('%I', e.key), ', ') into columns from jsonb_each(a.old) e where e.value <> '"(hidden)"';
    execute format('insert into %s (%s) select %s from jsonb_populate_record(null::%s, $1)', a.table_name, columns, columns, a.table_name)
      using a.old;
    if exists (select 1 from jsonb_each(a.old) e where e.value = '"(hidden)"') then
      raise notice 'secrets are not kept in the log: set the password of this row anew';
    end if;
  else
    if current_row is null then
      raise exception 'the row that change % was made in is gone', change;
    end if;
    select string_agg(format('%I', o.key), ', ') into columns
    from jsonb_each(a.old) o where o.value is distinct from a.new -> o.key and o.value <> '"(hidden)"';
    if columns is null then
      raise exception 'change % was of a secret, which the log does not keep', change;
    end if;
    select min(later.id) into hit from jsonb_each(a.new) n, log.audit later
    where n.value is distinct from a.old -> n.key and n.value is distinct from current_row -> n.key
      and later.table_name = a.table_name and later.key = a.key and later.id > a.id and later.action <> 'view';
    if hit is not null then
      raise exception 'this row has been changed again since (change %): undo that one first', hit;
    end if;
    execute format('update %s t set (%s) = (select %s from jsonb_populate_record(null::%s, $2))
        from jsonb_populate_record(null::%s, $1) k where %s',
      a.table_name, columns, columns, a.table_name, a.table_name, matches)
      using a.key, a.old;
  end if;
  perform set_config('mailwright.undoes', '', true);
  select max(id) into made from log.audit where undoes = change;
  return made;
end $$;
comment on function control.undo(bigint) is 'Takes back one change of log.audit, unless the row has changed again since';
