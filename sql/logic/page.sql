-- What the pages are made of, from the catalog: no page has code of its own, here or in the daemon. Names of pages and columns are
-- looked up in the catalog before they stand in a statement, and values are bound. Everything runs with the rights of who asks.

-- The view of a page; what is not in the menu does not exist.
create function logic.page_view(page text) returns regclass language plpgsql stable as $$
declare v regclass;
begin
  select c.oid into v from pg_class c join logic.page p on p.name = c.relname
  where c.relnamespace = 'admin'::regnamespace and c.relkind = 'v' and c.relname = page;
  if v is null then
    raise exception 'there is no page %', left(page, 100) using errcode = 'no_data_found';
  end if;
  return v;
end $$;

create function logic.page_key(v regclass) returns text[] language sql stable as $$
  select array_agg(a.attname::text order by k.nth)
  from pg_class c join logic.page p on p.name = c.relname
  join pg_index i on i.indrelid = p.of_table and i.indisprimary
  cross join unnest(i.indkey) with ordinality as k (attnum, nth)
  join pg_attribute a on a.attrelid = p.of_table and a.attnum = k.attnum
  where c.oid = v
$$;

-- What may be done on a page: 4 change, 8 make, 16 remove, as pg_relation_is_updatable has it. What happens by itself (sessions, queue,
-- logs) has buttons at most: nobody writes it by hand.
create function logic.page_rights(v regclass) returns integer language sql stable as $$
  select case when n.nspname not in ('control', 'directory') then 0 else pg_relation_is_updatable(v, true) & case logic.web_kind()
    when 'system' then 28
    when 'user' then case v::text when 'admin.my_account' then 4 else 0 end
    when 'domain' then case v::text when 'admin.account' then 28 when 'admin.alias' then 28 when 'admin.domain' then 4 else 0 end
    else 0 end end
  from pg_class c join logic.page p on p.name = c.relname join pg_class t on t.oid = p.of_table join pg_namespace n on n.oid = t.relnamespace
  where c.oid = v
$$;

-- The columns of a page; stored: not worked out for each row; indexed: an index begins with it, so that rows are found by it without reading
-- everything, and it is not the key. Each page asks for them several times; as plpgsql the question is planned once in a session, which is most of
-- what it costs (1 ms instead of 5).
create function logic.page_columns(v regclass)
returns table (name text, help text, type text, kind text, required boolean, nullable boolean, writable boolean, is_key boolean, refers text, options text[], preset text,
  stored boolean, indexed boolean)
language plpgsql stable as $$
declare key text[] := logic.page_key(v);
begin
  return query select a.attname::text, col_description(v, a.attnum), format_type(a.atttypid, a.atttypmod),
    case
      when f.page is not null then 'reference'
      when a.atttypid = 'control.password'::regtype then 'password'
      when a.atttypid = 'control.secret'::regtype then 'secret'
      when a.atttypid = 'control.query'::regtype then 'query'
      when base.typtype = 'e' then 'choice'
      when base.typcategory = 'A' then 'lines'
      when base.oid = 'boolean'::regtype then 'yes or no'
      when base.typcategory = 'N' then 'number'
      when base.oid = 'timestamptz'::regtype then 'time'
      when base.oid in ('jsonb'::regtype, 'json'::regtype) then 'document'
      when a.attname in ('chain', 'body', 'comment', 'text', 'rules', 'description') then 'long text'
      else 'text' end,
    coalesce(b.attnotnull and not b.atthasdef and b.attidentity = '', false), not coalesce(b.attnotnull, false),
    coalesce(b.attidentity = '' and b.attgenerated = '' and a.attname not in ('created_at', 'only_row', 'own_names', 'not_before', 'not_after', 'error', 'last_error')
      and (pg_column_is_updatable(v, a.attnum, true)), a.atttypid in ('control.secret'::regtype, 'control.password'::regtype)),
    a.attname = any(key),
    f.page,
    case when base.typtype = 'e' then array(select e.enumlabel::text from pg_enum e where e.enumtypid = base.oid order by e.enumsortorder) end,
    pg_get_expr(d.adbin, d.adrelid), b.attnum is not null,
    a.attname <> all (key) and b.atttypid = a.atttypid and exists (select 1 from pg_index i where i.indrelid = b.attrelid and i.indkey[0] = b.attnum)
  from pg_class c
  join logic.page p on p.name = c.relname
  join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  join pg_type t on t.oid = a.atttypid
  join pg_type base on base.oid = case when t.typtype = 'd' then t.typbasetype else t.oid end
  left join pg_attribute b on b.attrelid = p.of_table and b.attname = a.attname and not b.attisdropped
  left join pg_attrdef d on d.adrelid = b.attrelid and d.adnum = b.attnum
  left join lateral (
    select r.name as page from pg_constraint k join logic.page r on r.of_table = k.confrelid
    where k.contype = 'f' and k.conrelid = p.of_table and k.conkey = array[b.attnum] order by r.place limit 1) f on true
  where c.oid = v
  order by a.attnum;
