-- What the server should be doing: services, listeners, limits, IP lists, certificates.
-- One-row tables hold a service's settings; every column's comment is its help text.

create schema control;
comment on schema control is 'What the server should do: services, listeners, settings, IP lists, certificates';

-- Value types ------------------------------------------------------------------------------------------------

create domain control.port as integer
  constraint "a port is a number from 1 to 65535" check (value between 1 and 65535);
create domain control.seconds as integer
  constraint "a time in seconds is from 1 to 86400 (one day)" check (value between 1 and 86400);
create domain control.limit as integer
  constraint "a limit is 0 (none) or a positive number" check (value >= 0);
create domain control.hostname as text
  constraint "a host name has letters, digits, hyphens and dots" check (
    length(value) <= 253 and value ~ '^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$');
create domain control.secret as text;
comment on domain control.secret is 'A secret: never shown, not kept in the audit log';
create domain control.message_size as bigint
  constraint "a message size is from 1 kB to 150 MB (157286400)" check (value between 1024 and 157286400);

create type control.tls_mode as enum ('none', 'starttls', 'implicit');
create type control.listener_mode as enum ('standard', 'submission', 'lmtp');
create type control.newline_policy as enum ('refuse', 'normalise');
create type control.list_mode as enum ('only these', 'all except these');

-- Whether a text is one IP address, as the daemon reads it: no leading zeros, no zone, nothing shortened but by ::.
create function control.is_ip_address(address text) returns boolean
language plpgsql immutable strict parallel safe as $$
declare
  v4 constant text := '(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(\.(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}$';
  v6 text;
begin
  if address ~ ('^' || v4) then return true; end if;
  -- The last four bytes may be written as IPv4: two groups.
  v6 := regexp_replace(address, ':' || v4, ':0:0');
  return v6 ~ '^([0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}$'
    or v6 ~ '^(([0-9a-fA-F]{1,4}:)*[0-9a-fA-F]{1,4})?::(([0-9a-fA-F]{1,4}:)*[0-9a-fA-F]{1,4})?$'
      and regexp_count(v6, '[0-9a-fA-F]+') <= 7;
end $$;

-- Whether a text is an IP pattern as IP lists take them. The daemon reads the same forms; a test holds both to one table.
create function control.is_ip_pattern(pattern text) returns boolean
language plpgsql immutable strict parallel safe as $$
declare
  written constant text := btrim(pattern, E' \t\n\v\f\r');
  prefix text := substr(written, strpos(written, '/') + 1);
  parts text[];
  head text[];
  tail text[];
  part text;
begin
  if written = '' or octet_length(written) > 100 then return false; end if;
  if written ~ '^\*+$' or control.is_ip_address(written) then return true; end if;

  if strpos(written, '/') > 0 then
    if prefix !~ '^[0-9]+$' or length(ltrim(prefix, '0')) > 3 or not control.is_ip_address(split_part(written, '/', 1)) then
      return false;
    end if;
    prefix := '0' || ltrim(prefix, '0');
    -- An IPv4-mapped address is an IPv4 address: its prefix may not reach beyond it.
    return prefix::int <= case when strpos(written, ':') > 0 then 128 else 32 end
      and (prefix::int >= 96 or strpos(written, ':') = 0 or not split_part(written, '/', 1)::inet <<= '::ffff:0:0/96');
  end if;

  if strpos(written, ':') = 0 or written ~* '^::ffff:.*\.' then
    parts := string_to_array(regexp_replace(written, '^::ffff:', '', 'i'), '.');
    if cardinality(parts) > 4 or cardinality(parts) < 4 and parts[cardinality(parts)] !~ '^\*+$' then return false; end if;
    foreach part in array parts loop
      -- Compared as text, so 010 is no number and 3?? fits none.
      if part !~ '^[0-9*?]+$'
        or not exists (select 1 from generate_series(0, 255) n where n::text like translate(part, '*?', '%_')) then
        return false;
      end if;
    end loop;
    return true;
  end if;

  if strpos(written, '::') > 0 then
    head := string_to_array(split_part(written, '::', 1), ':');
    tail := string_to_array(substr(written, strpos(written, '::') + 2), ':');
    -- The gap stands for at least one group; a last * after it for all that are left.
    if array_length(tail, 1) = 1 and tail[1] ~ '^\*+$' then
      if cardinality(head) > 7 then return false; end if;
      parts := head || array_fill('*'::text, array[8 - cardinality(head)]);
    else
      if cardinality(head) + cardinality(tail) > 7 then return false; end if;
      parts := head || array_fill('0'::text, array[8 - cardinality(head) - cardinality(tail)]) || tail;
    end if;
  else
    parts := string_to_array(written, ':');
    if cardinality(parts) > 8 or cardinality(parts) < 8 and parts[cardinality(parts)] !~ '^\*+$' then return false; end if;
    parts := parts || array_fill('*'::text, array[8 - cardinality(parts)]);
  end if;
  foreach part in array parts loop
    if part !~ '^[0-9a-fA-F*?]+$' then return false; end if;
    part := regexp_replace(part, '\*+', '*', 'g');
    if length(replace(part, '*', '')) > 4 then return false; end if;
    -- With wildcards a group is compared as text without leading zeros: some texts then fit no number.
    if part ~ '[*?]' and (part ~ '^0\**[^*]' or part ~ '^\*0' and length(replace(part, '*', '')) = 4) then return false; end if;
  end loop;
  -- An IPv4-mapped address is an IPv4 address, and hexadecimal wildcards make no pattern of IPv4.
  if array_to_string(parts[1:6], ':') ~* '^(0{1,4}:){5}ffff$' then
    return not (parts[7] ~ '[*?]' and parts[7] !~ '^\*+$' or parts[8] ~ '[*?]' and parts[8] !~ '^\*+$'
      or parts[7] ~ '^\*+$' and parts[8] !~ '^\*+$');
  end if;
  return true;
