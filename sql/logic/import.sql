-- Users from a file: the same statements check them and make them, so that what the check lets pass is made, and what it refuses
-- is refused with the database's own words. Everything runs with the rights of who asks. The name of a domain that he does not see
-- does not exist for him.

-- Makes accounts and their aliases, all or none. Each row: {"line", "local_part", "domain", "display_name", "active", "hash", "scram",
-- "quota_bytes", "max_message_bytes", "forbidden_services", "forward_to", "forward_keep", "aliases": [[local part, domain], …]}.
create function logic.make_users(rows jsonb[]) returns integer language plpgsql as $$
declare
  made integer;
  aliases integer;
begin
  insert into directory.account (domain_id, local_part, display_name, active, password_hash, scram, quota_bytes, max_message_bytes,
    forbidden_services, forward_to, forward_keep)
  select d.id, r.local_part, r.display_name, r.active, r.hash, r.scram, r.quota_bytes, r.max_message_bytes, r.forbidden_services, r.forward_to, r.forward_keep
  from unnest(rows) e
  cross join lateral jsonb_to_record(e) as r (local_part text, domain text, display_name text, active boolean, hash text, scram text,
    quota_bytes bigint, max_message_bytes bigint, forbidden_services text[], forward_to text[], forward_keep boolean)
  join directory.domain d on d.name = r.domain;
  get diagnostics made = row_count;
  if made <> cardinality(rows) then
    raise exception 'a domain of these users is not here, or not yours' using errcode = 'foreign_key_violation';
  end if;
  select coalesce(sum(jsonb_array_length(e -> 'aliases')), 0) into aliases from unnest(rows) e;
  if aliases > 0 then
    insert into directory.alias (domain_id, local_part, targets)
    select d.id, a ->> 0, array[(e ->> 'local_part') || '@' || (e ->> 'domain')]
    from unnest(rows) e cross join lateral jsonb_array_elements(e -> 'aliases') a
    join directory.domain d on d.name = a ->> 1;
    get diagnostics made = row_count;
    if made <> aliases then
      raise exception 'the domain of an alias is not here, or not yours' using errcode = 'foreign_key_violation';
    end if;
  end if;
  return cardinality(rows);
end $$;

-- What is wrong with users that are to be made: [{"line", "column", "what"}], at most some 1,000. All of them are made for a trial and
-- taken back: in blocks of 500, and a block that is refused is halved until the row is found whose fault it is. Of those that only
-- the trial finds, 25 are named. The trial is no change: nothing is audited, nobody is told, and no lock of settings is held.
create function logic.check_users(rows jsonb) returns jsonb language plpgsql as $$
declare
  wrong jsonb;
  good jsonb[];
  lows integer[] := '{}';
  highs integer[] := '{}';
  low integer;
  high integer;
  middle integer;
  found integer := 0;
  state text; message text; hint text; con text; of_table text; of_schema text; col text;
  said record;
begin
  select coalesce(jsonb_agg(jsonb_build_object('line', w.line, 'column', w.col, 'what', w.what) order by w.line), '[]') into wrong from (
    select r.line, 'address' as col, format('there is no domain %s here: make it first, or correct the address', r.domain) as what
    from jsonb_to_recordset(rows) as r (line integer, domain text)
    where not exists (select 1 from directory.domain d where d.name = r.domain)
    union all
    select r.line, 'address', format('%s@%s exists already, as an account or an alias: take the line out', r.local_part, r.domain)
    from jsonb_to_recordset(rows) as r (line integer, local_part text, domain text)
    join directory.domain d on d.name = r.domain
    join directory.address x on x.domain_id = d.id and x.local_part = lower(normalize(r.local_part, nfc))
    union all
    select r.line, 'aliases', format('there is no domain %s here', a ->> 1)
    from jsonb_to_recordset(rows) as r (line integer, aliases jsonb) cross join lateral jsonb_array_elements(r.aliases) a
    where not exists (select 1 from directory.domain d where d.name = a ->> 1)
    union all
    select r.line, 'aliases', format('%s@%s exists already, as an account or an alias', a ->> 0, a ->> 1)
    from jsonb_to_recordset(rows) as r (line integer, aliases jsonb) cross join lateral jsonb_array_elements(r.aliases) a
    join directory.domain d on d.name = a ->> 1
    join directory.address x on x.domain_id = d.id and x.local_part = lower(normalize(a ->> 0, nfc))
    limit 1000) w;
  good := array(select e from jsonb_array_elements(rows) e
    where (e -> 'line') not in (select w -> 'line' from jsonb_array_elements(wrong) w) order by (e ->> 'line')::integer);
  for middle in reverse (cardinality(good) - 1) / 500 .. 0 loop
    exit when cardinality(good) = 0;
    lows := lows || (middle * 500 + 1);
    highs := highs || least(middle * 500 + 500, cardinality(good));
  end loop;
  begin
    perform set_config('mailwright.daemon', 'on', true);
    while cardinality(lows) > 0 and found < 25 loop
      low := lows[cardinality(lows)];
      high := highs[cardinality(highs)];
      lows := trim_array(lows, 1);
      highs := trim_array(highs, 1);
      begin
        perform logic.make_users(good[low:high]);
      exception when integrity_constraint_violation or data_exception or raise_exception or insufficient_privilege then
        if low < high then
          middle := (low + high) / 2;
          lows := lows || (middle + 1) || low;
          highs := highs || high || middle;
        else
          get stacked diagnostics state = returned_sqlstate, message = message_text, hint = pg_exception_hint, con = constraint_name,
            of_table = table_name, of_schema = schema_name, col = column_name;
          select * into said from jsonb_each_text(logic.page_error('admin.account', state, message, hint, con, of_table, of_schema, col)) limit 1;
          wrong := wrong || jsonb_build_object('line', good[low] -> 'line', 'column', coalesce(nullif(said.key, ''), 'the line'), 'what', said.value);
          found := found + 1;
        end if;
      end;
    end loop;
    raise exception 'the trial is over' using errcode = 'MW001';
  exception when sqlstate 'MW001' then
    null;
  end;
  return wrong;
end $$;

-- Makes users; {"made": how many}, or {"wrong": what the database refused}: then none was made.
create function logic.import_users(rows jsonb) returns jsonb language plpgsql as $$
declare state text; message text; hint text; con text; of_table text; of_schema text; col text;
begin
  return jsonb_build_object('made', logic.make_users(array(select e from jsonb_array_elements(rows) e)));
exception when integrity_constraint_violation or data_exception or raise_exception or insufficient_privilege then
  get stacked diagnostics state = returned_sqlstate, message = message_text, hint = pg_exception_hint, con = constraint_name,
    of_table = table_name, of_schema = schema_name, col = column_name;
  return jsonb_build_object('wrong', (
    select value from jsonb_each_text(logic.page_error('admin.account', state, message, hint, con, of_table, of_schema, col)) limit 1));
end $$;
