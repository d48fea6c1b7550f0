-- Reports: who runs them, what that role reads, and what keeps a query in its place.
--
-- A query that an administrator has written is run by logic.run_report, which belongs to mailwright_report and runs with its rights
-- (security definer). Inside such a function PostgreSQL lets nobody change the role or the session's user, so that what the query
-- could set does not matter; a SET ROLE before it could be taken back by the query itself. The transaction is read only, which cannot
-- be taken back either once there is a snapshot, and it is always rolled back, on a connection that nobody uses afterwards.

-- Whether who asks may read what reports read: members of mailwright_report, such as reporting tools with a login of their own.
create function logic.report_sees() returns boolean language sql stable
return coalesce(pg_has_role(to_regrole('mailwright_report'), 'usage'), false);

do $$
declare t regclass;
begin
  for t in
    select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind = 'r' and c.relrowsecurity and n.nspname in ('control', 'directory', 'queue', 'live', 'log', 'screen')
  loop
    execute format('create policy report_sees on %s for select using ((select logic.report_sees()))', t);
  end loop;
end $$;

-- Rows of a query, each as the JSON of its values: so many at most, in so many bytes at most. The query has one statement, which
-- PL/pgSQL opens as a cursor: rows that nobody takes are not computed. With 0 it is opened and closed again, which says whether it could run.
create function logic.run_report(query text, given text[], most integer, most_bytes bigint) returns setof text[]
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  r record;
  opened refcursor;
  line text[];
  lines integer := 0;
  bytes bigint := 0;
begin
  if current_user <> 'mailwright_report' then
    raise exception 'reports are run by the role mailwright_report alone' using errcode = 'insufficient_privilege';
  end if;
  if most = 0 then
    open opened for execute query using given[1], given[2], given[3], given[4], given[5];
    -- What would write is told so here.
    move relative 0 from opened;
    close opened;
    return;
  end if;
  for r in execute query using given[1], given[2], given[3], given[4], given[5] loop
    select array_agg(v.value::text order by v.nth), bytes + sum(octet_length(v.value::text))
    into line, bytes from json_each(row_to_json(r)) with ordinality as v (key, value, nth);
    if bytes > most_bytes then
      raise exception 'the result is larger than %: select fewer columns or fewer rows', pg_size_pretty(most_bytes)
        using errcode = 'program_limit_exceeded';
    end if;
    return next line;
    lines := lines + 1;
    exit when lines >= most;
  end loop;
end $$;
revoke execute on function logic.run_report from public;

-- The reports that this administrator may run, and all that is known of one. As whoever asks: row-level security says what is there.
create function logic.reports() returns jsonb language plpgsql stable as $$
begin
  perform logic.must_see_page('reports');
  return (select coalesce(jsonb_agg(jsonb_build_object('name', r.name, 'description', r.description) order by r.name), '[]')
    from control.report r where r.active);
end $$;

create function logic.report(name text) returns jsonb language plpgsql stable as $$
begin
  perform logic.must_see_page('reports');
  return (select to_jsonb(r) from control.report r where r.active and r.name = report.name);
end $$;

-- Makes the role, and gives it what reports read: the views of report but for the mail itself, and of other tables the columns
-- that are no secrets. Returns why that could not be done, if so.
create function logic.arrange_report_role() returns text language plpgsql as $$
declare t record;
begin
  if to_regrole('mailwright_report') is null then
    begin
      create role mailwright_report nologin;
      execute format('grant mailwright_report to %I', current_user);
    exception
      when duplicate_object or unique_violation then null;
      when insufficient_privilege then
        return format('reports cannot be run: the role mailwright_report does not exist, and may not be made by the role %1$I. '
          'Let somebody who may run: create role mailwright_report nologin; grant mailwright_report to %1$I', current_user);
    end;
  end if;
  if not pg_has_role('mailwright_report', 'member') then
    return format('reports cannot be run: the role %1$I is no member of mailwright_report. '
      'Let somebody who may run: grant mailwright_report to %1$I', current_user);
  end if;
  grant usage on schema control, directory, queue, live, log, screen, report to mailwright_report;
  for t in
    select format('%I.%I', n.nspname, c.relname) as name,
      string_agg(quote_ident(a.attname), ', ') filter (where a.atttypid <> 'control.secret'::regtype) as readable
    from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.relkind = 'r' and n.nspname in ('control', 'directory', 'queue', 'live', 'log', 'screen')
      and c.relname not in ('generation', 'touched', 'lease', 'logic', 'sql_login', 'web_session')
      or c.relkind = 'v' and n.nspname = 'report' and c.relname <> 'message'
    group by 1
  loop
    execute format('grant select (%s) on %s to mailwright_report', t.readable, t.name);
  end loop;
  -- Its owner must be allowed to make things in the schema for the moment of becoming it.
  grant create on schema logic to mailwright_report;
  alter function logic.run_report(text, text[], integer, bigint) owner to mailwright_report;
  alter function logic.run_report(text, text[], integer, bigint) security definer;
  revoke all on schema logic from mailwright_report;
  return null;
end $$;
select logic.arrange_report_role();