end $$;

-- How a list is narrowed by a column: by a choice of what it may be, by the least that it may be (levels), from and until a time, or
-- exactly; null = not at all.
create function logic.page_filter(kind text, type text, indexed boolean) returns text language sql immutable as $$
  select case
    when type = 'log.level' then 'least'
    when kind in ('choice', 'yes or no', 'reference', 'time') then kind
    when kind in ('text', 'number') and indexed then 'exact' end
$$;

-- What the values of a column lead to: the beginning of an address; null = nowhere.
create function logic.page_leads(page text, name text) returns text language sql immutable as $$
  select '/admin/message/' where page in ('delivery', 'trace') and name = 'message'
$$;

-- The condition of one filter of a list: by its name a column, or from. or until. a column; the value is bound as $2 ->> its name.
create function logic.page_condition(filter text, value text, name text, type text, kind text, options text[]) returns text language sql immutable as $$
  select format(case
      when kind = 'choice' and value <> all (options) then ' and false'
      when filter like 'from.%' then ' and v.%1$I >= ($2 ->> %2$L)::%3$s'
      when filter like 'until.%' then ' and v.%1$I < ($2 ->> %2$L)::%3$s'
      when kind = 'choice' or type = 'bigint' and value ~ '^-?[0-9]{1,18}$' or type = 'integer' and value ~ '^-?[0-9]{1,9}$' then ' and v.%1$I = ($2 ->> %2$L)::%3$s'
      else ' and v.%1$I::text = $2 ->> %2$L' end, name, filter, type)
$$;

-- The menu: each page that this administrator may see, in order.
create function logic.pages() returns jsonb language sql stable as $$
  select coalesce(jsonb_agg(jsonb_build_object('name', p.name, 'menu', p.menu, 'title', p.title,
    'address', case when p.of_table is null then '/admin/' else '/admin/page/' end || p.name) order by p.place), '[]')
  from logic.page p, (select logic.web_kind() as kind) w where w.kind = any(p.kinds)
$$;

-- All that is known of a page.
create function logic.page(page text) returns jsonb language plpgsql stable as $$
declare
  v regclass := logic.page_view(page);
  key text[] := logic.page_key(v);
  rights integer := logic.page_rights(v);
  p logic.page;
