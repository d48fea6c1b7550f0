-- Sending: how mail for other servers is routed, tried again, given up and reported.

-- Settings ---------------------------------------------------------------------------------------------------

create type control.ip_preference as enum ('ipv6 first', 'ipv4 first', 'ipv6 only', 'ipv4 only');
create type control.route_tls as enum ('none', 'opportunistic', 'required', 'verified', 'implicit');

create table control.relay (
  only_row boolean primary key default true check (only_row),
  enabled boolean not null default true,
  port control.port not null default 25,
  helo_name control.hostname,
  source_ipv4 text constraint "source_ipv4 is one IPv4 address of this host" check (source_ipv4 !~ ':' and control.is_ip_address(source_ipv4)),
  source_ipv6 text constraint "source_ipv6 is one IPv6 address of this host" check (source_ipv6 ~ ':' and control.is_ip_address(source_ipv6)),
  ip_preference control.ip_preference not null default 'ipv6 first',
  max_connections integer not null default 100
    constraint "max_connections is from 1 to 5000" check (max_connections between 1 and 5000),
  max_connections_per_destination integer not null default 20
    constraint "max_connections_per_destination is from 1 to 1000" check (max_connections_per_destination between 1 and 1000),
  max_messages_per_connection integer not null default 200
    constraint "max_messages_per_connection is at least 1" check (max_messages_per_connection >= 1),
  max_recipients_per_message integer not null default 100
    constraint "max_recipients_per_message is from 1 to 1000" check (max_recipients_per_message between 1 and 1000),
  idle_seconds control.seconds not null default 5,
  connect_timeout_seconds control.seconds not null default 30,
  reply_timeout_seconds control.seconds not null default 300,
  data_timeout_seconds control.seconds not null default 180,
  end_timeout_seconds control.seconds not null default 600,
  expire_hours integer not null default 120 constraint "expire_hours is from 1 to 1000" check (expire_hours between 1 and 1000),
  bounce_expire_hours integer not null default 24
    constraint "bounce_expire_hours is from 1 to 1000" check (bounce_expire_hours between 1 and 1000),
  delay_warning_hours integer not null default 4
    constraint "delay_warning_hours is from 0 to 1000" check (delay_warning_hours between 0 and 1000),
  max_returned_bytes bigint not null default 1048576
    constraint "max_returned_bytes is from 0 to 50 MB" check (max_returned_bytes between 0 and 52428800),
  attempt_days integer not null default 30 constraint "attempt_days is from 1 to 3650" check (attempt_days between 1 and 3650),
  extra_roots text constraint "extra_roots are certificates in PEM" check (extra_roots like '%-----BEGIN CERTIFICATE-----%')
);
comment on table control.relay is 'Settings of sending mail to other servers';
comment on column control.relay.enabled is 'Whether mail for other servers is sent; false keeps all of it in the queue';
comment on column control.relay.port is 'Port of other servers, where no route says another: 25';
comment on column control.relay.helo_name is 'The name given to other servers in EHLO; empty = the server''s own name';
comment on column control.relay.source_ipv4 is 'The IPv4 address of this host from which mail is sent; empty = as the system chooses';
comment on column control.relay.source_ipv6 is 'The IPv6 address of this host from which mail is sent; empty = as the system chooses';
comment on column control.relay.ip_preference is 'Which addresses of another server are tried, and which first';
comment on column control.relay.max_connections is 'Connections to other servers at one time on one node';
comment on column control.relay.max_connections_per_destination is 'Of these, connections for one domain or route';
comment on column control.relay.max_messages_per_connection is 'Messages sent over one connection before it is closed';
comment on column control.relay.max_recipients_per_message is 'Recipients to whom a message is sent at once; for more it is sent again';
comment on column control.relay.idle_seconds is 'How long a connection is kept for the next message to the same destination';
comment on column control.relay.connect_timeout_seconds is 'How long a connection, and each TLS handshake, may take';
comment on column control.relay.reply_timeout_seconds is 'How long a reply is waited for (RFC 5321, 4.5.3.2: 5 minutes)';
comment on column control.relay.data_timeout_seconds is 'How long the other server may take to accept the next piece of a message (RFC 5321, 4.5.3.2: 3 minutes)';
comment on column control.relay.end_timeout_seconds is 'How long the reply to the end of a message is waited for (RFC 5321, 4.5.3.2: 10 minutes)';
comment on column control.relay.expire_hours is 'How long delivery is tried before the message is returned to its sender';
comment on column control.relay.bounce_expire_hours is 'The same for messages without a sender, such as reports';
comment on column control.relay.delay_warning_hours is 'After how long the sender is told that a message is delayed; 0 = never';
comment on column control.relay.max_returned_bytes is 'Largest message that is returned whole with a report when the sender asked for it; of larger ones the header is';
comment on column control.relay.attempt_days is 'How long the outcomes of attempts are kept in queue.attempt';
comment on column control.relay.extra_roots is 'Certificates (PEM) of authorities that are trusted besides those of the system, for routes and policies that ask for verified TLS';
insert into control.relay default values;