end $$;

-- Generation -------------------------------------------------------------------------------------------------

create table control.generation (
  only_row boolean primary key default true check (only_row),
  value bigint not null default 1,
  config bigint not null default 1,
  changed_at timestamptz not null default now()
);
comment on table control.generation is 'Counts committed changes of settings and directory; nodes report in live.node how far they have come';
comment on column control.generation.value is 'Number of the last change, whatever it was';
comment on column control.generation.config is 'Number of the last change that touched schema control';
comment on column control.generation.changed_at is 'When the last change was committed';
insert into control.generation default values;

create table control.touched (
  transaction xid8 primary key,
  config boolean not null
);
comment on table control.touched is 'Transactions that have changed something and not yet committed; empty otherwise';
comment on column control.touched.transaction is 'The transaction';
comment on column control.touched.config is 'Whether it has changed schema control, and not only the directory';

create table control.lease (
  name text primary key,
  node text not null,
  until timestamptz not null
);
comment on table control.lease is 'Work that only one node does at a time, and who has it until when';
comment on column control.lease.name is 'What work it is';
comment on column control.lease.node is 'The node that does it';
comment on column control.lease.until is 'From then on another node may take it over';

-- IP lists ---------------------------------------------------------------------------------------------------

create table control.ip_list (
  id bigint generated by default as identity primary key,
  name text not null unique constraint "an IP list has a name" check (name <> ''),
  mode control.list_mode not null default 'all except these',
  comment text
);
comment on table control.ip_list is 'Lists of addresses, used for connection control and trust';
comment on column control.ip_list.name is 'What people call the list';
comment on column control.ip_list.mode is 'Whether only the addresses in the list are let in, or all except these';
comment on column control.ip_list.comment is 'A note for administrators';

create table control.ip_rule (
  id bigint generated by default as identity primary key,
  list_id bigint not null references control.ip_list on delete cascade,
  pattern text not null
    constraint "a pattern is like 10.0.0.1, 10.0.0.0/8, 10.*, fe80::/10 or ::*" check (control.is_ip_pattern(pattern)),
  comment text,
  unique (list_id, pattern)
);
comment on table control.ip_rule is 'The addresses in a list';
comment on column control.ip_rule.list_id is 'The list this rule belongs to';
comment on column control.ip_rule.pattern is 'One address, a prefix (192.168.0.1/16), or a pattern: * for trailing octets or groups, ? for one character';
comment on column control.ip_rule.comment is 'A note for administrators';

-- Services and listeners -------------------------------------------------------------------------------------

