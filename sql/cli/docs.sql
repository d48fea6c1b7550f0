-- What docs/sql.md is made of: schemas with their relations and functions, as one value. What people have nothing to do with
-- (schema logic, functions without a comment, triggers) is left out. Names and order are the same in every installation.
select jsonb_agg(jsonb_build_object(
  'name', n.nspname,
  'comment', obj_description(n.oid, 'pg_namespace'),
  'relations', coalesce((
    select jsonb_agg(jsonb_build_object(
      'name', c.relname,
      'comment', obj_description(c.oid, 'pg_class'),
      'is_view', c.relkind <> 'r',
      'of_table', (select format('%s.%s', m.relnamespace::regnamespace, m.relname) from logic.page p join pg_class m on m.oid = p.of_table
        where n.nspname = 'admin' and p.name = c.relname),
      'columns', (
        select jsonb_agg(jsonb_build_object(
          'name', a.attname,
          'type', format_type(a.atttypid, a.atttypmod),
          'comment', col_description(c.oid, a.attnum),
          -- A column that a page shows as its table has it.
          'as_table', exists (
            select 1 from logic.page p join pg_attribute b on b.attrelid = p.of_table and b.attname = a.attname
            where n.nspname = 'admin' and p.name = c.relname and col_description(p.of_table, b.attnum) = col_description(c.oid, a.attnum)),
          'is_key', coalesce(a.attnum = any (i.indkey), false),
          'required', a.attnotnull and not a.atthasdef and a.attidentity = '',
          'default', case when a.attidentity <> '' then 'the next number' else pg_get_expr(d.adbin, d.adrelid) end,
          'one_of', (select jsonb_agg(e.enumlabel order by e.enumsortorder) from pg_enum e where e.enumtypid in (t.oid, t.typelem)),
          'must', (
            select jsonb_agg(case when k.conname like '% %' then k.conname else pg_get_constraintdef(k.oid) end order by k.conname)
            from pg_constraint k where k.contype = 'c' and (k.contypid = t.oid or k.conrelid = c.oid and k.conkey = array[a.attnum])),
          'refers', (
            select jsonb_agg(format('%s.%s', f.relnamespace::regnamespace, f.relname) order by k.conname)
            from pg_constraint k join pg_class f on f.oid = k.confrelid where k.contype = 'f' and k.conrelid = c.oid and a.attnum = any (k.conkey))
        ) order by a.attnum)
        from pg_attribute a
        join pg_type t on t.oid = a.atttypid
        left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
        left join pg_index i on i.indrelid = a.attrelid and i.indisprimary
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
      'must', (
        select jsonb_agg(case when k.conname like '% %' then k.conname else pg_get_constraintdef(k.oid) end order by k.conname)
        from pg_constraint k where k.conrelid = c.oid and (k.contype = 'c' and cardinality(k.conkey) <> 1
          or k.contype in ('u', 'x') and k.conname like '% %')),
      'buttons', (
        select jsonb_agg(jsonb_build_object('name', p.proname, 'comment', obj_description(p.oid, 'pg_proc')) order by p.proname)
        from pg_proc p where n.nspname = 'admin' and p.pronamespace = n.oid and p.pronargs = 1 and p.proargtypes[0] = c.reltype)
      ) order by c.relname)
    from pg_class c where c.relnamespace = n.oid and c.relkind in ('r', 'p', 'v', 'm')), '[]'),
  'functions', coalesce((
    select jsonb_agg(jsonb_build_object(
      'name', p.proname,
      'arguments', pg_get_function_arguments(p.oid),
      'returns', pg_get_function_result(p.oid),
      'comment', obj_description(p.oid, 'pg_proc')) order by p.proname, pg_get_function_arguments(p.oid) collate "C")
    from pg_proc p where p.pronamespace = n.oid and n.nspname <> 'admin' and obj_description(p.oid, 'pg_proc') is not null
      and p.prorettype <> 'trigger'::regtype), '[]')
  ) order by coalesce(array_position(array['control', 'directory', 'store', 'queue'], n.nspname::text),
    10 + array_position(array['screen', 'live', 'log', 'report', 'admin'], n.nspname::text), 9), n.nspname)
from pg_namespace n
where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'public', 'logic')
