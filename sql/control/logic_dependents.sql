-- What holds data (tables' columns, defaults, constraints, indexes, materialized views) and depends on a replaceable
-- schema: must be empty before that schema is dropped. Triggers, rules of views and the schemas' own objects may depend.
select distinct pg_describe_object(d.classid, d.objid, d.objsubid)
from pg_depend d
join pg_proc p on d.refclassid = 'pg_proc'::regclass and p.oid = d.refobjid
join pg_namespace n on n.oid = p.pronamespace
where n.nspname in ('logic', 'report', 'admin') and d.deptype = 'n'
  and (d.classid in ('pg_attrdef'::regclass, 'pg_constraint'::regclass)
    or d.classid = 'pg_class'::regclass and exists (
      select 1 from pg_class c join pg_namespace cn on cn.oid = c.relnamespace
      where c.oid = d.objid and c.relkind in ('r', 'i', 'm', 'p') and cn.nspname not in ('logic', 'report', 'admin')))