create table control.retry (
  attempt integer primary key constraint "attempts are counted from 1" check (attempt >= 1),
  after_seconds integer not null constraint "after_seconds is from 1 to 604800 (7 days)" check (after_seconds between 1 and 604800)
);
comment on table control.retry is 'When a delivery that failed for now is tried again. After the last row its time repeats until the message expires';
comment on column control.retry.attempt is 'After the how-many-th attempt';
comment on column control.retry.after_seconds is 'Seconds until the next one; a tenth more or less is added at random';
insert into control.retry values (1, 60), (2, 300), (3, 600), (4, 900), (5, 1800), (6, 3600), (7, 7200), (8, 14400);

create table control.route (
  id bigint generated by default as identity primary key,
  pattern text not null unique
    constraint "a pattern is *, example.org or *.example.org" check (
      pattern = '*' or (case when pattern like '*.%' then substr(pattern, 3) else pattern end)::control.hostname is not null),
  active boolean not null default true,
  host text constraint "a host is a name, or an IP address" check (
    host is null or control.is_ip_address(host) or host::control.hostname is not null),
  port control.port,
  tls control.route_tls not null default 'opportunistic',
  username text,
  password control.secret,
  helo_name control.hostname,
  source_ipv4 text constraint "source_ipv4 is one IPv4 address of this host" check (source_ipv4 !~ ':' and control.is_ip_address(source_ipv4)),
  source_ipv6 text constraint "source_ipv6 is one IPv6 address of this host" check (source_ipv6 ~ ':' and control.is_ip_address(source_ipv6)),
  max_connections control.limit not null default 0,
  max_messages_per_minute control.limit not null default 0,
  comment text,
  constraint "a user name needs a password, and a password a user name" check ((username is null) = (password is null)),
  constraint "a login needs TLS: set tls to required, verified or implicit" check (username is null or tls in ('required', 'verified', 'implicit'))
);
comment on table control.route is 'Smart hosts and other exceptions from sending by DNS. The most specific pattern wins: example.org before *.example.org before *.org before *';
comment on column control.route.pattern is 'Recipients'' domain; *.example.org for all below it; * for everything: the smart host';
comment on column control.route.active is 'Whether the route is used';
comment on column control.route.host is 'Host that takes the mail: a name (its addresses are used, not its MX) or an IP address; empty = by DNS as usual';
comment on column control.route.port is 'Its port; empty = 25, or 465 with implicit TLS';
comment on column control.route.tls is 'none; opportunistic: if the server offers it; required: encrypted, whatever the certificate; verified: with a valid certificate for the host; implicit: verified, TLS from the first byte';
comment on column control.route.username is 'Login at that host (AUTH)';
comment on column control.route.password is 'Its password';
comment on column control.route.helo_name is 'The name given in EHLO; empty = as the sender''s domain or control.relay says';
comment on column control.route.source_ipv4 is 'IPv4 address of this host to send from; empty = as the sender''s domain or control.relay says';
comment on column control.route.source_ipv6 is 'IPv6 address of this host to send from; empty = as the sender''s domain or control.relay says';
comment on column control.route.max_connections is 'Connections at one time on one node; 0 = as control.relay says';
comment on column control.route.max_messages_per_minute is 'Messages sent in a minute by one node; 0 = no limit';
comment on column control.route.comment is 'A note for administrators';