create table control.service (
  name text primary key
    constraint "this is none of the ten services" check (
      name in ('smtp', 'pop3', 'imap', 'rpc', 'webmail', 'rbl', 'antispam', 'antivirus', 'list', 'traffic')),
  enabled boolean not null default true,
  ip_list_id bigint references control.ip_list,
  max_connections control.limit not null default 20000,
  max_connections_per_peer control.limit not null default 500,
  max_connections_per_account control.limit not null default 100
);
comment on table control.service is 'The services; switching one off closes its listeners and sessions at once';
comment on column control.service.name is 'Name of the service';
comment on column control.service.enabled is 'Whether the service runs';
comment on column control.service.ip_list_id is 'Connection control: the IP list that says who may connect; none = everybody';
comment on column control.service.max_connections is 'Connections to this service at one time on one node; 0 = no limit';
comment on column control.service.max_connections_per_peer is 'Connections at one time from one address (IPv6: from one /64) on one node; 0 = no limit';
comment on column control.service.max_connections_per_account is 'Sessions of one account at one time on one node; 0 = no limit';
insert into control.service (name, enabled) values
  ('smtp', true), ('pop3', true), ('imap', true), ('rpc', false), ('webmail', false), ('rbl', false),
  ('antispam', false), ('antivirus', false), ('list', false), ('traffic', false);

create table control.listener (
  id bigint generated by default as identity primary key,
  service text not null references control.service on update cascade,
  address text not null default '*'
    constraint "a listener's address is * or one IP address of this host" check (
      address = '*' or control.is_ip_address(address)),
  port control.port not null,
  tls control.tls_mode not null default 'starttls',
  mode control.listener_mode not null default 'standard'
    constraint "only smtp listeners have the modes submission and lmtp" check (mode = 'standard' or service = 'smtp'),
  enabled boolean not null default true,
  constraint "each address and port has only one listener" unique (address, port)
);
comment on table control.listener is 'Addresses and ports the services listen on; the node''s port offset is added to the port';
comment on column control.listener.service is 'The service that answers';
comment on column control.listener.address is '* for all addresses, or one address. The short form "192.168.0.1 25, * 587" makes one row for each';
comment on column control.listener.port is 'TCP port';
comment on column control.listener.tls is 'implicit: TLS from the first byte; starttls: the client may ask for TLS; none: no TLS';
comment on column control.listener.mode is 'smtp only. standard: mail from other servers; submission: mail from users, who must log in; lmtp: LMTP (RFC 2033)';
comment on column control.listener.enabled is 'Whether this listener is open while its service runs';
insert into control.listener (service, port, tls, mode) values
  ('smtp', 25, 'starttls', 'standard'), ('smtp', 587, 'starttls', 'submission'), ('smtp', 465, 'implicit', 'submission'),
  ('pop3', 110, 'starttls', 'standard'), ('pop3', 995, 'implicit', 'standard'),
  ('imap', 143, 'starttls', 'standard'), ('imap', 993, 'implicit', 'standard');

-- Certificates -----------------------------------------------------------------------------------------------

create table control.certificate (
  id bigint generated by default as identity primary key,
  names text[] not null default '{}',
  chain text not null constraint "a certificate chain is PEM text" check (chain like '%-----BEGIN CERTIFICATE-----%'),
  key control.secret not null constraint "a private key is PEM text" check (key like '%PRIVATE KEY-----%'),
  source text not null default 'uploaded'
    constraint "a certificate is uploaded, self-signed or acme" check (source in ('uploaded', 'self-signed', 'acme')),
  active boolean not null default true,
  created_at timestamptz not null default now()
);
comment on table control.certificate is 'TLS certificates, chosen by the name that the client asks for (SNI)';
comment on column control.certificate.names is 'Host names it serves, *.example.test included; empty = the names inside the certificate';
comment on column control.certificate.chain is 'Certificate and intermediates, PEM, the server''s own first';
comment on column control.certificate.key is 'Private key, PEM';
comment on column control.certificate.source is 'Where it came from: uploaded, self-signed, acme';
comment on column control.certificate.active is 'Whether it is used. Without a matching name the active uploaded or ACME one with the lowest id is served, else the self-signed one';
comment on column control.certificate.created_at is 'When the row was made';

-- Administrators that are no mail users ----------------------------------------------------------------------

create table control.administrator (
  name text primary key constraint "an administrator has a name without @" check (name ~ '^[a-z0-9._-]{1,64}$'),
  password_hash control.secret,
  active boolean not null default true
);
comment on table control.administrator is 'Administrators of the whole server; they have no address and no mailbox';
comment on column control.administrator.name is 'Login name; system is made at the first start';
comment on column control.administrator.password_hash is 'Set it with: mailwright password NAME';
comment on column control.administrator.active is 'Whether this administrator may log in';

