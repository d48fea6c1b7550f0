-- What was counted, for people with a reporting tool and for the overview.

-- The queue as it is now. Where it is too long to be counted while somebody waits, as it was at the last look, which is a minute ago.
create function logic.queue_now(out waiting bigint, out held bigint, out oldest_seconds double precision, out counted boolean)
language plpgsql stable as $$
declare
  recent constant timestamptz := now() - interval '3 minutes';
begin
  counted := pg_relation_size('queue.recipient') + pg_relation_size('queue.message') < 12 * 1024 * 1024;
  if not counted then
    select max(g.value) filter (where g.name = 'queue.waiting'), max(g.value) filter (where g.name = 'queue.held'),
      max(g.value) filter (where g.name = 'queue.oldest_seconds')
    into waiting, held, oldest_seconds
    from log.gauge g
    where g.span = 'minute' and g.at = (select max(l.at) from log.gauge l where l.span = 'minute' and l.at > recent and l.name = 'queue.waiting');
  end if;
  if waiting is null then
    select count(*) filter (where r.state = 'waiting'), count(*) filter (where r.state = 'held') into waiting, held from queue.recipient r;
    select coalesce(extract(epoch from now() - min(m.received_at)), 0) into oldest_seconds from queue.message m;
    counted := true;
  end if;
end $$;

create view report.mail_count as
select t.span, t.at, t.node, t.step, t.count, t.messages, t.submitted, t.bytes, t.milliseconds from log.mail_count t;
comment on view report.mail_count is 'How much mail there was, by minute, hour and day (UTC), node and step, as it was counted';

-- What is counted by hours and by days has the same columns.
do $$
declare
  s text;
begin
  foreach s in array array['minute', 'hour', 'day'] loop
    execute format($v$
      create view report.traffic_%1$s as
      select t.at,
        coalesce(sum(t.messages) filter (where t.step = 'accepted'), 0)::bigint as accepted,
        coalesce(sum(t.submitted) filter (where t.step = 'accepted'), 0)::bigint as submitted,
        coalesce(sum(t.bytes) filter (where t.step = 'accepted'), 0)::bigint as accepted_bytes,
        coalesce(sum(t.count) filter (where t.step = 'refused'), 0)::bigint as refused,
        coalesce(sum(t.count) filter (where t.step = 'placed'), 0)::bigint as placed,
        coalesce(sum(t.count) filter (where t.step = 'queued'), 0)::bigint as queued,
        coalesce(sum(t.count) filter (where t.step = 'delivered'), 0)::bigint as delivered,
        coalesce(sum(t.bytes) filter (where t.step = 'delivered'), 0)::bigint as delivered_bytes,
        coalesce(sum(t.count) filter (where t.step = 'delayed'), 0)::bigint as delayed,
        coalesce(sum(t.count) filter (where t.step in ('failed', 'expired')), 0)::bigint as failed,
        coalesce(sum(t.count) filter (where t.step = 'reported'), 0)::bigint as reported,
        coalesce(sum(t.count) filter (where t.step = 'junk'), 0)::bigint as junk,
        coalesce(sum(t.count) filter (where t.step = 'virus'), 0)::bigint as virus
      from log.mail_count t where t.span = %1$L group by t.at;
      comment on view report.traffic_%1$s is 'How much mail there was in each %1$s (UTC), of all nodes together; where nothing happened there is no row';
      comment on column report.traffic_%1$s.at is 'When the %1$s began';
      comment on column report.traffic_%1$s.accepted is 'Messages that were answered 250';
      comment on column report.traffic_%1$s.submitted is 'Of these, those that users of ours sent';
      comment on column report.traffic_%1$s.accepted_bytes is 'Bytes of what was accepted';
      comment on column report.traffic_%1$s.refused is 'Senders, recipients and messages that were refused';
      comment on column report.traffic_%1$s.placed is 'Copies put into mailboxes here';
      comment on column report.traffic_%1$s.queued is 'Recipients at other servers, whose mail was queued';
      comment on column report.traffic_%1$s.delivered is 'Recipients whose mail another server has taken';
      comment on column report.traffic_%1$s.delivered_bytes is 'Bytes of that, for each recipient';
      comment on column report.traffic_%1$s.delayed is 'Attempts to deliver that are made again later';
      comment on column report.traffic_%1$s.failed is 'Recipients whose mail could not be delivered';
      comment on column report.traffic_%1$s.reported is 'Reports to senders: bounces, delays, receipts';
      comment on column report.traffic_%1$s.junk is 'Messages found to be junk; 0 while nothing looks for it';
      comment on column report.traffic_%1$s.virus is 'Messages found to carry a virus; 0 while nothing looks for it'
    $v$, s);
  end loop;