begin
  perform logic.must_see_page(page);
  select * into p from logic.page x where x.name = page;
  return jsonb_build_object(
    'name', page, 'title', p.title, 'help', p.help, 'menu', p.menu,
    'key', key, 'one_row', key = array['only_row'],
    'may_change', rights & 4 <> 0, 'may_make', rights & 8 <> 0 and key <> array['only_row'], 'may_remove', rights & 16 <> 0 and key <> array['only_row'],
    'columns', (select jsonb_agg(to_jsonb(k) || jsonb_build_object('label', logic.page_title(regexp_replace(k.name, '_id$', '')),
      'filter', logic.page_filter(k.kind, k.type, k.indexed), 'leads', logic.page_leads(page, k.name))) from logic.page_columns(v) k
      where k.name <> 'only_row'),
    'actions', coalesce((
      select jsonb_agg(jsonb_build_object('name', f.proname, 'label', regexp_replace(words, '[!:].*$', ''), 'grave', words ~ '^[^:]*!',
        'warning', nullif(substring(words from ': ?(.*)$'), '')) order by f.oid)
      from pg_proc f cross join lateral (select coalesce(obj_description(f.oid), f.proname) as words) w
      where f.pronamespace = 'admin'::regnamespace and f.pronargs = 1 and logic.web_kind() <> 'auditor'
        and f.proargtypes[0] = (select c.reltype from pg_class c where c.oid = v)), '[]'),
    -- The one row that there is for who looks.
    'sole', case when page = 'my_account' then jsonb_build_object('id', logic.web_account()) end,
    -- Pages of the daemon about a row; its key comes behind the address.
    'links', case when page = 'account' and (logic.web_kind() = 'system' or logic.web_kind() = 'domain' and exists (
        select 1 from directory.domain d where d.id = logic.web_domain() and d.administrators_read_mail))
      then '[["Look into the mailbox (a reason is asked for)", "/admin/mailbox/"]]'::jsonb else '[]' end,
    'children', coalesce((
      select jsonb_agg(jsonb_build_object('page', ch.name, 'title', ch.title, 'column', a.attname) order by ch.place)
      from pg_constraint k join logic.page ch on ch.of_table = k.conrelid and logic.web_kind() = any(ch.kinds)
      join pg_attribute a on a.attrelid = k.conrelid and a.attnum = k.conkey[1]
      where k.contype = 'f' and k.confrelid = p.of_table and cardinality(k.conkey) = 1), '[]'));
end $$;

create function logic.page_has_addresses(v regclass) returns boolean language sql stable as $$
  select count(*) = 2 from pg_attribute a where a.attrelid = v and a.attname in ('local_part', 'domain_id') and not a.attisdropped
$$;

-- The column that the label is made of, or the most of it: by it rows are ordered and searched, for it may have an index.
create function logic.page_label_column(v regclass) returns text language sql stable as $$
  select coalesce((
    select quote_ident(a.attname) from pg_attribute a
    where a.attrelid = v and a.attname in ('name', 'address', 'local_part', 'pattern', 'domain') and not a.attisdropped
    order by array_position(array['name', 'address', 'local_part', 'pattern', 'domain'], a.attname::text) limit 1),
    (select format('(%I)::text', k) from unnest(logic.page_key(v)) k limit 1))
$$;

-- What a row of a page is called where others refer to it: an expression over its view. Who has a local part is called by the address.
create function logic.page_label(v regclass) returns text language sql stable as $$
  select case when logic.page_has_addresses(v) then 'local_part || ''@'' || (select d.name from admin.domain d where d.id = domain_id)'
    else logic.page_label_column(v) end
$$;

-- The names of rows that a reference names by their keys: pairs of key and name.
create function logic.page_labels(page text, ids text[]) returns jsonb language plpgsql stable as $$
declare
  v regclass := logic.page_view(page);
  key record;
  found jsonb;
begin
  select k.name, k.type into key from logic.page_columns(v) k where k.is_key limit 1;
  execute format('select coalesce(jsonb_agg(jsonb_build_array(id, label) order by label), ''[]'') from (
      select %1$I::text as id, %2$s as label from %3$s where %1$I = any($1::%4$s[])) o',
    key.name, logic.page_label(v), v, key.type) into found using ids;
  return found;
end $$;

-- Rows that a reference may choose from, in the order of their names: pairs of key and name, and one more than can be shown where
-- there are too many to choose from.
create function logic.page_options(page text) returns jsonb language plpgsql stable as $$
declare
  v regclass := logic.page_view(page);
  found jsonb;
