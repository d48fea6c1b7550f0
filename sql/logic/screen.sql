-- Screening: the part of the settings snapshot, the classic text form of traffic rules, and views.

create function logic.screen_snapshot() returns jsonb language sql stable as $$
  select jsonb_build_object(
    'rbl', (select coalesce(jsonb_agg(to_jsonb(r) order by r.id), '[]') from control.rbl r where r.active),
    'rbl_settings', (select to_jsonb(s) from control.rbl_settings s),
    'trusted_sender_domains', (select coalesce(jsonb_agg(t.domain), '[]') from control.trusted_sender_domain t),
    'connection_check', (select to_jsonb(c) from control.connection_check c),
    'greylist', (select to_jsonb(g) from control.greylist g),
    'traffic', (select to_jsonb(t) from control.traffic t),
    'traffic_rules', (select coalesce(jsonb_agg(to_jsonb(r) order by r.id), '[]') from control.traffic_rule r),
    'smtp_limit', (select to_jsonb(l) from control.smtp_limit l))
$$;

create function logic.normalise_traffic_rule() returns trigger language plpgsql as $$
begin
  new.pattern := lower(btrim(new.pattern));
  return new;
end $$;
create trigger normalise before insert or update of pattern on control.traffic_rule
for each row execute function logic.normalise_traffic_rule();

create function logic.normalise_rbl() returns trigger language plpgsql as $$
begin
  new.zone := lower(rtrim(btrim(new.zone), '.'));
  return new;
end $$;
create trigger normalise before insert or update of zone on control.rbl
for each row execute function logic.normalise_rbl();

-- Replaces the rules of one direction by lines of the form PATTERN:COUNT/MEGABYTES; the slash and what follows it may be left out.
create or replace function control.set_traffic_rules(direction control.traffic_direction, rules text)
returns setof control.traffic_rule language plpgsql as $$
#variable_conflict use_column
declare
  line text;
  found text[];
  kept text[] := '{}';
begin
  foreach line in array regexp_split_to_array(coalesce(rules, ''), '\s*[\r\n]\s*') loop
    line := lower(btrim(line));
    continue when line = '';
    -- IPv6 patterns have colons themselves: the last one counts.
    found := regexp_match(line, '^(\S+)\s*:\s*([0-9]{1,9})\s*(?:/\s*([0-9]{1,9}))?$');
    if found is null then
      raise exception '"%" is no traffic rule: write PATTERN:MESSAGES/MEGABYTES, as in 192.168.0.*:100/50 or *:0', line
        using errcode = 'check_violation';
    end if;
    if found[1] = any (kept) then
      raise exception 'there are two rules for "%"', found[1] using errcode = 'unique_violation';
    end if;
    kept := kept || found[1];
    insert into control.traffic_rule as r (direction, pattern, max_messages, max_megabytes)
    values (set_traffic_rules.direction, found[1], found[2]::integer, coalesce(found[3], '0')::integer)
    on conflict on constraint "each pattern has one rule for a direction" do update
    set max_messages = excluded.max_messages, max_megabytes = excluded.max_megabytes
    where (r.max_messages, r.max_megabytes) is distinct from (excluded.max_messages, excluded.max_megabytes);
  end loop;
  delete from control.traffic_rule r where r.direction = set_traffic_rules.direction and r.pattern <> all (kept);
  return query select r.* from control.traffic_rule r where r.direction = set_traffic_rules.direction order by r.id;
end $$;
comment on function control.set_traffic_rules(control.traffic_direction, text) is
  'Replaces the traffic rules of one direction: select control.set_traffic_rules(''incoming'', E''*:100/50\n192.168.0.1:0'')';

create view report.traffic as
select direction, key, window_start, ends_at, messages, bytes, false as running from log.traffic
union all
select kind::control.traffic_direction, key, window_start, ends_at, amount, bytes, true from live.counter where kind in ('incoming', 'outgoing');
comment on view report.traffic is 'Mail that passed in each interval of the traffic service, the running one included';
comment on column report.traffic.running is 'Whether the interval is not over yet';
select logic.take_comments('report.traffic', 'log.traffic');

create view report.rate as
select kind, key, window_start, ends_at, amount from live.counter where kind not in ('incoming', 'outgoing');
comment on view report.rate is 'What hosts and accounts have done in the running minute or hour, as far as control.smtp_limit limits it';
select logic.take_comments('report.rate', 'live.counter');

create view report.rbl as
select r.zone, r.kind, r.action, r.active, s.node, s.asked, s.listed, s.failed, s.error, s.failed_at
from control.rbl r left join live.rbl_status s on s.zone = r.zone;
comment on view report.rbl is 'DNS lists, and how they answer';
select logic.take_comments('report.rbl', 'control.rbl');
select logic.take_comments('report.rbl', 'live.rbl_status');

create view report.greylist as
select network, sender, recipient, first_at, last_at, passed_at is not null as passed, passed_at from screen.greylist;
comment on view report.greylist is 'Senders that greylisting knows';
comment on column report.greylist.passed is 'Whether it has come a second time in time';
select logic.take_comments('report.greylist', 'screen.greylist');