alter table directory.domain
  add column helo_name control.hostname,
  add column source_ipv4 text constraint "source_ipv4 is one IPv4 address of this host" check (source_ipv4 !~ ':' and control.is_ip_address(source_ipv4)),
  add column source_ipv6 text constraint "source_ipv6 is one IPv6 address of this host" check (source_ipv6 ~ ':' and control.is_ip_address(source_ipv6));
comment on column directory.domain.helo_name is 'The name given in EHLO when mail of this domain''s users is sent; empty = as control.relay says';
comment on column directory.domain.source_ipv4 is 'IPv4 address of this host from which mail of this domain''s users is sent; empty = as control.relay says';
comment on column directory.domain.source_ipv6 is 'IPv6 address of this host from which mail of this domain''s users is sent; empty = as control.relay says';

create table control.template (
  id bigint generated by default as identity primary key,
  name text not null constraint "a template is for failed, delayed, delivered or relayed" check (name in ('failed', 'delayed', 'delivered', 'relayed')),
  domain_id bigint references directory.domain on delete cascade,
  subject text not null constraint "a subject is one line of 1 to 200 characters" check (length(subject) between 1 and 200 and subject !~ '[[:cntrl:]]'),
  body text not null constraint "a text has 1 to 20000 characters" check (length(body) between 1 and 20000),
  constraint "there is one text of each kind for a domain" unique nulls not distinct (name, domain_id)
);
comment on table control.template is 'Texts of the reports that senders get. {hostname} {sender} {subject} {received} {recipients} {reasons} {expires} stand for what they say';
comment on column control.template.name is 'When it is sent: failed, delayed, delivered (when asked for), relayed (delivered to a server that sends no reports)';
comment on column control.template.domain_id is 'For senders of this domain; empty = for all others';
comment on column control.template.subject is 'Subject of the report';
comment on column control.template.body is 'Text of the report';
insert into control.template (name, subject, body) values
  ('failed', 'Not delivered: {subject}',
   E'This is the mail server {hostname}.\n\nYour message of {received} could not be delivered to:\n\n{recipients}\n\nWhat was said about it:\n\n{reasons}\n\nIt will not be tried again. Please check the address, or ask the recipient another way.\nThe beginning of your message is attached.\n'),
  ('delayed', 'Delayed: {subject}',
   E'This is the mail server {hostname}.\n\nYour message of {received} has not been delivered yet to:\n\n{recipients}\n\nWhat was said about it:\n\n{reasons}\n\nYou need not do anything: delivery is tried until {expires}. Please do not send it again.\n'),
  ('delivered', 'Delivered: {subject}',
   E'This is the mail server {hostname}.\n\nAs you asked to be told: your message of {received} was delivered to:\n\n{recipients}\n'),
  ('relayed', 'Relayed: {subject}',
   E'This is the mail server {hostname}.\n\nYour message of {received} was handed over for:\n\n{recipients}\n\nThe server that took it does not send reports of delivery, so no more may be heard of it.\n');

-- The queue ----------------------------------------------------------------------------------------------------

alter table queue.message
  add column require_tls boolean not null default false,
  add column priority smallint not null default 0 constraint "a priority is from -9 to 9" check (priority between -9 and 9),
  add column deliver_by timestamptz,
  add column deliver_by_return boolean not null default false,
  add column deliver_by_trace boolean not null default false;
comment on column queue.message.require_tls is 'Whether it may travel only under verified TLS (RFC 8689)';
comment on column queue.message.priority is 'MT-PRIORITY (RFC 6710): those of one destination with a higher one go first';
comment on column queue.message.deliver_by is 'BY (RFC 2852): when it must have been delivered';
comment on column queue.message.deliver_by_return is 'BY: whether it is returned after that time (R), or its sender told (N)';
comment on column queue.message.deliver_by_trace is 'BY: whether the sender is told when it is relayed (T)';

alter table queue.recipient
  add column leased_by text,
  add column leased_until timestamptz,
  add column last_attempt_at timestamptz,
  add column last_reply text,
  add column delay_reported boolean not null default false;
