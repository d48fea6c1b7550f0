-- Reports: queries that are kept, and run by the administration pages under a role that can only read.

create domain control.query as text
  constraint "a query has from 1 to 20000 characters" check (length(value) <= 20000 and value ~ '\S');
comment on domain control.query is 'SQL that the pages run and show, under the role mailwright_report';

create type control.chart as enum ('none', 'line', 'bars');

create table control.report (
  name text primary key
    constraint "a report has a name of 1 to 80 characters, without a line end" check (name ~ '^\S([^\n]*\S)?$' and length(name) <= 80),
  description text,
  active boolean not null default true,
  query control.query not null,
  parameters text[] not null default '{}'
    constraint "a parameter is like days=30: a word, its preset; 5 at most" check (
      cardinality(parameters) <= 5 and array_position(parameters, null) is null
      and array_to_string(parameters, E'\n') ~ '^([a-z][a-z0-9_]{0,30}=[^\n]{0,200}(\n|$))*$'),
  chart control.chart not null default 'none',
  chart_name text,
  chart_values text[] not null default '{}'
    constraint "a chart shows 6 columns at most" check (cardinality(chart_values) <= 6 and array_position(chart_values, null) is null),
  max_rows integer not null default 1000 constraint "a report has from 1 to 10000 rows" check (max_rows between 1 and 10000),
  timeout_seconds integer not null default 10
    constraint "a report may take from 1 to 300 seconds" check (timeout_seconds between 1 and 300),
  constraint "a chart has the column that names, and those that are drawn" check (
    chart = 'none' or chart_name is not null and cardinality(chart_values) > 0)
);
comment on table control.report is 'Queries that system administrators and auditors run on the page Reports; only system administrators write them';
comment on column control.report.name is 'What it is called';
comment on column control.report.description is 'What it says, and what the parameters are';
comment on column control.report.active is 'Whether it is on the page Reports';
comment on column control.report.query is 'One SELECT. It runs under the role mailwright_report, which reads the views of schema report and the tables of control, directory, queue, live, log and screen, but no secrets and no mail. Names are written with their schema; $1, $2 … are the parameters, as text: $1::integer';
comment on column control.report.parameters is 'Names and what they are if nothing is given: days=30';
comment on column control.report.chart is 'line: values over time; bars: one bar for each row';
comment on column control.report.chart_name is 'The column with the time of each point, or the name of each bar';
comment on column control.report.chart_values is 'The columns that are drawn: up to 6 lines, or the length of the bars. Columns whose names end with bytes or seconds are shown as such';
comment on column control.report.max_rows is 'Rows at most; that there are more is said';
comment on column control.report.timeout_seconds is 'Seconds that it may take before it is stopped';

insert into control.report (name, description, query, parameters, chart, chart_name, chart_values, timeout_seconds) values
('Top senders', 'Who has sent most messages that were accepted here in so many days.', $q$
select sender, count(*) as messages, coalesce(sum(size), 0)::bigint as bytes
from log.trace
where step = 'accepted' and sender is not null and at > now() - make_interval(days => $1::integer)
group by sender
order by messages desc, sender
$q$, '{days=7}', 'bars', 'sender', '{messages}', 30),

('Top recipients', 'Addresses for which most mail was accepted in so many days.', $q$
select lower(recipient) as recipient, count(*) as messages
from log.trace
where step = 'accepted' and at > now() - make_interval(days => $1::integer)
group by 1
order by messages desc, recipient
$q$, '{days=7}', 'bars', 'recipient', '{messages}', 30),

('Traffic by day', 'Recipients for whom mail was accepted, refused, placed in mailboxes here, and delivered to other servers, on each of so many days.', $q$
select day::date as day,
  coalesce(accepted, 0) as accepted, coalesce(refused, 0) as refused, coalesce(placed, 0) as placed, coalesce(sent, 0) as sent
from generate_series(date_trunc('day', now()) - make_interval(days => $1::integer - 1), now(), interval '1 day') as day
left join (
  select date_trunc('day', at) as day, count(*) filter (where step = 'accepted') as accepted,
    count(*) filter (where step = 'refused') as refused, count(*) filter (where step = 'placed') as placed
  from log.trace where at >= date_trunc('day', now()) - make_interval(days => $1::integer - 1) group by 1) t using (day)
left join (
  select date_trunc('day', at) as day, count(*) as sent
  from queue.attempt where outcome = 'delivered' and at >= date_trunc('day', now()) - make_interval(days => $1::integer - 1) group by 1) a using (day)
order by day
$q$, '{days=14}', 'line', 'day', '{accepted,refused,placed,sent}', 60),

('Largest mailboxes', 'Mailboxes by what is in them.', $q$
select address || ' ' || mailbox as mailbox, messages, unseen, bytes
from report.mailbox
order by bytes desc, 1
limit 100
$q$, '{}', 'bars', 'mailbox', '{bytes}', 120),

('Storage by domain', 'What the accounts of each domain keep.', $q$
select split_part(address, '@', -1) as domain, count(*) as accounts, coalesce(sum(messages), 0)::bigint as messages,
  coalesce(sum(used_bytes), 0)::bigint as bytes
from report.account
group by 1
order by bytes desc, domain
$q$, '{}', 'bars', 'domain', '{bytes}', 60),