begin
  execute format('select coalesce(jsonb_agg(jsonb_build_array(id, label) order by label), ''[]'') from (
      select %1$I::text as id, %2$s as label from %3$s order by %4$s limit 301) o',
    (logic.page_key(v))[1], logic.page_label(v), v, logic.page_label_column(v)) into found;
  return found;
end $$;

-- The key of the row that is called so, for a reference that is typed; null when there is none, or more than one. Of an address the local
-- part alone will do where only one has it.
create function logic.page_named(page text, label text) returns text language plpgsql stable as $$
declare
  v regclass := logic.page_view(page);
  of_domain text;
  found text[];
begin
  if logic.page_has_addresses(v) then
    label := lower(label);
    of_domain := substring(label from '@([^@]*)$');
  end if;
  execute format('select array(select %1$I::text from %2$s where %3$s = $1 %4$s limit 2)', (logic.page_key(v))[1], v, logic.page_label_column(v),
      case when of_domain is not null then 'and domain_id = (select d.id from admin.domain d where d.name = $2)' end)
    into found using left(label, length(label) - coalesce(length(of_domain) + 1, 0)), of_domain;
  return case when cardinality(found) = 1 then found[1] end;
end $$;

-- What else the words of a search find in a row, as alternatives of its condition: what the row refers to is called so (the first 1,000 of
-- that name), or the words are its address ($4: the end of a local part, $5: the beginning of a domain). Keys come from the tables.
create function logic.page_found_by(v regclass, pattern text, has_address boolean) returns text language plpgsql stable as $$
declare
  alternatives text := case when has_address and logic.page_has_addresses(v)
    then ' or v.local_part like $4 and v.domain_id = any (array(select d.id from admin.domain d where d.name ilike $5))' else '' end;
  c record;
  of_page regclass;
  keys text;
begin
  for c in select k.name, k.type, k.refers from logic.page_columns(v) k where k.refers is not null loop
    of_page := logic.page_view(c.refers);
    execute format('select array(select x.%I from %s x where %s ilike $1 limit 1000)::text', (logic.page_key(of_page))[1], of_page,
      logic.page_label_column(of_page)) into keys using pattern;
    if keys <> '{}' then
      alternatives := alternatives || format(' or v.%I = any (%L::%s[])', c.name, keys, c.type);
    end if;
  end loop;
  return alternatives;
end $$;

-- Rows of a page: those that match all filters ({column: value}, or from.column, until.column) and have the words somewhere in their text, in the order of a
-- column, from behind a row on ({"s": its value there, "k": its key}), and whether there are more.
create function logic.page_rows(page text, words text, sorted text, downwards boolean, filters jsonb, behind jsonb, most integer)
returns jsonb language plpgsql stable as $$
declare
  v regclass := logic.page_view(page);
  key text[] := logic.page_key(v);
  cond text := 'true';
  c record;
  sort_type text;
  key_list text;
  key_value text;
  way text := case when downwards then 'desc' else 'asc' end;
  op text := case when downwards then '<' else '>' end;
  order_by text;
  rows jsonb;
  labels jsonb := '{}';
  at_once integer := least(greatest(most, 1), 5000);
  ascii text := case when words ~ '^[ -~]*$' then 'collate "C"' else '' end;
  plain text := regexp_replace(coalesce(words, ''), '([\\%_])', '\\\1', 'g');