-- Settings ---------------------------------------------------------------------------------------------------

create table control.server (
  only_row boolean primary key default true check (only_row),
  hostname control.hostname,
  stop_grace_seconds control.seconds not null default 30,
  log_level text not null default 'info'
    constraint "the log level is error, warn, info, debug or trace" check (log_level in ('error', 'warn', 'info', 'debug', 'trace'))
);
comment on table control.server is 'Settings of the whole server';
comment on column control.server.hostname is 'The server''s name in greetings and trace headers; empty = the host''s own name';
comment on column control.server.stop_grace_seconds is 'How long a stopping service waits for messages that are just coming in';
comment on column control.server.log_level is 'How much is logged: error, warn, info, debug, trace';
insert into control.server default values;

create table control.smtp (
  only_row boolean primary key default true check (only_row),
  max_message_bytes control.message_size not null default 52428800,
  max_recipients integer not null default 1000
    constraint "a message may have from 100 to 50000 recipients" check (max_recipients between 100 and 50000),
  max_header_bytes integer not null default 262144
    constraint "a message header is from 16 kB to 1 MB" check (max_header_bytes between 16384 and 1048576),
  max_errors integer not null default 20 constraint "max_errors is at least 1" check (max_errors >= 1),
  max_messages_per_session integer not null default 100000
    constraint "max_messages_per_session is at least 1" check (max_messages_per_session >= 1),
  max_received_headers integer not null default 100
    constraint "max_received_headers is from 10 to 1000" check (max_received_headers between 10 and 1000),
  bare_newline control.newline_policy not null default 'refuse',
  require_tls_for_auth boolean not null default true,
  allow_null_sender boolean not null default true,
  command_timeout_seconds control.seconds not null default 300,
  data_timeout_seconds control.seconds not null default 180
);
comment on table control.smtp is 'Settings of the SMTP service';
comment on column control.smtp.max_message_bytes is 'Largest message accepted, in bytes, 150 MB at most; a domain or account may have a lower limit';
comment on column control.smtp.max_recipients is 'Recipients of one message; more are answered with 452, and the client sends them in a further message';
comment on column control.smtp.max_header_bytes is 'Largest header of a message, in bytes';
comment on column control.smtp.max_errors is 'Refused commands after which a session is closed with 421';
comment on column control.smtp.max_messages_per_session is 'Messages in one session';
comment on column control.smtp.max_received_headers is 'A message with more Received headers than this runs in a loop and is refused (RFC 5321, 6.3)';
comment on column control.smtp.bare_newline is 'A message with CR or LF alone: refuse it, or normalise them to CRLF. They never end a message';
comment on column control.smtp.require_tls_for_auth is 'Whether AUTH is offered only under TLS';
comment on column control.smtp.allow_null_sender is 'Whether MAIL FROM:<> is accepted; bounces need it';
comment on column control.smtp.command_timeout_seconds is 'How long a silent client is waited for between commands';
comment on column control.smtp.data_timeout_seconds is 'How long a silent client is waited for within a message';
insert into control.smtp default values;

create table control.imap (
  only_row boolean primary key default true check (only_row),
  require_tls_for_login boolean not null default true,
  idle_timeout_seconds control.seconds not null default 1860
    constraint "RFC 9051 asks for at least 30 minutes of patience: 1800" check (idle_timeout_seconds >= 1800),
  login_timeout_seconds control.seconds not null default 60,
  max_errors integer not null default 50 constraint "max_errors is at least 1" check (max_errors >= 1),
  max_mailboxes integer not null default 10000 constraint "max_mailboxes is at least 10" check (max_mailboxes >= 10)
);
comment on table control.imap is 'Settings of the IMAP service';
comment on column control.imap.require_tls_for_login is 'Whether LOGIN and AUTHENTICATE PLAIN are refused without TLS (LOGINDISABLED)';
comment on column control.imap.idle_timeout_seconds is 'How long a silent client is kept after login';
comment on column control.imap.login_timeout_seconds is 'How long a client may take to log in';
comment on column control.imap.max_errors is 'Commands with syntax errors after which a session is closed';
comment on column control.imap.max_mailboxes is 'Mailboxes that one account may have';
insert into control.imap default values;