('Accounts near their quota', 'Accounts that have used so many percent of what they may keep.', $q$
select address, used_percent, used_bytes, quota_bytes, messages
from report.account
where used_percent >= $1::numeric
order by used_percent desc, address
$q$, '{percent=80}', 'bars', 'address', '{used_percent}', 60),

('Refused mail by reason', 'What clients were told when mail was refused in so many days; addresses in it are left out, the last client is named.', $q$
select count(*) as times, command, regexp_replace(reply, '<[^>]*>|\S+@\S+|\d+\.\d+\.\d+\.\d+|[0-9a-f]*:[0-9a-f:]*:[0-9a-f]*', '…', 'g') as reason,
  max(at) as last_at, (array_agg(host(peer) order by at desc))[1] as last_peer
from log.trace
where step = 'refused' and at > now() - make_interval(days => $1::integer)
group by command, reason
order by times desc, reason
$q$, '{days=7}', 'bars', 'reason', '{times}', 30),

('Slowest destinations', 'How long an attempt to deliver takes, by the domain of the recipient, in so many days.', $q$
select split_part(recipient, '@', -1) as domain, count(*) as attempts,
  round(avg(milliseconds) / 1000.0, 2) as average_seconds,
  round((percentile_cont(0.95) within group (order by milliseconds))::numeric / 1000, 2) as slow_seconds,
  round(max(milliseconds) / 1000.0, 2) as slowest_seconds
from queue.attempt
where outcome <> 'cancelled' and at > now() - make_interval(days => $1::integer)
group by 1
order by average_seconds desc, domain
$q$, '{days=7}', 'bars', 'domain', '{average_seconds}', 30),

('Bounces by domain', 'Recipients elsewhere that mail could not be delivered to in so many days, and what was said last.', $q$
select split_part(recipient, '@', -1) as domain, count(*) as bounces, count(distinct recipient) as recipients,
  (array_agg(reply order by at desc))[1] as last_reply, max(at) as last_at
from queue.attempt
where outcome in ('failed', 'expired') and at > now() - make_interval(days => $1::integer)
group by 1
order by bounces desc, domain
$q$, '{days=7}', 'bars', 'domain', '{bounces}', 30),

('Mail waiting by destination', 'What waits in the queue for each domain, since when, and why.', $q$
select domain, count(*) as recipients, min(received_at) as oldest, min(next_attempt_at) as next_attempt, sum(size)::bigint as bytes,
  (array_agg(last_reply order by last_attempt_at desc nulls last))[1] as last_reply
from report.queue
where state in ('waiting', 'held')
group by domain
order by recipients desc, domain
$q$, '{}', 'bars', 'domain', '{recipients}', 30),

('Failed logins by address', 'From where wrong passwords came in so many days, for which names and services.', $q$
select coalesce(host(peer), 'unknown') as peer, count(*) as failures, count(distinct login) as names,
  array_to_string((array_agg(distinct login))[1:5], ', ') as some_names, array_to_string(array_agg(distinct service), ', ') as services, max(at) as last_at
from log.event
where message = 'wrong user name or password' and at > now() - make_interval(days => $1::integer)
group by 1
order by failures desc, peer
$q$, '{days=7}', 'bars', 'peer', '{failures}', 30),

('Aliases that lead nowhere', 'Targets of aliases that are ours but do not exist, or are switched off.', $q$
select a.local_part || '@' || d.name as alias, t.target,
  case when not td.active then 'the domain is switched off'
    when x.domain_id is null then 'there is no such address'
    else 'the address is switched off' end as why
from directory.alias a
join directory.domain d on d.id = a.domain_id
cross join lateral (
  select target, lower(substring(target from '[^@]*$')) as domain, lower(substring(target from '^(.*)@')) as local from unnest(a.targets) as target) t
join directory.domain_name n on n.name = t.domain and n.remote_id is null
left join directory.domain_alias da on da.id = n.alias_id
join directory.domain td on td.id = coalesce(n.domain_id, da.domain_id)
cross join control.directory s
left join lateral (
  select x.* from directory.address x
  where x.domain_id = td.id and (x.local_part = t.local
    or s.subaddress_separator <> '' and x.local_part = split_part(t.local, s.subaddress_separator, 1))
  order by x.local_part = t.local desc limit 1) x on true
left join directory.account ta on ta.id = x.account_id
left join directory.alias aa on aa.id = x.alias_id
where a.active and d.active and (not td.active
  or x.domain_id is null and td.catch_all is null
  or not coalesce(ta.active, aa.active, true))
order by alias, target
$q$, '{}', 'none', null, '{}', 30),

('Certificates by expiry', 'Certificates that are served, the one that ends first above.', $q$
select array_to_string(names, ', ') as names, days_left, not_after, state, source, renewal_at, coalesce(error, renewal_error) as error
from report.certificate
where active
order by not_after nulls first, names
$q$, '{}', 'none', null, '{}', 10),

('Changes by administrator', 'Who has changed how much of settings and directory in so many days, and where.', $q$
select actor, count(*) as changes, count(*) filter (where action = 'delete') as removals, array_to_string(array_agg(distinct table_name), ', ') as tables,
  max(at) as last_at
from log.audit
where at > now() - make_interval(days => $1::integer)
group by actor
order by changes desc, actor
$q$, '{days=30}', 'bars', 'actor', '{changes}', 30)
on conflict do nothing;

update control.report set query = btrim(query, E'\n');