begin
  perform logic.must_see_page(page);
  select string_agg(format('v.%I', k.name), ', ' order by array_position(key, k.name)),
    string_agg(format('($3 -> ''k'' ->> %s)::%s', array_position(key, k.name) - 1, k.type), ', ' order by array_position(key, k.name))
  into key_list, key_value from logic.page_columns(v) k where k.is_key;
  -- Only columns are read in which the words can be: choices where one of them has the words, numbers for a number, but none that is worked
  -- out for each row, lists that are not empty. Words of ASCII letters need no other alphabet's rules of upper and lower case, which is half as
  -- much again.
  if words <> '' then
    select format('%s and (%s%s%s)', cond,
      coalesce(format('concat_ws('' '', %s) %s ilike $1', string_agg(format('v.%I', k.name), ', ') filter (where k.kind <> 'lines'), ascii), 'false'),
      string_agg(format(' or v.%1$I <> ''{}'' and v.%1$I::text %2$s ilike $1', k.name, ascii), '') filter (where k.kind = 'lines'),
      logic.page_found_by(v, '%' || plain || '%', strpos(words, '@') > 0))
    into cond from logic.page_columns(v) k
    where k.kind in ('text', 'lines', 'long text', 'query') and (k.name <> 'local_part' or strpos(words, '@') = 0) or k.kind = 'number' and k.stored and words ~ '^-?[0-9]+$'
      or k.kind = 'choice' and exists (select 1 from unnest(k.options) o where strpos(o, lower(words)) > 0);
  end if;
  for c in
    select f.key, f.value, k.name, k.type, k.kind, k.options from jsonb_each_text(filters) f
    join logic.page_columns(v) k on k.name = regexp_replace(f.key, case when k.kind in ('time', 'choice') then '^(from|until)[.]' else '^$' end, '')
  loop
    cond := cond || logic.page_condition(c.key, c.value, c.name, c.type, c.kind, c.options);
  end loop;
  -- What is written as time goes by is ordered by its key: the same order, and an index has it.
  sorted := nullif(sorted, case when cardinality(key) = 1 then 'at' end);
  select k.type into sort_type from logic.page_columns(v) k where k.name = sorted and not k.is_key;
  if sort_type is null then
    order_by := (select string_agg(k || ' ' || way, ', ' order by n) from unnest(string_to_array(key_list, ', ')) with ordinality x (k, n));
    if behind is not null then
      cond := cond || format(' and (%s) %s (%s)', key_list, op, key_value);
    end if;
  else
    order_by := format('v.%I %s nulls last, %s', sorted, way, key_list);
    if behind is not null then
      cond := cond || case when behind ->> 's' is null then format(' and v.%I is null and (%s) > (%s)', sorted, key_list, key_value)
        else format(' and (v.%1$I %2$s ($3 ->> ''s'')::%3$s or v.%1$I = ($3 ->> ''s'')::%3$s and (%4$s) > (%5$s) or v.%1$I is null)',
          sorted, op, sort_type, key_list, key_value) end;
    end if;
  end if;
  -- How rare words are PostgreSQL can only guess, and guesses too rare: it would read and sort all rows where the first 50 that it meets in
  -- the order of the key will do (365 ms instead of 15 in a log of 500,000 rows); where they are rare indeed, both read everything.
  if words <> '' and sort_type is null then
    perform set_config('enable_sort', 'off', true);
  end if;
  execute format('select coalesce(jsonb_agg(to_jsonb(r) order by n), ''[]'') from (
      select v.*, row_number() over (order by %2$s) as n from (select * from %1$s v where %3$s order by %2$s limit %4$s) v) r',
    v, order_by, cond, at_once + 1)
    into rows using '%' || plain || '%', filters, behind, '%' || lower(substring(plain from '^(.*)@')), substring(plain from '@([^@]*)$') || '%';
  perform set_config('enable_sort', 'on', true);
  for c in select k.name, k.refers from logic.page_columns(v) k where k.refers is not null loop
    labels := labels || jsonb_build_object(c.name, (
      select jsonb_object_agg(o ->> 0, o ->> 1)
      from jsonb_array_elements(logic.page_labels(c.refers, array(select distinct r ->> c.name from jsonb_array_elements(rows) r where r ->> c.name is not null))) o));
  end loop;
  return jsonb_build_object('rows', (select coalesce(jsonb_agg(r order by n), '[]') from jsonb_array_elements(rows) with ordinality x (r, n) where n <= at_once),
    'more', jsonb_array_length(rows) > at_once, 'labels', labels);
end $$;