comment on column queue.recipient.leased_by is 'The node that is delivering it now';
comment on column queue.recipient.leased_until is 'From then on another node may take it over';
comment on column queue.recipient.last_attempt_at is 'When delivery was tried last';
comment on column queue.recipient.last_reply is 'What was said about it then';
comment on column queue.recipient.delay_reported is 'Whether the sender has been told that it is delayed';

-- What is stored here is said to other servers as it stands: nothing that could end a line, and no address that is none.
alter table queue.message
  add constraint "a sender is empty or an address like someone@example.test" check (
    sender = '' or sender ~ '^[^[:cntrl:]]+@[^[:cntrl:][:space:]@<>]+$' and octet_length(sender) <= 320),
  add constraint "an envelope id has at most 100 characters, no control ones" check (envelope_id !~ '[[:cntrl:]]' and length(envelope_id) <= 100);
alter table queue.recipient
  add constraint "a recipient is an address like someone@example.test" check (
    address ~ '^[^[:cntrl:]]+@[^[:cntrl:][:space:]@<>]+$' and octet_length(address) <= 320),
  add constraint "the domain is the part of the address after the @" check (lower(domain) = lower(substring(address from '[^@]*$'))),
  add constraint "an original recipient is like rfc822;someone@example.test" check (
    original_recipient ~ '^[^[:space:][:cntrl:];]+;[^[:space:][:cntrl:]]+$' and octet_length(original_recipient) <= 4000);

drop index queue.recipient_due;
create index recipient_due on queue.recipient (domain, next_attempt_at) where state = 'waiting';

create table queue.destination (
  domain text primary key,
  look_at timestamptz not null,
  down_until timestamptz,
  failures integer not null default 0,
  down_reason text
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);
create index destination_look_at on queue.destination (look_at);
comment on table queue.destination is 'Domains with waiting mail, so that finding what is due costs the same however much waits. Kept by the server';
comment on column queue.destination.domain is 'The recipients'' domain';
comment on column queue.destination.look_at is 'When something for it is due next, or earlier';
comment on column queue.destination.down_until is 'None of its servers could be reached: all of its mail waits until then';
comment on column queue.destination.failures is 'How often in a row none could be reached';
comment on column queue.destination.down_reason is 'Why';
insert into queue.destination (domain, look_at) select distinct domain, now() from queue.recipient where state = 'waiting';

create table queue.attempt (
  id bigint generated always as identity,
  at timestamptz not null default now(),
  node text not null,
  message_id bigint not null,
  recipient text not null,
  sender text not null,
  account_id bigint,
  content_id bigint not null,
  size bigint not null,
  outcome text not null
    constraint "this is no outcome of an attempt" check (outcome in ('delivered', 'delayed', 'failed', 'expired', 'cancelled')),
  attempt integer not null,
  host text,
  address inet,
  tls text,
  reply text not null,
  milliseconds integer not null
);
create index attempt_message on queue.attempt (message_id);
create index attempt_at on queue.attempt using brin (at);
comment on table queue.attempt is 'What became of each attempt to deliver; kept for control.relay.attempt_days';
comment on column queue.attempt.at is 'When it ended';
comment on column queue.attempt.node is 'The node that made it';
comment on column queue.attempt.message_id is 'The message as it was called in queue.message';
comment on column queue.attempt.recipient is 'The recipient';
comment on column queue.attempt.sender is 'Reverse path; empty = null sender';
comment on column queue.attempt.account_id is 'The account that sent it';
comment on column queue.attempt.content_id is 'Its content in store.content, if it is still there';
comment on column queue.attempt.size is 'Bytes';
comment on column queue.attempt.outcome is 'delivered, delayed (tried again later), failed, expired, or cancelled by an administrator';
comment on column queue.attempt.attempt is 'The how-many-th it was';
comment on column queue.attempt.host is 'The server it was made with, by name';
comment on column queue.attempt.address is 'And by address';
comment on column queue.attempt.tls is 'TLS version, cipher and how the certificate was verified; empty = not encrypted';
comment on column queue.attempt.reply is 'What the server said, or what went wrong';
comment on column queue.attempt.milliseconds is 'How long it took';
