-- What is running now, and the log of who changed what. The live tables are UNLOGGED: after a crash of the database
-- they are empty, and the nodes fill them again.

create schema live;
comment on schema live is 'What is running now';

create unlogged table live.node (
  name text primary key,
  boot uuid not null,
  version text not null,
  started_at timestamptz not null default now(),
  seen_at timestamptz not null default now(),
  applied_generation bigint not null default 0,
  error text
);
comment on table live.node is 'Nodes (daemons) on this database';
comment on column live.node.name is 'Name of the node, as --node says';
comment on column live.node.boot is 'Changes with every start';
comment on column live.node.version is 'Version of the daemon';
comment on column live.node.started_at is 'When it was started';
comment on column live.node.seen_at is 'Last sign of life';
comment on column live.node.applied_generation is 'The last change (control.generation) that this node obeys';
comment on column live.node.error is 'Why it does not obey a later one';

create unlogged table live.session (
  id bigint primary key,
  node text not null,
  service text not null,
  listener_id bigint,
  peer inet not null,
  peer_port integer not null,
  tls text,
  account_id bigint,
  login text,
  state text not null,
  since timestamptz not null default now(),
  active_at timestamptz not null default now()
);
create index session_node on live.session (node);
comment on table live.session is 'Open sessions; deleting a row ends that session';
comment on column live.session.node is 'The node that serves it';
comment on column live.session.service is 'smtp, imap, pop3 …';
comment on column live.session.listener_id is 'The listener it came in by';
comment on column live.session.peer is 'Address of the client';
comment on column live.session.peer_port is 'Port of the client';
comment on column live.session.tls is 'TLS version and cipher; empty = not encrypted';
comment on column live.session.account_id is 'Who has logged in';
comment on column live.session.login is 'Address of that account';
comment on column live.session.state is 'What it is doing';
comment on column live.session.since is 'When it began';
comment on column live.session.active_at is 'Last command';
create sequence live.session_id increment by 1048576;
comment on sequence live.session_id is 'Each node takes 1048576 session ids at a time';

create unlogged table live.service_status (
  node text not null,
  service text not null,
  state text not null,
  error text,
  since timestamptz not null default now(),
  primary key (node, service)
);
comment on table live.service_status is 'How each service is on each node';
comment on column live.service_status.node is 'The node';
comment on column live.service_status.service is 'The service';
comment on column live.service_status.state is 'running, stopping, stopped or failed';
comment on column live.service_status.error is 'Why it does not run, or which of its listeners do not';
comment on column live.service_status.since is 'Since when it is in this state';

create unlogged table live.listener_status (
  node text not null,
  listener_id bigint not null,
  service text not null,
  address text not null,
  port integer not null,
  state text not null,
  error text,
  primary key (node, listener_id)
);
comment on table live.listener_status is 'How each listener is on each node';
comment on column live.listener_status.node is 'The node';
comment on column live.listener_status.listener_id is 'The row of control.listener';
comment on column live.listener_status.service is 'The service that answers';
comment on column live.listener_status.address is '* for all addresses, or one address';
comment on column live.listener_status.port is 'The port really bound: the listener''s port and the node''s offset';
comment on column live.listener_status.state is 'open or failed';
comment on column live.listener_status.error is 'Why it is not open; it is tried again every few seconds';

create unlogged table live.login_failure (
  key text primary key,
  failures integer not null,
  last_at timestamptz not null default now(),
  locked_until timestamptz
);
comment on table live.login_failure is 'Wrong passwords by account name and by peer; deleting a row unlocks it';
comment on column live.login_failure.key is 'account:NAME or peer:ADDRESS';
comment on column live.login_failure.failures is 'Wrong passwords in a row';
comment on column live.login_failure.last_at is 'When the last one was';
comment on column live.login_failure.locked_until is 'No login until then';

create schema log;
comment on schema log is 'What has happened';

create table log.audit (
  id bigint generated always as identity primary key,
  at timestamptz not null default clock_timestamp(),
  actor text not null,
  peer text,
  path text,
  table_name text not null,
  action text not null check (action in ('insert', 'update', 'delete')),
  key jsonb not null,
  old jsonb,
  new jsonb,
  undoes bigint
);
create index audit_at on log.audit using brin (at);
create index audit_row on log.audit (table_name, key);
comment on table log.audit is 'Every change of settings and directory: who, from where, what; control.undo(id) takes one back';
comment on column log.audit.at is 'When';
comment on column log.audit.actor is 'Who: the administrator, or the database user';
comment on column log.audit.peer is 'From which address; empty = on this host';
comment on column log.audit.path is 'By what: the name of the program (application_name)';
comment on column log.audit.table_name is 'Schema and table';
comment on column log.audit.action is 'insert, update or delete';
comment on column log.audit.key is 'Primary key of the row';
comment on column log.audit.old is 'The row before; secrets are hidden';
comment on column log.audit.new is 'The row after; secrets are hidden';
comment on column log.audit.undoes is 'The change that this one took back';