-- A page as a list: its rows and what stands around them, the menu, and what its filters may choose from.
create function logic.page_list(page text, words text, sorted text, downwards boolean, filters jsonb, behind jsonb, most integer)
returns jsonb language plpgsql stable as $$
declare
  v regclass := logic.page_view(page);
  options jsonb := '{}';
  c record;
begin
  for c in select k.name, k.refers from logic.page_columns(v) k where k.refers is not null loop
    options := options || jsonb_build_object(c.name, logic.page_options(c.refers));
  end loop;
  return jsonb_build_object('menu', logic.pages(), 'options', options)
    || logic.page_rows(page, words, sorted, downwards, filters, behind, most);
end $$;

-- A row as a form, with all that stands around it: what is known of the page, the row and its mark, its history, what its references
-- may choose from, the menu. Without a key, a new row.
create function logic.page_form(page text, key jsonb) returns jsonb language plpgsql stable as $$
declare
  shown jsonb := logic.page(page);
  options jsonb := '{}';
  found jsonb := case when key is not null then logic.page_row(page, key) end;
  c record;
begin
  for c in select k.name, k.refers from logic.page_columns(logic.page_view(page)) k where k.refers is not null and k.writable loop
    options := options || jsonb_build_object(c.name, logic.page_options(c.refers)
      || case when found -> 'row' ->> c.name is null then '[]' else logic.page_labels(c.refers, array[found -> 'row' ->> c.name]) end);
  end loop;
  return jsonb_build_object('page', shown, 'menu', logic.pages(), 'options', options,
    'history', case when key is null then '[]' else logic.page_history(page, key) end) || coalesce(found, '{}');
end $$;

-- The condition that finds a row by its key, which is bound as $1.
create function logic.page_match(v regclass) returns text language sql stable as $$
  select string_agg(format('v.%I = ($1 ->> %L)::%s', k.name, k.name, k.type), ' and ') from logic.page_columns(v) k where k.is_key
$$;

-- One row by its key; null when there is none. With it a mark by which a later change finds out whether it is still the same.
create function logic.page_row(page text, key jsonb) returns jsonb language plpgsql stable as $$
declare
  v regclass := logic.page_view(page);
  found jsonb;
begin
  perform logic.must_see_page(page);
  begin
    execute format('select to_jsonb(v) from %s v where %s', v, logic.page_match(v)) into found using key;
  exception when data_exception or check_violation then
    return null;
  end;
  return jsonb_build_object('row', found, 'mark', (
    select md5(coalesce(jsonb_object_agg(k.name, found -> k.name) filter (where k.writable), '{}')::text) from logic.page_columns(v) k))
  where found is not null;
end $$;

-- Rows by their keys, of those that are there: what they are called is asked for before something is done to them.
create function logic.page_keyed(page text, keys jsonb) returns jsonb language sql stable as $$
  select coalesce(jsonb_agg(r.found -> 'row' order by k.nth), '[]')
  from jsonb_array_elements(keys) with ordinality k (key, nth)
  cross join lateral (select logic.page_row(page, k.key) as found) r where r.found is not null
$$;

-- What a person is told of a refused statement: {column, or "" where it is none of one column: sentence}.
create function logic.page_error(v regclass, state text, message text, hint text, con text, of_table text, of_schema text, col text)
returns jsonb language sql stable as $$
  select jsonb_build_object(
    coalesce((select k.name from logic.page_columns(v) k where k.name = coalesce(nullif(col, ''), (
      select a.attname from pg_constraint c join pg_class t on t.oid = c.conrelid and t.relname = of_table and t.relnamespace::regnamespace::text = of_schema
      join pg_attribute a on a.attrelid = c.conrelid and a.attnum = any(c.conkey)
      join logic.page_columns(v) w on w.name = a.attname and w.writable
      where c.conname = con order by array_position(c.conkey, a.attnum) desc limit 1))), ''),
    case
      when con like '% %' then con
      when state = '23502' then 'this must be filled in'
      when state = '23505' then 'there is one with this value already'
      when state = '23503' then case when message like '%is still referenced%' or message like 'update or delete%'
        then 'this is still used: ' || of_schema || '.' || of_table || ' refers to it' else 'there is no such row' end
      when state = '42501' and message like '%row-level security%' then 'you may not do this here'
      else message || coalesce('. ' || nullif(hint, ''), '') end)