end $$;

create view report.traffic_by_domain as
select t.day, d.name as domain,
  coalesce(sum(t.count) filter (where t.step = 'placed'), 0)::bigint as placed,
  coalesce(sum(t.count) filter (where t.step = 'submitted'), 0)::bigint as submitted,
  coalesce(sum(t.bytes) filter (where t.step = 'submitted'), 0)::bigint as submitted_bytes, t.domain_id
from log.domain_count t left join directory.domain d on d.id = t.domain_id
group by t.day, t.domain_id, d.name;
comment on view report.traffic_by_domain is 'How much mail the users of each domain got and sent, by day (UTC)';
comment on column report.traffic_by_domain.domain is 'The domain; empty = it has been removed';
comment on column report.traffic_by_domain.placed is 'Copies put into mailboxes of the domain';
comment on column report.traffic_by_domain.submitted is 'Messages that users of the domain sent';
comment on column report.traffic_by_domain.submitted_bytes is 'Bytes of these';

create view report.slowest_destination as
select t.domain, sum(t.attempts)::bigint as attempts, sum(t.delivered)::bigint as delivered, sum(t.delayed)::bigint as delayed,
  sum(t.failed)::bigint as failed, round(sum(t.milliseconds) / sum(t.attempts) / 1000.0, 3) as mean_seconds,
  round(max(t.longest) / 1000.0, 3) as longest_seconds
from log.destination_count t
where t.span = 'hour' and t.at > now() - interval '25 hours'
group by t.domain order by mean_seconds desc;
comment on view report.slowest_destination is 'Other domains, of the last day, those first that took longest to take mail';
comment on column report.slowest_destination.domain is 'Domain of the recipients';
comment on column report.slowest_destination.attempts is 'Attempts to deliver';
comment on column report.slowest_destination.delivered is 'Of these: the other server took it';
comment on column report.slowest_destination.delayed is 'Of these: it is tried again later';
comment on column report.slowest_destination.failed is 'Of these: it never will be, or was tried for too long';
comment on column report.slowest_destination.mean_seconds is 'How long an attempt took, on average';
comment on column report.slowest_destination.longest_seconds is 'How long the longest took';

create view report.storage_by_domain as
select d.name as domain, d.active, count(a.id) as accounts, coalesce(sum(u.messages), 0)::bigint as messages, coalesce(sum(u.bytes), 0)::bigint as bytes
from directory.domain d left join directory.account a on a.domain_id = d.id left join store.usage u on u.account_id = a.id
group by d.id;
comment on view report.storage_by_domain is 'What the mailboxes of each domain keep now';
comment on column report.storage_by_domain.domain is 'The domain';
comment on column report.storage_by_domain.accounts is 'Accounts in the domain';
comment on column report.storage_by_domain.messages is 'Messages in their mailboxes';
comment on column report.storage_by_domain.bytes is 'Bytes of these';

create view report.storage_by_day as
select s.day, d.name as domain, s.accounts, s.messages, s.bytes, s.domain_id
from log.domain_storage s left join directory.domain d on d.id = s.domain_id;
comment on view report.storage_by_day is 'What the mailboxes of each domain kept at the end of each day (UTC); today: some minutes ago';
comment on column report.storage_by_day.domain is 'The domain; empty = it has been removed';

create view report.gauge as
select g.span, g.at, g.name, g.value from log.gauge g;
comment on view report.gauge is 'How long the queue was and how many sessions there were, each minute; for hours and days the highest of these';

create view report.dns_record as
select d.name as domain, r.name, r.type, r.content, r.need::text as need, r.state::text as state, r.found, r.checked_at
from directory.dns_record r join directory.domain d on d.id = r.domain_id;
comment on view report.dns_record is 'The DNS records that each domain needs, and which of them are there';
comment on column report.dns_record.domain is 'The domain';

select logic.take_comments('report.mail_count', 'log.mail_count');
select logic.take_comments('report.traffic_by_domain', 'log.domain_count');
select logic.take_comments('report.storage_by_domain', 'directory.domain');
select logic.take_comments('report.storage_by_day', 'log.domain_storage');
select logic.take_comments('report.gauge', 'log.gauge');
select logic.take_comments('report.dns_record', 'directory.dns_record');
