-- What has happened: events of the daemon, and what became of each message.

create table control.log (
  only_row boolean primary key default true check (only_row),
  event_level text not null default 'info'
    constraint "event_level is off, error, warn, info, debug or trace" check (event_level in ('off', 'error', 'warn', 'info', 'debug', 'trace')),
  event_days integer not null default 30 constraint "event_days is from 1 to 3650" check (event_days between 1 and 3650),
  trace boolean not null default true,
  trace_days integer not null default 30 constraint "trace_days is from 1 to 3650" check (trace_days between 1 and 3650)
);
comment on table control.log is 'Settings of what is kept of events and of the trace of messages';
comment on column control.log.event_level is 'Which events are kept in log.event: those of this level and graver ones, as far as control.server.log_level lets them come up at all; off = none';
comment on column control.log.event_days is 'How long events are kept';
comment on column control.log.trace is 'Whether log.trace is written: what became of each message';
comment on column control.log.trace_days is 'How long the trace is kept; attempts to deliver to other servers are kept for control.relay.attempt_days';
insert into control.log default values;

create type log.level as enum ('trace', 'debug', 'info', 'warn', 'error');

create table log.event (
  id bigint generated always as identity primary key,
  at timestamptz not null,
  session_id bigint,
  level log.level not null,
  node text not null,
  service text not null,
  message text not null,
  peer inet,
  login text,
  fields jsonb
);
create index event_at on log.event using brin (at) with (pages_per_range = 32, autosummarize = on);
create index event_service on log.event (service, id);
create index event_serious on log.event (id) where level >= 'warn';
comment on table log.event is 'What the daemon says of itself: the same as on its standard error, as rows';
comment on column log.event.at is 'When';
comment on column log.event.session_id is 'The session it happened in, as live.session called it';
comment on column log.event.level is 'trace, debug, info, warn or error; later ones are greater: level >= ''warn''';
comment on column log.event.node is 'The node that says it';
comment on column log.event.service is 'The service (smtp, imap, pop3), or the part of the daemon';
comment on column log.event.message is 'What happened';
comment on column log.event.peer is 'Address of the client or the server it is about';
comment on column log.event.login is 'Who had logged in, or wanted to';
comment on column log.event.fields is 'Further facts; empty = none';

create type log.step as enum ('accepted', 'refused', 'placed', 'missed', 'queued', 'reported');

-- The widest facts of a message stand in its first row only, and what is empty takes no room. Indexes are B-trees, which keep equal
-- values together (a busy sender costs 7 bytes a message); a hash index has a chain of pages to walk for each of them.
create table log.trace (
  id bigint generated always as identity primary key,
  at timestamptz not null,
  session_id bigint,
  account_id bigint,
  size bigint,
  mailbox_id bigint,
  uid bigint,
  queue_id bigint,
  step log.step not null,
  node text not null,
  message text not null,
  peer inet,
  command text,
  sender text,
  recipient text,
  message_id text,
  reply text
);
create index trace_at on log.trace using brin (at) with (pages_per_range = 32, autosummarize = on);
create index trace_message on log.trace (message);
create index trace_sender on log.trace (lower(sender)) where sender is not null;
create index trace_recipient on log.trace (lower(recipient)) where recipient is not null;
create index trace_message_id on log.trace (message_id) where message_id is not null;
create index trace_peer on log.trace (peer) where peer is not null;
create index trace_queue on log.trace (queue_id) where queue_id is not null;
comment on table log.trace is 'What became of each message, up to a mailbox here or the queue; report.trace shows it together with the attempts that follow';
comment on column log.trace.at is 'When';
comment on column log.trace.session_id is 'The session that brought the message, as live.session called it';
comment on column log.trace.account_id is 'Who submitted it; where it was placed: whose mailbox it is';
comment on column log.trace.size is 'Bytes';
comment on column log.trace.mailbox_id is 'The mailbox it was placed in';
comment on column log.trace.uid is 'Its UID there';
comment on column log.trace.queue_id is 'Its number in queue.message and queue.attempt';
comment on column log.trace.step is 'accepted: 250 was said, a row for each recipient; refused; placed: it is in a mailbox; missed: the mailbox was deleted meanwhile; queued: for another server; reported: its sender is told of what became of it';
comment on column log.trace.node is 'The node that did it';
comment on column log.trace.message is 'What the server calls the message: the id in its Received field, also said to who sent it. For what was refused before a message began: the session';
comment on column log.trace.peer is 'The client''s address';
comment on column log.trace.command is 'What was refused: MAIL, RCPT or DATA';
comment on column log.trace.sender is 'Reverse path, empty = null sender, in the first row of a message; where it is queued: if it was rewritten';
comment on column log.trace.recipient is 'Accepted, refused: as the client said it. Placed: the account''s address. Queued: where it goes';
comment on column log.trace.message_id is 'Its Message-ID, in the first row';
comment on column log.trace.reply is 'What was said: the refusal, or the kind of the report';

alter table queue.message add column trace text;
comment on column queue.message.trace is 'What log.trace calls the message';