$$;

-- Stores a row: makes a new one where key is null, else changes that with this key, if it still has this mark. Values are texts,
-- lists of texts, null, or for a reference {"named": …}. Returns the key of the row, or what is wrong with which column; then nothing has changed.
create function logic.page_save(page text, key jsonb, mark text, given jsonb) returns jsonb language plpgsql as $$
declare
  v regclass := logic.page_view(page);
  found jsonb := logic.page_row(page, key);
  c record;
  item jsonb;
  clean jsonb := '{}';
  wrong jsonb := '{}';
  columns text;
  stored jsonb;
  state text; message text; hint text; con text; of_table text; of_schema text; col text;
begin
  if logic.page_rights(v) & (case when key is null then 8 else 4 end) = 0 then
    return jsonb_build_object('wrong', jsonb_build_object('', 'you may not change anything here'));
  end if;
  if key is not null and found is null then
    return jsonb_build_object('wrong', jsonb_build_object('', 'this row is not there any more'));
  elsif key is not null and mark is not null and found ->> 'mark' <> mark then
    return jsonb_build_object('wrong', jsonb_build_object('', 'somebody else has changed this meanwhile: look at it again before you store it'));
  end if;
  for c in select k.* from logic.page_columns(v) k where k.writable and given ? k.name loop
    item := given -> c.name;
    if c.kind in ('secret', 'password') and item in ('""', 'null') then continue; end if;
    if item = '""' and c.kind not in ('text', 'long text', 'query') then item := 'null'; end if;
    -- An empty field is none, unless the column must have something.
    if item = '""' and not exists (
      select 1 from logic.page p join pg_attribute a on a.attrelid = p.of_table and a.attname = c.name where p.name = page and a.attnotnull) then
      item := 'null';
    end if;
    if item = 'null' and key is null and c.preset is not null then continue; end if;
    if c.refers is not null and jsonb_typeof(item) = 'object' then
      item := to_jsonb(logic.page_named(c.refers, given -> c.name ->> 'named'));
      if item is null then
        wrong := wrong || jsonb_build_object(c.name, 'there is none that is called so, or more than one');
        continue;
      end if;
    end if;
    begin
      if item <> 'null' and jsonb_typeof(item) = 'array' then
        execute format('select array(select jsonb_array_elements_text($1))::%s', c.type) using item;
      elsif item <> 'null' then
        execute format('select ($1 #>> ''{}'')::%s', c.type) using item;
      end if;
      clean := clean || jsonb_build_object(c.name, item);
    exception when data_exception or integrity_constraint_violation or raise_exception then
      get stacked diagnostics message = message_text, con = constraint_name;
      wrong := wrong || jsonb_build_object(c.name, case when con like '% %' then con else message end);
    end;
  end loop;
  if wrong <> '{}' then
    return jsonb_build_object('wrong', wrong);
  end if;
  select string_agg(quote_ident(k), ', ') into columns from jsonb_object_keys(clean) k;
  if columns is null then
    return jsonb_build_object('key', key);
  end if;
  begin
    if key is null then
      execute format('insert into %1$s as v (%2$s) select %2$s from jsonb_populate_record(null::%1$s, $2) r returning %3$s', v, columns,
        (select format('jsonb_build_object(%s)', string_agg(format('%L, v.%I', k, k), ', ')) from unnest(logic.page_key(v)) k))
        into stored using key, clean;
    else
      execute format('update %1$s as v set (%2$s) = (select %2$s from jsonb_populate_record(null::%1$s, $2) r) where %4$s returning %3$s', v, columns,
        (select format('jsonb_build_object(%s)', string_agg(format('%L, v.%I', k, k), ', ')) from unnest(logic.page_key(v)) k), logic.page_match(v))
        into stored using key, clean;
    end if;
    -- What is checked at the end of the transaction is checked now, where it can still be said.
    set constraints all immediate;
    set constraints all deferred;
  exception when integrity_constraint_violation or data_exception or raise_exception or insufficient_privilege then
    get stacked diagnostics state = returned_sqlstate, message = message_text, hint = pg_exception_hint, con = constraint_name, of_table = table_name,
      of_schema = schema_name, col = column_name;
    return jsonb_build_object('wrong', logic.page_error(v, state, message, hint, con, of_table, of_schema, col));
  end;
  if stored is null then
    return jsonb_build_object('wrong', jsonb_build_object('', 'you may not change this row'));
  end if;
  return jsonb_build_object('key', stored);