create table control.pop3 (
  only_row boolean primary key default true check (only_row),
  require_tls_for_login boolean not null default true,
  idle_timeout_seconds control.seconds not null default 600
    constraint "RFC 1939 asks for at least 10 minutes of patience: 600" check (idle_timeout_seconds >= 600),
  login_timeout_seconds control.seconds not null default 60,
  login_delay_seconds control.limit not null default 0,
  max_errors integer not null default 20 constraint "max_errors is at least 1" check (max_errors >= 1)
);
comment on table control.pop3 is 'Settings of the POP3 service';
comment on column control.pop3.require_tls_for_login is 'Whether USER, PASS and AUTH PLAIN are refused without TLS';
comment on column control.pop3.idle_timeout_seconds is 'How long a silent client is kept after login';
comment on column control.pop3.login_timeout_seconds is 'How long a client may take to log in';
comment on column control.pop3.login_delay_seconds is 'Shortest time between two logins of one account (LOGIN-DELAY, RFC 2449); 0 = none';
comment on column control.pop3.max_errors is 'Refused commands after which a session is closed';
insert into control.pop3 default values;

create table control.directory (
  only_row boolean primary key default true check (only_row),
  subaddress_separator text not null default '+'
    constraint "the subaddress separator is empty or one of + - = _ ." check (subaddress_separator in ('', '+', '-', '=', '_', '.')),
  max_login_failures integer not null default 6 constraint "max_login_failures is from 1 to 1000" check (max_login_failures between 1 and 1000),
  lock_minutes integer not null default 15 constraint "lock_minutes is from 1 to 1440" check (lock_minutes between 1 and 1440),
  max_peer_login_failures integer not null default 30
    constraint "max_peer_login_failures is from 1 to 10000" check (max_peer_login_failures between 1 and 10000),
  quota_bytes bigint constraint "a quota is 0 (none) or more bytes" check (quota_bytes >= 0),
  min_password_length integer not null default 8 constraint "min_password_length is from 1 to 128" check (min_password_length between 1 and 128),
  unknown_user_secret control.secret not null default gen_random_uuid()::text || gen_random_uuid()::text
);
comment on table control.directory is 'Settings of domains, accounts and logins';
comment on column control.directory.subaddress_separator is 'What separates user and detail in user+detail@domain; empty = no subaddressing';
comment on column control.directory.max_login_failures is 'Wrong passwords in a row after which an account is locked';
comment on column control.directory.lock_minutes is 'How long an account or peer stays locked';
comment on column control.directory.max_peer_login_failures is 'Wrong passwords, for whatever accounts, after which a peer address (IPv6: /64) is locked';
comment on column control.directory.quota_bytes is 'Quota of accounts whose domain and self name none; 0 or empty = no limit';
comment on column control.directory.unknown_user_secret is 'Makes what SCRAM shows for unknown users look real and the same on all nodes';
comment on column control.directory.min_password_length is 'Shortest password that the commands and pages accept';
insert into control.directory default values;

create table control.store (
  only_row boolean primary key default true check (only_row),
  message_bytes_in_flight bigint not null default 67108864
    constraint "message_bytes_in_flight is from 4 MB to 64 GB" check (message_bytes_in_flight between 4194304 and 68719476736),
  compress boolean not null default true,
  expunged_retention_days integer not null default 14
    constraint "expunged_retention_days is from 0 to 3650" check (expunged_retention_days between 0 and 3650),
  content_grace_hours integer not null default 24
    constraint "content_grace_hours is from 1 to 8760" check (content_grace_hours between 1 and 8760)
);
comment on table control.store is 'Settings of the message store';
comment on column control.store.message_bytes_in_flight is 'Memory for messages that are just coming in, in bytes and per node; when it is spent, senders wait';
comment on column control.store.compress is 'Whether message bodies are compressed (zstd); off lets people read raw mail in SQL. Mail already stored stays as it is';
comment on column control.store.expunged_retention_days is 'How long deleted mail can be restored, and mail clients can be told what has gone';
comment on column control.store.content_grace_hours is 'How long content that nothing refers to is kept before it is removed';
insert into control.store default values;

create table control.logic (
  only_row boolean primary key default true check (only_row),
  version integer[] not null,
  digest text not null,
  built_at timestamptz not null default now()
);
comment on table control.logic is 'Which daemon''s functions, triggers and views are in place; an older daemon leaves them alone';
comment on column control.logic.version is 'Version of that daemon, in numbers';
comment on column control.logic.digest is 'BLAKE3 of their text: another text is built anew';
comment on column control.logic.built_at is 'When they were built';
