-- What was counted: mail by minute, hour and day, samples of queue and sessions, storage by domain; and which DNS records of the
-- domains are there.

alter table control.log
  add column minute_days integer not null default 7 constraint "minute_days is from 1 to 60" check (minute_days between 1 and 60),
  add column count_days integer not null default 1095 constraint "count_days is from 1 to 36500" check (count_days between 1 and 36500);
comment on column control.log.trace is 'Whether log.trace is written: what became of each message. Mail is counted (log.mail_count) all the same';
comment on column control.log.minute_days is 'How long numbers are kept that were counted by the minute';
comment on column control.log.count_days is 'How long numbers are kept that were counted by the hour and by the day';

-- A text and no enum: row-level security lets an index be used only for comparisons that cannot tell what they compare, and those of
-- enums are not known for that.
create domain log.span as text constraint "a span is minute, hour or day" check (value in ('minute', 'hour', 'day'));
comment on domain log.span is 'How long what is counted together lasts: minute, hour or day';

-- Rows of the present minute, hour and day are updated again and again: there is room for that within their pages.
create table log.mail_count (
  span log.span not null,
  at timestamptz not null,
  node text not null,
  step text not null,
  count bigint not null,
  messages bigint not null default 0,
  submitted bigint not null default 0,
  bytes bigint not null default 0,
  milliseconds bigint not null default 0,
  primary key (span, at, node, step)
) with (fillfactor = 50);
comment on table log.mail_count is 'How much mail there was, by minute, hour and day (UTC); the sums of log.trace and queue.attempt, kept for longer than these. What people do to the queue by SQL is not counted';
comment on column log.mail_count.span is 'minute, hour or day; each line of the trace is counted in all three';
comment on column log.mail_count.at is 'When it began';
comment on column log.mail_count.node is 'The node that counted';
comment on column log.mail_count.step is 'What happened, as log.trace.step or queue.attempt.outcome calls it';
comment on column log.mail_count.count is 'How often: for each recipient once';
comment on column log.mail_count.messages is 'Of accepted: how many messages that were';
comment on column log.mail_count.submitted is 'Of these messages: how many were sent by users of ours who had logged in';
comment on column log.mail_count.bytes is 'Bytes: of accepted, those of the messages; of attempts, once for each recipient';
comment on column log.mail_count.milliseconds is 'How long attempts to deliver took, all together';

create table log.domain_count (
  day date not null,
  domain_id bigint not null,
  node text not null,
  step text not null check (step in ('placed', 'submitted')),
  count bigint not null,
  bytes bigint not null default 0,
  primary key (day, domain_id, node, step)
) with (fillfactor = 50);
comment on table log.domain_count is 'How much mail the users of each domain got and sent, by day (UTC)';
comment on column log.domain_count.day is 'The day';
comment on column log.domain_count.domain_id is 'The domain, as directory.domain called it';
comment on column log.domain_count.node is 'The node that counted';
comment on column log.domain_count.step is 'placed: put into a mailbox of the domain; submitted: sent by a user of the domain';
comment on column log.domain_count.count is 'How many messages';
comment on column log.domain_count.bytes is 'Bytes of what was submitted';

create table log.destination_count (
  span log.span not null check (span <> 'minute'),
  at timestamptz not null,
  domain text not null,
  node text not null,
  attempts bigint not null,
  delivered bigint not null,
  delayed bigint not null,
  failed bigint not null,
  milliseconds bigint not null,
  longest integer not null,
  primary key (span, at, domain, node)
) with (fillfactor = 50);
comment on table log.destination_count is 'How mail for other domains went, by hour and day (UTC)';
comment on column log.destination_count.span is 'hour or day';
comment on column log.destination_count.at is 'When it began';
comment on column log.destination_count.domain is 'Domain of the recipients';
comment on column log.destination_count.node is 'The node that counted';
comment on column log.destination_count.attempts is 'Attempts to deliver';
comment on column log.destination_count.delivered is 'Of these: the other server took it';
comment on column log.destination_count.delayed is 'Of these: it is tried again later';
comment on column log.destination_count.failed is 'Of these: it never will be, or was tried for too long';
comment on column log.destination_count.milliseconds is 'How long the attempts took, all together';
comment on column log.destination_count.longest is 'How long the longest of them took, milliseconds';