end $$;

-- Presses a button for some rows, or removes them (action null), all or none. Returns what is to be said.
create function logic.page_act(page text, action text, keys jsonb) returns jsonb language plpgsql as $$
declare
  v regclass := logic.page_view(page);
  f text;
  key jsonb;
  said text;
  words text[] := '{}';
  touched bigint;
  state text; message text; hint text; con text; of_table text; of_schema text; col text;
begin
  perform logic.must_see_page(page);
  if action is null then
    if logic.page_rights(v) & 16 = 0 then
      return jsonb_build_object('wrong', 'you may not remove anything here');
    end if;
  else
    select p.oid::regproc::text into f from pg_proc p
    where p.pronamespace = 'admin'::regnamespace and p.proname = action and p.pronargs = 1 and p.proargtypes[0] = (select c.reltype from pg_class c where c.oid = v);
    if f is null or logic.web_kind() = 'auditor' then
      return jsonb_build_object('wrong', 'you may not do this here');
    end if;
  end if;
  begin
    for key in select value from jsonb_array_elements(keys) loop
      if action is null then
        execute format('delete from %s v where %s', v, logic.page_match(v)) using key;
        get diagnostics touched = row_count;
        said := case when touched > 0 then 'removed' end;
      else
        said := null;
        execute format('select %s(v) from %s v where %s', f, v, logic.page_match(v)) into said using key;
      end if;
      words := words || coalesce(said, 'there is no such row any more, or you may not do this to it');
    end loop;
    set constraints all immediate;
    set constraints all deferred;
  exception when integrity_constraint_violation or data_exception or raise_exception or insufficient_privilege or no_data_found then
    get stacked diagnostics state = returned_sqlstate, message = message_text, hint = pg_exception_hint, con = constraint_name, of_table = table_name,
      of_schema = schema_name, col = column_name;
    return jsonb_build_object('wrong', (select value from jsonb_each_text(logic.page_error(v, state, message, hint, con, of_table, of_schema, col)) limit 1));
  end;
  return jsonb_build_object('said', (select jsonb_agg(jsonb_build_array(w, n)) from (select w, count(*) as n from unnest(words) w group by w) x));
end $$;

-- What was changed in a row, newest first.
create function logic.page_history(page text, key jsonb) returns jsonb language sql stable as $$
  select coalesce(jsonb_agg(to_jsonb(h) order by h.id desc), '[]') from (
    select a.id, a.at, a.actor, a.peer, a.path, a.action, a.undoes,
      (select jsonb_agg(jsonb_build_array(k, a.old -> k, a.new -> k) order by k) from (
        select jsonb_object_keys(coalesce(a.old, '{}') || coalesce(a.new, '{}')) as k) x
       where a.action = 'update' and a.old -> k is distinct from a.new -> k) as changes
    from logic.page p cross join lateral unnest(logic.audit_ids(p.of_table::text, page_history.key)) i (id) join log.audit a on a.id = i.id
    where p.name = page
    order by a.id desc limit 100) h
$$;

-- The role comes last, when all is there that it is given.
select logic.arrange_web_role();