create table log.gauge (
  span log.span not null,
  at timestamptz not null,
  name text not null,
  value double precision not null,
  primary key (span, at, name)
) with (fillfactor = 50);
comment on table log.gauge is 'How long the queue was and how many sessions there were, looked at each minute; for hours and days the highest of these';
comment on column log.gauge.span is 'minute, hour or day';
comment on column log.gauge.at is 'When it began';
comment on column log.gauge.name is 'queue.waiting and queue.held: recipients; queue.oldest_seconds: age of the oldest message; sessions.smtp, sessions.imap …';
comment on column log.gauge.value is 'The number';

create table log.domain_storage (
  day date not null,
  domain_id bigint not null,
  accounts bigint not null,
  messages bigint not null,
  bytes bigint not null,
  looked_at timestamptz not null default now(),
  primary key (day, domain_id)
) with (fillfactor = 50);
comment on table log.domain_storage is 'What the mailboxes of each domain keep, a row for each day; that of today is renewed every few minutes';
comment on column log.domain_storage.day is 'The day (UTC)';
comment on column log.domain_storage.domain_id is 'The domain, as directory.domain called it';
comment on column log.domain_storage.accounts is 'Accounts in the domain';
comment on column log.domain_storage.messages is 'Messages in their mailboxes';
comment on column log.domain_storage.bytes is 'Bytes of these';
comment on column log.domain_storage.looked_at is 'When this was counted last';

-- Its page finds a row by its number, in the order in which they came.
alter table queue.attempt add primary key (id);

-- DNS records -----------------------------------------------------------------------------------------------------------

alter table control.dns add column check_hours integer not null default 6
  constraint "check_hours is from 0 to 720" check (check_hours between 0 and 720);
comment on column control.dns.check_hours is
  'How often the DNS is asked for the records that the domains here need, hours; 0 = only when somebody wants it. Nothing is asked while control.server.hostname is empty';

create table directory.dns_check (
  domain_id bigint primary key references directory.domain on delete cascade,
  wanted_at timestamptz not null default now(),
  checked_at timestamptz
);
comment on table directory.dns_check is 'When the DNS records of a domain were looked for';
comment on column directory.dns_check.domain_id is 'The domain';
comment on column directory.dns_check.wanted_at is 'When somebody wanted it last; setting now() has them looked for at once';
comment on column directory.dns_check.checked_at is 'When it was done last';

create type directory.dns_need as enum ('required', 'recommended', 'optional');
create type directory.dns_state as enum ('ok', 'missing', 'differs', 'unknown');

create table directory.dns_record (
  domain_id bigint not null references directory.domain on delete cascade,
  place integer not null,
  name text not null,
  type text not null,
  content text not null,
  need directory.dns_need not null,
  state directory.dns_state not null,
  found text,
  checked_at timestamptz not null default now(),
  primary key (domain_id, place)
);
comment on table directory.dns_record is 'The DNS records that each domain needs, and which of them are there; looked for every control.dns.check_hours';
comment on column directory.dns_record.domain_id is 'The domain';
comment on column directory.dns_record.place is 'Order among the records of the domain';
comment on column directory.dns_record.name is 'Name of the record';
comment on column directory.dns_record.type is 'Type of the record; A for A, AAAA or both';
comment on column directory.dns_record.content is 'What should stand there';
comment on column directory.dns_record.need is 'required: mail does not work without it; recommended: others may take mail for spam without it; optional';
comment on column directory.dns_record.state is 'ok, missing, differs (there is another one, perhaps on purpose), unknown (the DNS did not answer)';
comment on column directory.dns_record.found is 'What stands there instead, or why that is not known';
comment on column directory.dns_record.checked_at is 'When the DNS was asked';
