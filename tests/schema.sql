CREATE SCHEMA admin;

COMMENT ON SCHEMA admin IS 'The administration: a view for each page, a function for each button. The pages in the browser show just this';

CREATE SCHEMA control;

COMMENT ON SCHEMA control IS 'What the server should do: services, listeners, settings, IP lists, certificates';

CREATE SCHEMA directory;

COMMENT ON SCHEMA directory IS 'Who has mail here: domains, accounts, aliases';

CREATE SCHEMA live;

COMMENT ON SCHEMA live IS 'What is running now';

CREATE SCHEMA log;

COMMENT ON SCHEMA log IS 'What has happened';

CREATE SCHEMA logic;

COMMENT ON SCHEMA logic IS 'How it works inside: functions, triggers, and what the policies ask. Not for people, and rebuilt with each version';

CREATE SCHEMA queue;

COMMENT ON SCHEMA queue IS 'Mail on its way to other servers';

CREATE SCHEMA report;

COMMENT ON SCHEMA report IS 'What there is and what has happened, for people and their reporting tools: views whose names and columns stay';

CREATE SCHEMA screen;

COMMENT ON SCHEMA screen IS 'What screening remembers';

CREATE SCHEMA store;

COMMENT ON SCHEMA store IS 'Mailboxes and messages';

CREATE TYPE control.acme_challenge AS ENUM (
    'tls-alpn-01',
    'http-01'
);

CREATE TYPE control.administrator_role AS ENUM (
    'system',
    'auditor'
);

CREATE TYPE control.chart AS ENUM (
    'none',
    'line',
    'bars'
);

CREATE TYPE control.check_action AS ENUM (
    'off',
    'mark',
    'tempfail',
    'reject'
);

CREATE TYPE control.dnssec AS ENUM (
    'off',
    'trust',
    'validate'
);

CREATE DOMAIN control.hostname AS text
	CONSTRAINT "a host name has letters, digits, hyphens and dots" CHECK (((length(VALUE) <= 253) AND (VALUE ~ '^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$'::text)));

CREATE TYPE control.ip_preference AS ENUM (
    'ipv6 first',
    'ipv4 first',
    'ipv6 only',
    'ipv4 only'
);

CREATE DOMAIN control."limit" AS integer
	CONSTRAINT "a limit is 0 (none) or a positive number" CHECK ((VALUE >= 0));

CREATE TYPE control.list_mode AS ENUM (
    'only these',
    'all except these'
);

CREATE TYPE control.listener_mode AS ENUM (
    'standard',
    'submission',
    'lmtp'
);

CREATE TYPE control.mail_from_policy AS ENUM (
    'any',
    'own'
);

COMMENT ON TYPE control.mail_from_policy IS 'Which senders a user may give in MAIL FROM';

CREATE DOMAIN control.message_size AS bigint
	CONSTRAINT "a message size is from 1 kB to 150 MB (157286400)" CHECK (((VALUE >= 1024) AND (VALUE <= 157286400)));

CREATE TYPE control.newline_policy AS ENUM (
    'refuse',
    'normalise'
);

CREATE DOMAIN control.password AS text;

COMMENT ON DOMAIN control.password IS 'A new password: never shown. What is stored of it is its hash';

CREATE DOMAIN control.port AS integer
	CONSTRAINT "a port is a number from 1 to 65535" CHECK (((VALUE >= 1) AND (VALUE <= 65535)));

CREATE DOMAIN control.query AS text
	CONSTRAINT "a query has from 1 to 20000 characters" CHECK (((length(VALUE) <= 20000) AND (VALUE ~ '\S'::text)));

COMMENT ON DOMAIN control.query IS 'SQL that the pages run and show, under the role mailwright_report';

CREATE TYPE control.rbl_action AS ENUM (
    'reject',
    'tempfail',
    'mark',
    'score',
    'allow'
);

CREATE TYPE control.rbl_kind AS ENUM (
    'ip',
    'domain'
);

CREATE TYPE control.route_tls AS ENUM (
    'none',
    'opportunistic',
    'required',
    'verified',
    'implicit'
);

CREATE TYPE control.second_factor_rule AS ENUM (
    'none',
    'system',
    'everybody'
);

CREATE DOMAIN control.seconds AS integer
	CONSTRAINT "a time in seconds is from 1 to 86400 (one day)" CHECK (((VALUE >= 1) AND (VALUE <= 86400)));

CREATE DOMAIN control.secret AS text;

COMMENT ON DOMAIN control.secret IS 'A secret: never shown, not kept in the audit log';

CREATE TYPE control.tls_mode AS ENUM (
    'none',
    'starttls',
    'implicit'
);

CREATE TYPE control.traffic_direction AS ENUM (
    'incoming',
    'outgoing'
);

CREATE TYPE control.unresolvable_policy AS ENUM (
    'accept',
    'defer',
    'refuse'
);

COMMENT ON TYPE control.unresolvable_policy IS 'What is done with senders whose domain takes no mail';

CREATE TYPE directory.dns_need AS ENUM (
    'required',
    'recommended',
    'optional'
);

CREATE TYPE directory.dns_state AS ENUM (
    'ok',
    'missing',
    'differs',
    'unknown'
);

CREATE DOMAIN directory.local_part AS text
	CONSTRAINT "before the @ stand 1 to 64 bytes without spaces or ""(),:;<>@" CHECK (((VALUE <> ''::text) AND (octet_length(VALUE) <= 64) AND (VALUE !~ '[[:space:][:cntrl:]@<>"\\(),:;]'::text) AND (VALUE !~ '^\.|\.$|\.\.'::text)));

CREATE TYPE directory.passing_on AS ENUM (
    'same user in a local domain',
    'one address',
    'remote host'
);

CREATE DOMAIN directory.quota AS bigint
	CONSTRAINT "a quota is 0 (none) or more bytes" CHECK ((VALUE >= 0));

CREATE TYPE live.import_state AS ENUM (
    'checked',
    'importing',
    'done',
    'failed'
);

CREATE TYPE log.level AS ENUM (
    'trace',
    'debug',
    'info',
    'warn',
    'error'
);

CREATE DOMAIN log.span AS text
	CONSTRAINT "a span is minute, hour or day" CHECK ((VALUE = ANY (ARRAY['minute'::text, 'hour'::text, 'day'::text])));

COMMENT ON DOMAIN log.span IS 'How long what is counted together lasts: minute, hour or day';

CREATE TYPE log.step AS ENUM (
    'accepted',
    'refused',
    'placed',
    'missed',
    'queued',
    'reported',
    'held',
    'released',
    'retried',
    'cancelled'
);

CREATE TYPE queue.state AS ENUM (
    'waiting',
    'held',
    'delivered',
    'failed'
);

CREATE FUNCTION logic.queued_name(trace text, id bigint) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$ select coalesce(trace, 'queue-' || id) $$;

CREATE TABLE queue.message (
    id bigint NOT NULL,
    content_id bigint NOT NULL,
    prefix bytea,
    size bigint NOT NULL,
    sender text NOT NULL,
    account_id bigint,
    received_at timestamp with time zone DEFAULT now() NOT NULL,
    envelope_id text,
    return_full boolean,
    smtputf8 boolean DEFAULT false NOT NULL,
    body_type text DEFAULT '7BIT'::text NOT NULL,
    require_tls boolean DEFAULT false NOT NULL,
    priority smallint DEFAULT 0 NOT NULL,
    deliver_by timestamp with time zone,
    deliver_by_return boolean DEFAULT false NOT NULL,
    deliver_by_trace boolean DEFAULT false NOT NULL,
    trace text,
    CONSTRAINT "a body type is 7BIT, 8BITMIME or BINARYMIME" CHECK ((body_type = ANY (ARRAY['7BIT'::text, '8BITMIME'::text, 'BINARYMIME'::text]))),
    CONSTRAINT "a priority is from -9 to 9" CHECK (((priority >= '-9'::integer) AND (priority <= 9))),
    CONSTRAINT "a sender is empty or an address like someone@example.test" CHECK (((sender = ''::text) OR ((sender ~ '^[^[:cntrl:]]+@[^[:cntrl:][:space:]@<>]+$'::text) AND (octet_length(sender) <= 320)))),
    CONSTRAINT "an envelope id has at most 100 characters, no control ones" CHECK (((envelope_id !~ '[[:cntrl:]]'::text) AND (length(envelope_id) <= 100)))
);

COMMENT ON TABLE queue.message IS 'Messages for other servers; deleting one cancels its delivery';

COMMENT ON COLUMN queue.message.id IS 'Number of the row';

COMMENT ON COLUMN queue.message.content_id IS 'Its content in store.content';

COMMENT ON COLUMN queue.message.prefix IS 'Header lines that stand before the content';

COMMENT ON COLUMN queue.message.size IS 'Bytes, prefix included';

COMMENT ON COLUMN queue.message.sender IS 'Reverse path; empty = null sender';

COMMENT ON COLUMN queue.message.account_id IS 'The account that sent it';

COMMENT ON COLUMN queue.message.received_at IS 'When it was accepted';

COMMENT ON COLUMN queue.message.envelope_id IS 'ENVID (RFC 3461, 4.4)';

COMMENT ON COLUMN queue.message.return_full IS 'RET (RFC 3461, 4.3): true = FULL, false = HDRS';

COMMENT ON COLUMN queue.message.smtputf8 IS 'Whether the sender asked for SMTPUTF8 (RFC 6531)';

COMMENT ON COLUMN queue.message.body_type IS 'BODY as the sender declared it (RFC 6152, RFC 3030)';

COMMENT ON COLUMN queue.message.require_tls IS 'Whether it may travel only under verified TLS (RFC 8689)';

COMMENT ON COLUMN queue.message.priority IS 'MT-PRIORITY (RFC 6710): those of one destination with a higher one go first';

COMMENT ON COLUMN queue.message.deliver_by IS 'BY (RFC 2852): when it must have been delivered';

COMMENT ON COLUMN queue.message.deliver_by_return IS 'BY: whether it is returned after that time (R), or its sender told (N)';

COMMENT ON COLUMN queue.message.deliver_by_trace IS 'BY: whether the sender is told when it is relayed (T)';

COMMENT ON COLUMN queue.message.trace IS 'What log.trace calls the message';

CREATE TABLE queue.recipient (
    id bigint NOT NULL,
    message_id bigint NOT NULL,
    address text NOT NULL,
    domain text NOT NULL,
    state queue.state DEFAULT 'waiting'::queue.state NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    next_attempt_at timestamp with time zone DEFAULT now() NOT NULL,
    notify text[],
    original_recipient text,
    leased_by text,
    leased_until timestamp with time zone,
    last_attempt_at timestamp with time zone,
    last_reply text,
    delay_reported boolean DEFAULT false NOT NULL,
    CONSTRAINT "a recipient is an address like someone@example.test" CHECK (((address ~ '^[^[:cntrl:]]+@[^[:cntrl:][:space:]@<>]+$'::text) AND (octet_length(address) <= 320))),
    CONSTRAINT "an original recipient is like rfc822;someone@example.test" CHECK (((original_recipient ~ '^[^[:space:][:cntrl:];]+;[^[:space:][:cntrl:]]+$'::text) AND (octet_length(original_recipient) <= 4000))),
    CONSTRAINT "the domain is the part of the address after the @" CHECK ((lower(domain) = lower("substring"(address, '[^@]*$'::text))))
)
WITH (fillfactor='70', autovacuum_vacuum_scale_factor='0.0', autovacuum_vacuum_threshold='500', autovacuum_vacuum_cost_delay='0');

COMMENT ON TABLE queue.recipient IS 'One row for each recipient of a queued message';

COMMENT ON COLUMN queue.recipient.id IS 'Number of the row';

COMMENT ON COLUMN queue.recipient.message_id IS 'The message, a row of queue.message';

COMMENT ON COLUMN queue.recipient.address IS 'Forward path';

COMMENT ON COLUMN queue.recipient.domain IS 'Domain of the address, in lower case and ASCII';

COMMENT ON COLUMN queue.recipient.state IS 'waiting, held, delivered or failed';

COMMENT ON COLUMN queue.recipient.attempts IS 'Delivery attempts so far';

COMMENT ON COLUMN queue.recipient.next_attempt_at IS 'When delivery is tried next; setting now() retries at once';

COMMENT ON COLUMN queue.recipient.notify IS 'NOTIFY (RFC 3461, 4.1): {NEVER} or some of SUCCESS, FAILURE, DELAY; empty = not said';

COMMENT ON COLUMN queue.recipient.original_recipient IS 'ORCPT (RFC 3461, 4.2)';

COMMENT ON COLUMN queue.recipient.leased_by IS 'The node that is delivering it now';

COMMENT ON COLUMN queue.recipient.leased_until IS 'From then on another node may take it over';

COMMENT ON COLUMN queue.recipient.last_attempt_at IS 'When delivery was tried last';

COMMENT ON COLUMN queue.recipient.last_reply IS 'What was said about it then';

COMMENT ON COLUMN queue.recipient.delay_reported IS 'Whether the sender has been told that it is delayed';

CREATE VIEW admin.delivery WITH (security_invoker='true') AS
 SELECT r.id,
    r.address AS recipient,
    m.sender,
    r.state,
    r.attempts,
    r.next_attempt_at,
    r.last_reply,
    m.received_at,
    logic.queued_name(m.trace, m.id) AS message,
    m.size,
    r.domain,
    r.message_id
   FROM (queue.recipient r
     JOIN queue.message m ON ((m.id = r.message_id)));

COMMENT ON VIEW admin.delivery IS 'Running: Queued mail. Mail that waits to go out, one line for each recipient';

COMMENT ON COLUMN admin.delivery.id IS 'Number of the row';

COMMENT ON COLUMN admin.delivery.recipient IS 'Where it goes';

COMMENT ON COLUMN admin.delivery.sender IS 'Reverse path; empty = null sender';

COMMENT ON COLUMN admin.delivery.state IS 'waiting, held, delivered or failed';

COMMENT ON COLUMN admin.delivery.attempts IS 'Delivery attempts so far';

COMMENT ON COLUMN admin.delivery.next_attempt_at IS 'When delivery is tried next; setting now() retries at once';

COMMENT ON COLUMN admin.delivery.last_reply IS 'What was said about it then';

COMMENT ON COLUMN admin.delivery.received_at IS 'When it was accepted';

COMMENT ON COLUMN admin.delivery.message IS 'Its story: what the trace calls the message';

COMMENT ON COLUMN admin.delivery.size IS 'Bytes, prefix included';

COMMENT ON COLUMN admin.delivery.domain IS 'Domain of the address, in lower case and ASCII';

COMMENT ON COLUMN admin.delivery.message_id IS 'The message, a row of queue.message';

CREATE FUNCTION admin.cancel(d admin.delivery) RETURNS text
    LANGUAGE sql
    AS $$
  delete from queue.recipient where id = d.id returning 'it is cancelled'
$$;

COMMENT ON FUNCTION admin.cancel(d admin.delivery) IS 'Cancel!: the recipient never gets the message, and the sender is not told';

CREATE FUNCTION control.is_ip_address(address text) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    AS $_$
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
end $_$;

CREATE TABLE directory.account (
    id bigint NOT NULL,
    domain_id bigint NOT NULL,
    local_part directory.local_part NOT NULL,
    active boolean DEFAULT true NOT NULL,
    password_hash control.secret,
    scram control.secret,
    display_name text,
    quota_bytes directory.quota,
    max_message_bytes control.message_size,
    forbidden_services text[] DEFAULT '{}'::text[] NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    max_messages_per_hour control."limit",
    max_recipients_per_hour control."limit",
    sender_needs_login boolean,
    mail_from_policy control.mail_from_policy,
    max_priority smallint,
    forward_to text[] DEFAULT '{}'::text[] NOT NULL,
    forward_keep boolean DEFAULT true NOT NULL,
    public boolean DEFAULT false NOT NULL,
    max_messages bigint,
    max_mailboxes integer,
    manages_domain boolean DEFAULT false NOT NULL,
    CONSTRAINT "a priority is from -9 to 9" CHECK (((max_priority >= '-9'::integer) AND (max_priority <= 9))),
    CONSTRAINT "an account forwards to at most 100 addresses" CHECK (((cardinality(forward_to) <= 100) AND (array_position(forward_to, NULL::text) IS NULL))),
    CONSTRAINT "max_mailboxes is at least 10" CHECK ((max_mailboxes >= 10)),
    CONSTRAINT "max_messages is 0 (none) or more" CHECK ((max_messages >= 0)),
    CONSTRAINT "scram keys look like SCRAM-SHA-256$…" CHECK (((scram)::text ~~ 'SCRAM-SHA-256$%'::text)),
    CONSTRAINT "smtp, pop3, imap, webmail and rpc can be forbidden" CHECK ((forbidden_services <@ ARRAY['smtp'::text, 'pop3'::text, 'imap'::text, 'webmail'::text, 'rpc'::text]))
);

COMMENT ON TABLE directory.account IS 'People (or things) with a mailbox. domain_id and local_part are all that a new one needs';

COMMENT ON COLUMN directory.account.id IS 'Number of the row';

COMMENT ON COLUMN directory.account.domain_id IS 'The domain of the address';

COMMENT ON COLUMN directory.account.local_part IS 'The part before @, kept in lower case';

COMMENT ON COLUMN directory.account.active IS 'An inactive account receives nothing and cannot log in; its mail stays';

COMMENT ON COLUMN directory.account.password_hash IS 'Set it with: mailwright password ADDRESS. Argon2id; imported hashes and {PLAIN}secret are upgraded at the first login';

COMMENT ON COLUMN directory.account.scram IS 'Keys for SCRAM-SHA-256, made together with password_hash';

COMMENT ON COLUMN directory.account.display_name IS 'The person''s name';

COMMENT ON COLUMN directory.account.quota_bytes IS 'Bytes of mail this account may keep; 0 = no limit, empty = as its domain says';

COMMENT ON COLUMN directory.account.max_message_bytes IS 'Largest message this account may receive or send; empty = as its domain says';

COMMENT ON COLUMN directory.account.forbidden_services IS 'Services this account may not use, e.g. {pop3,imap}';

COMMENT ON COLUMN directory.account.created_at IS 'When the account was made';

COMMENT ON COLUMN directory.account.max_messages_per_hour IS 'Messages that this account may send in an hour; 0 = no limit, empty = as its domain says';

COMMENT ON COLUMN directory.account.max_recipients_per_hour IS 'Recipients that this account may send to in an hour; 0 = no limit, empty = as its domain says';

COMMENT ON COLUMN directory.account.sender_needs_login IS 'Whether this address may be given as sender only after a login, or by those who may relay; empty = as its domain says';

COMMENT ON COLUMN directory.account.mail_from_policy IS 'Senders this account may give: any, or own; empty = as in control.smtp';

COMMENT ON COLUMN directory.account.max_priority IS 'Highest priority this account may give a message; empty = as in control.smtp';

COMMENT ON COLUMN directory.account.forward_to IS 'Addresses that get the mail for this account, e.g. {someone@example.net}';

COMMENT ON COLUMN directory.account.forward_keep IS 'Whether forwarded mail is kept in the mailbox as well';

COMMENT ON COLUMN directory.account.public IS 'A public account is nobody''s: it receives mail, nobody can log in, and its mailboxes are shown below Shared/ to those whom store.acl gives rights';

COMMENT ON COLUMN directory.account.max_messages IS 'Messages this account may keep; 0 = no limit, empty = as its domain says';

COMMENT ON COLUMN directory.account.max_mailboxes IS 'Mailboxes this account may have; empty = as its domain says';

COMMENT ON COLUMN directory.account.manages_domain IS 'Domain administrator: manages the accounts, aliases and quotas of its domain, but not the domain''s own limits';

CREATE TABLE directory.domain (
    id bigint NOT NULL,
    name text NOT NULL,
    active boolean DEFAULT true NOT NULL,
    is_default boolean DEFAULT false NOT NULL,
    catch_all text,
    max_accounts control."limit" DEFAULT 0 NOT NULL,
    quota_bytes directory.quota,
    max_message_bytes control.message_size,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    helo_name control.hostname,
    source_ipv4 text,
    source_ipv6 text,
    max_messages_per_hour control."limit",
    max_recipients_per_hour control."limit",
    sender_needs_login boolean,
    forwarding_forbidden boolean DEFAULT false NOT NULL,
    max_messages bigint,
    max_mailboxes integer,
    users_may_forward boolean DEFAULT true NOT NULL,
    administrators_read_mail boolean DEFAULT false NOT NULL,
    CONSTRAINT "a catch-all is an address like someone@example.test" CHECK ((catch_all ~ '^[^@[:space:]]+@[^@[:space:]]+$'::text)),
    CONSTRAINT "a domain name has letters, digits, hyphens and dots" CHECK (((name)::control.hostname IS NOT NULL)),
    CONSTRAINT "max_mailboxes is at least 10" CHECK ((max_mailboxes >= 10)),
    CONSTRAINT "max_messages is 0 (none) or more" CHECK ((max_messages >= 0)),
    CONSTRAINT "source_ipv4 is one IPv4 address of this host" CHECK (((source_ipv4 !~ ':'::text) AND control.is_ip_address(source_ipv4))),
    CONSTRAINT "source_ipv6 is one IPv6 address of this host" CHECK (((source_ipv6 ~ ':'::text) AND control.is_ip_address(source_ipv6)))
);

COMMENT ON TABLE directory.domain IS 'Domains whose mail is kept here';

COMMENT ON COLUMN directory.domain.id IS 'Number of the row';

COMMENT ON COLUMN directory.domain.name IS 'Name in lower case; international names in their ASCII form (xn--…), which the command line makes for you';

COMMENT ON COLUMN directory.domain.active IS 'An inactive domain receives nothing and its users cannot log in; its mail stays';

COMMENT ON COLUMN directory.domain.is_default IS 'Users of the default domain may log in without @domain';

COMMENT ON COLUMN directory.domain.catch_all IS 'Address that gets the mail for names that do not exist in this domain; empty = refuse it';

COMMENT ON COLUMN directory.domain.max_accounts IS 'Accounts that this domain may have; 0 = no limit';

COMMENT ON COLUMN directory.domain.quota_bytes IS 'Quota of accounts that have none of their own; 0 = no limit, empty = as in control.directory';

COMMENT ON COLUMN directory.domain.max_message_bytes IS 'Largest message for an account of this domain; empty = as in control.smtp';

COMMENT ON COLUMN directory.domain.created_at IS 'When the domain was made';

COMMENT ON COLUMN directory.domain.helo_name IS 'The name given in EHLO when mail of this domain''s users is sent; empty = as control.relay says';

COMMENT ON COLUMN directory.domain.source_ipv4 IS 'IPv4 address of this host from which mail of this domain''s users is sent; empty = as control.relay says';

COMMENT ON COLUMN directory.domain.source_ipv6 IS 'IPv6 address of this host from which mail of this domain''s users is sent; empty = as control.relay says';

COMMENT ON COLUMN directory.domain.max_messages_per_hour IS 'Messages that each account of this domain may send in an hour; 0 = no limit, empty = as in control.smtp_limit';

COMMENT ON COLUMN directory.domain.max_recipients_per_hour IS 'Recipients that each account of this domain may send to in an hour; 0 = no limit, empty = as in control.smtp_limit';

COMMENT ON COLUMN directory.domain.sender_needs_login IS 'Whether addresses of this domain may be given as sender only by those who have logged in, or may relay; empty = as in control.smtp';

COMMENT ON COLUMN directory.domain.forwarding_forbidden IS 'Whether accounts and aliases of this domain may not forward to other servers. What they have set up is kept, and not used';

COMMENT ON COLUMN directory.domain.max_messages IS 'Messages that accounts may keep that say nothing themselves; 0 = no limit, empty = as in control.directory';

COMMENT ON COLUMN directory.domain.max_mailboxes IS 'Mailboxes that accounts may have that say nothing themselves; empty = as in control.imap';

COMMENT ON COLUMN directory.domain.users_may_forward IS 'Whether users of this domain may set up the forwarding of their own mail in the pages';

COMMENT ON COLUMN directory.domain.administrators_read_mail IS 'Whether domain administrators may look into the mailboxes of this domain''s users. System administrators may; each look leaves a row in log.audit';

CREATE VIEW admin.domain WITH (security_invoker='true') AS
 SELECT d.id,
    d.name,
    d.active,
    d.is_default,
    ( SELECT count(*) AS count
           FROM directory.account a
          WHERE (a.domain_id = d.id)) AS accounts,
    d.catch_all,
    d.max_accounts,
    d.quota_bytes,
    d.max_message_bytes,
    d.users_may_forward,
    d.administrators_read_mail,
    d.created_at
   FROM directory.domain d;

COMMENT ON VIEW admin.domain IS 'Mail: Domains. Domains whose mail is kept here';

COMMENT ON COLUMN admin.domain.id IS 'Number of the row';

COMMENT ON COLUMN admin.domain.name IS 'Name in lower case; international names in their ASCII form (xn--…), which the command line makes for you';

COMMENT ON COLUMN admin.domain.active IS 'An inactive domain receives nothing and its users cannot log in; its mail stays';

COMMENT ON COLUMN admin.domain.is_default IS 'Users of the default domain may log in without @domain';

COMMENT ON COLUMN admin.domain.accounts IS 'Accounts in this domain';

COMMENT ON COLUMN admin.domain.catch_all IS 'Address that gets the mail for names that do not exist in this domain; empty = refuse it';

COMMENT ON COLUMN admin.domain.max_accounts IS 'Accounts that this domain may have; 0 = no limit';

COMMENT ON COLUMN admin.domain.quota_bytes IS 'Quota of accounts that have none of their own; 0 = no limit, empty = as in control.directory';

COMMENT ON COLUMN admin.domain.max_message_bytes IS 'Largest message for an account of this domain; empty = as in control.smtp';

COMMENT ON COLUMN admin.domain.users_may_forward IS 'Whether users of this domain may set up the forwarding of their own mail in the pages';

COMMENT ON COLUMN admin.domain.administrators_read_mail IS 'Whether domain administrators may look into the mailboxes of this domain''s users. System administrators may; each look leaves a row in log.audit';

COMMENT ON COLUMN admin.domain.created_at IS 'When the domain was made';

CREATE FUNCTION admin.check_dns(d admin.domain) RETURNS text
    LANGUAGE sql
    AS $$ select logic.want_dns_check(d.id) $$;

COMMENT ON FUNCTION admin.check_dns(d admin.domain) IS 'Check DNS';

CREATE TABLE directory.dns_record (
    domain_id bigint NOT NULL,
    place integer NOT NULL,
    name text NOT NULL,
    type text NOT NULL,
    content text NOT NULL,
    need directory.dns_need NOT NULL,
    state directory.dns_state NOT NULL,
    found text,
    checked_at timestamp with time zone DEFAULT now() NOT NULL
);

COMMENT ON TABLE directory.dns_record IS 'The DNS records that each domain needs, and which of them are there; looked for every control.dns.check_hours';

COMMENT ON COLUMN directory.dns_record.domain_id IS 'The domain';

COMMENT ON COLUMN directory.dns_record.place IS 'Order among the records of the domain';

COMMENT ON COLUMN directory.dns_record.name IS 'Name of the record';

COMMENT ON COLUMN directory.dns_record.type IS 'Type of the record; A for A, AAAA or both';

COMMENT ON COLUMN directory.dns_record.content IS 'What should stand there';

COMMENT ON COLUMN directory.dns_record.need IS 'required: mail does not work without it; recommended: others may take mail for spam without it; optional';

COMMENT ON COLUMN directory.dns_record.state IS 'ok, missing, differs (there is another one, perhaps on purpose), unknown (the DNS did not answer)';

COMMENT ON COLUMN directory.dns_record.found IS 'What stands there instead, or why that is not known';

COMMENT ON COLUMN directory.dns_record.checked_at IS 'When the DNS was asked';

CREATE VIEW admin.dns_record WITH (security_invoker='true') AS
 SELECT r.domain_id,
    r.place,
    r.name,
    r.type,
    r.content,
    r.need,
    r.state,
    r.found,
    r.checked_at
   FROM (directory.dns_record r
     JOIN directory.domain d ON ((d.id = r.domain_id)));

COMMENT ON VIEW admin.dns_record IS 'Mail: DNS records. What the DNS should say of each domain here, and whether it does. Nothing is looked for while the server has no name (Settings: Server)';

COMMENT ON COLUMN admin.dns_record.domain_id IS 'The domain';

COMMENT ON COLUMN admin.dns_record.place IS 'Order among the records of the domain';

COMMENT ON COLUMN admin.dns_record.name IS 'Name of the record';

COMMENT ON COLUMN admin.dns_record.type IS 'Type of the record; A for A, AAAA or both';

COMMENT ON COLUMN admin.dns_record.content IS 'What should stand there';

COMMENT ON COLUMN admin.dns_record.need IS 'required: mail does not work without it; recommended: others may take mail for spam without it; optional';

COMMENT ON COLUMN admin.dns_record.state IS 'ok, missing, differs (there is another one, perhaps on purpose), unknown (the DNS did not answer)';

COMMENT ON COLUMN admin.dns_record.found IS 'What stands there instead, or why that is not known';

COMMENT ON COLUMN admin.dns_record.checked_at IS 'When the DNS was asked';

CREATE FUNCTION admin.check_records(r admin.dns_record) RETURNS text
    LANGUAGE sql
    AS $$ select logic.want_dns_check(r.domain_id) $$;

COMMENT ON FUNCTION admin.check_records(r admin.dns_record) IS 'Look again';

CREATE FUNCTION admin.delete_account() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
  delete from directory.account where id = old.id;
  return old;
end $$;

CREATE FUNCTION admin.delete_administrator() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
  delete from control.administrator where name = old.name;
  return old;
end $$;

CREATE FUNCTION admin.delete_certificate() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
  delete from control.certificate where id = old.id;
  return old;
end $$;

CREATE FUNCTION admin.delete_metrics_token() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
  delete from control.metrics_token where name = old.name;
  return old;
end $$;

CREATE TABLE control.service (
    name text NOT NULL,
    enabled boolean DEFAULT true NOT NULL,
    ip_list_id bigint,
    max_connections control."limit" DEFAULT 20000 NOT NULL,
    max_connections_per_peer control."limit" DEFAULT 500 NOT NULL,
    max_connections_per_account control."limit" DEFAULT 100 NOT NULL,
    CONSTRAINT "this is none of the ten services" CHECK ((name = ANY (ARRAY['smtp'::text, 'pop3'::text, 'imap'::text, 'rpc'::text, 'webmail'::text, 'rbl'::text, 'antispam'::text, 'antivirus'::text, 'list'::text, 'traffic'::text])))
);

COMMENT ON TABLE control.service IS 'The services; switching one off closes its listeners and sessions at once';

COMMENT ON COLUMN control.service.name IS 'Name of the service';

COMMENT ON COLUMN control.service.enabled IS 'Whether the service runs';

COMMENT ON COLUMN control.service.ip_list_id IS 'Connection control: the IP list that says who may connect; none = everybody';

COMMENT ON COLUMN control.service.max_connections IS 'Connections to this service at one time on one node; 0 = no limit';

COMMENT ON COLUMN control.service.max_connections_per_peer IS 'Connections at one time from one address (IPv6: from one /64) on one node; 0 = no limit';

COMMENT ON COLUMN control.service.max_connections_per_account IS 'Sessions of one account at one time on one node; 0 = no limit';

CREATE UNLOGGED TABLE live.service_status (
    node text NOT NULL,
    service text NOT NULL,
    state text NOT NULL,
    error text,
    since timestamp with time zone DEFAULT now() NOT NULL
);

COMMENT ON TABLE live.service_status IS 'How each service is on each node';

COMMENT ON COLUMN live.service_status.node IS 'The node';

COMMENT ON COLUMN live.service_status.service IS 'The service';

COMMENT ON COLUMN live.service_status.state IS 'running, stopping, stopped or failed';

COMMENT ON COLUMN live.service_status.error IS 'Why it does not run, or which of its listeners do not';

COMMENT ON COLUMN live.service_status.since IS 'Since when it is in this state';

CREATE UNLOGGED TABLE live.session (
    id bigint NOT NULL,
    node text NOT NULL,
    service text NOT NULL,
    listener_id bigint,
    peer inet NOT NULL,
    peer_port integer NOT NULL,
    tls text,
    account_id bigint,
    login text,
    state text NOT NULL,
    since timestamp with time zone DEFAULT now() NOT NULL,
    active_at timestamp with time zone DEFAULT now() NOT NULL,
    client text
);

COMMENT ON TABLE live.session IS 'Open sessions; deleting a row ends that session';

COMMENT ON COLUMN live.session.id IS 'Number of the session, as log.event and log.trace call it';

COMMENT ON COLUMN live.session.node IS 'The node that serves it';

COMMENT ON COLUMN live.session.service IS 'smtp, imap, pop3 …';

COMMENT ON COLUMN live.session.listener_id IS 'The listener it came in by';

COMMENT ON COLUMN live.session.peer IS 'Address of the client';

COMMENT ON COLUMN live.session.peer_port IS 'Port of the client';

COMMENT ON COLUMN live.session.tls IS 'TLS version and cipher; empty = not encrypted';

COMMENT ON COLUMN live.session.account_id IS 'Who has logged in';

COMMENT ON COLUMN live.session.login IS 'Address of that account';

COMMENT ON COLUMN live.session.state IS 'What it is doing';

COMMENT ON COLUMN live.session.since IS 'When it began';

COMMENT ON COLUMN live.session.active_at IS 'Last command';

COMMENT ON COLUMN live.session.client IS 'What the client says it is: name and version of IMAP''s command ID';

CREATE VIEW admin.service WITH (security_invoker='true') AS
 SELECT s.name,
    s.enabled,
    ( SELECT string_agg((((t.node || ': '::text) || t.state) || COALESCE(((' ('::text || t.error) || ')'::text), ''::text)), '; '::text ORDER BY t.node) AS string_agg
           FROM live.service_status t
          WHERE (t.service = s.name)) AS state,
    ( SELECT count(*) AS count
           FROM live.session l
          WHERE (l.service = s.name)) AS sessions,
    s.ip_list_id,
    s.max_connections,
    s.max_connections_per_peer,
    s.max_connections_per_account
   FROM control.service s;

COMMENT ON VIEW admin.service IS 'Running: Connection control. Switching one off closes its listeners and sessions at once, on every node';

COMMENT ON COLUMN admin.service.name IS 'Name of the service';

COMMENT ON COLUMN admin.service.enabled IS 'Whether the service runs';

COMMENT ON COLUMN admin.service.state IS 'How it is on each node';

COMMENT ON COLUMN admin.service.sessions IS 'Sessions that are open now';

COMMENT ON COLUMN admin.service.ip_list_id IS 'Connection control: the IP list that says who may connect; none = everybody';

COMMENT ON COLUMN admin.service.max_connections IS 'Connections to this service at one time on one node; 0 = no limit';

COMMENT ON COLUMN admin.service.max_connections_per_peer IS 'Connections at one time from one address (IPv6: from one /64) on one node; 0 = no limit';

COMMENT ON COLUMN admin.service.max_connections_per_account IS 'Sessions of one account at one time on one node; 0 = no limit';

CREATE FUNCTION admin.end_sessions(s admin.service) RETURNS text
    LANGUAGE plpgsql
    AS $$
declare ended bigint;
begin
  delete from live.session where service = s.name;
  get diagnostics ended = row_count;
  return format('%s sessions of %s end', ended, s.name);
end $$;

COMMENT ON FUNCTION admin.end_sessions(s admin.service) IS 'End all sessions!: sends away everybody who is connected to this service; they may come back';

CREATE FUNCTION admin.hold(d admin.delivery) RETURNS text
    LANGUAGE sql
    AS $$
  update queue.recipient set state = 'held' where id = d.id returning 'it is held'
$$;

COMMENT ON FUNCTION admin.hold(d admin.delivery) IS 'Hold';

CREATE UNLOGGED TABLE live.web_session (
    id bigint NOT NULL,
    token_hash bytea NOT NULL,
    kind text NOT NULL,
    login text NOT NULL,
    account_id bigint,
    peer inet NOT NULL,
    browser text,
    since timestamp with time zone DEFAULT now() NOT NULL,
    seen_at timestamp with time zone DEFAULT now() NOT NULL,
    awaits_code boolean DEFAULT false NOT NULL,
    offered_secret control.secret,
    CONSTRAINT web_session_kind_check CHECK ((kind = ANY (ARRAY['system'::text, 'auditor'::text, 'domain'::text, 'user'::text]))),
    CONSTRAINT web_session_token_hash_check CHECK ((octet_length(token_hash) = 32))
);

COMMENT ON TABLE live.web_session IS 'Logins in the browser; deleting a row ends that login';

COMMENT ON COLUMN live.web_session.id IS 'Number of the row';

COMMENT ON COLUMN live.web_session.token_hash IS 'SHA-256 of what the cookie says';

COMMENT ON COLUMN live.web_session.kind IS 'system, auditor, domain: a domain administrator, or user: an ordinary account';

COMMENT ON COLUMN live.web_session.login IS 'Who: the administrator''s name, or the address of the account';

COMMENT ON COLUMN live.web_session.account_id IS 'The account of a domain administrator or user';

COMMENT ON COLUMN live.web_session.peer IS 'Address of the browser at the login';

COMMENT ON COLUMN live.web_session.browser IS 'What the browser says it is';

COMMENT ON COLUMN live.web_session.since IS 'When the login was';

COMMENT ON COLUMN live.web_session.seen_at IS 'Last page';

COMMENT ON COLUMN live.web_session.awaits_code IS 'The password was right and the code is still to come: until then this login opens nothing';

COMMENT ON COLUMN live.web_session.offered_secret IS 'A second factor that is being set up, until its first code has come';

CREATE VIEW admin.login WITH (security_invoker='true') AS
 SELECT web_session.id,
    web_session.login,
    web_session.kind,
    host(web_session.peer) AS peer,
    web_session.browser,
    web_session.since,
    web_session.seen_at,
    web_session.awaits_code
   FROM live.web_session;

COMMENT ON VIEW admin.login IS 'Running: Logins. Who has logged in to these pages';

COMMENT ON COLUMN admin.login.id IS 'Number of the row';

COMMENT ON COLUMN admin.login.login IS 'Who: the administrator''s name, or the address of the account';

COMMENT ON COLUMN admin.login.kind IS 'system, auditor, domain: a domain administrator, or user: an ordinary account';

COMMENT ON COLUMN admin.login.peer IS 'Address of the browser at the login';

COMMENT ON COLUMN admin.login.browser IS 'What the browser says it is';

COMMENT ON COLUMN admin.login.since IS 'When the login was';

COMMENT ON COLUMN admin.login.seen_at IS 'Last page';

COMMENT ON COLUMN admin.login.awaits_code IS 'The password was right and the code is still to come: until then this login opens nothing';

CREATE FUNCTION admin.log_out(l admin.login) RETURNS text
    LANGUAGE sql
    AS $$
  delete from live.web_session where id = l.id returning l.login || ' has to log in again'
$$;

COMMENT ON FUNCTION admin.log_out(l admin.login) IS 'Log out!: ends this login';

CREATE FUNCTION admin.release(d admin.delivery) RETURNS text
    LANGUAGE plpgsql
    AS $$
begin
  update queue.recipient set state = 'waiting', next_attempt_at = now() where id = d.id and state = 'held';
  return case when found then 'it is released, and tried now' when d.state <> 'held' then 'it is not held' end;
end $$;

COMMENT ON FUNCTION admin.release(d admin.delivery) IS 'Release';

CREATE TABLE control.acme_certificate (
    id bigint NOT NULL,
    names text[] NOT NULL,
    active boolean DEFAULT true NOT NULL,
    keep_key boolean DEFAULT false NOT NULL,
    renew_at timestamp with time zone,
    certificate_id bigint,
    failures integer DEFAULT 0 NOT NULL,
    last_error text,
    last_attempt_at timestamp with time zone,
    next_attempt_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT "a certificate has from 1 to 100 names" CHECK (((cardinality(names) >= 1) AND (cardinality(names) <= 100)))
);

COMMENT ON TABLE control.acme_certificate IS 'Certificates to have from the authority, one a row: insert into control.acme_certificate (names) values (''{mail.example.test,imap.example.test}'')';

COMMENT ON COLUMN control.acme_certificate.id IS 'Number of the row';

COMMENT ON COLUMN control.acme_certificate.names IS 'Host names in it; all of them must lead here';

COMMENT ON COLUMN control.acme_certificate.active IS 'Whether it is ordered and renewed';

COMMENT ON COLUMN control.acme_certificate.keep_key IS 'Whether renewal keeps the private key, so that TLSA records of the form 3 1 1 (DANE) stay right';

COMMENT ON COLUMN control.acme_certificate.renew_at IS 'Renew it no later than this, once; now() = at once';

COMMENT ON COLUMN control.acme_certificate.certificate_id IS 'The certificate itself, once it is there; renewal replaces its chain and key';

COMMENT ON COLUMN control.acme_certificate.failures IS 'Attempts that failed since the last one that did not';

COMMENT ON COLUMN control.acme_certificate.last_error IS 'Why the last attempt failed';

COMMENT ON COLUMN control.acme_certificate.last_attempt_at IS 'When an order last ended, well or not';

COMMENT ON COLUMN control.acme_certificate.next_attempt_at IS 'Not tried again before; set it to null to try at once';

COMMENT ON COLUMN control.acme_certificate.created_at IS 'When the row was made';

CREATE VIEW admin.acme_certificate WITH (security_invoker='true') AS
 SELECT acme_certificate.id,
    acme_certificate.names,
    acme_certificate.active,
    acme_certificate.keep_key,
    acme_certificate.renew_at,
    acme_certificate.certificate_id,
    acme_certificate.failures,
    acme_certificate.last_error,
    acme_certificate.last_attempt_at,
    acme_certificate.next_attempt_at,
    acme_certificate.created_at
   FROM control.acme_certificate;

COMMENT ON VIEW admin.acme_certificate IS 'Server: ACME certificate. Certificates to have from the authority, one a row: insert into control.acme_certificate (names) values (''{mail.example.test,imap.example.test}'')';

COMMENT ON COLUMN admin.acme_certificate.id IS 'Number of the row';

COMMENT ON COLUMN admin.acme_certificate.names IS 'Host names in it; all of them must lead here';

COMMENT ON COLUMN admin.acme_certificate.active IS 'Whether it is ordered and renewed';

COMMENT ON COLUMN admin.acme_certificate.keep_key IS 'Whether renewal keeps the private key, so that TLSA records of the form 3 1 1 (DANE) stay right';

COMMENT ON COLUMN admin.acme_certificate.renew_at IS 'Renew it no later than this, once; now() = at once';

COMMENT ON COLUMN admin.acme_certificate.certificate_id IS 'The certificate itself, once it is there; renewal replaces its chain and key';

COMMENT ON COLUMN admin.acme_certificate.failures IS 'Attempts that failed since the last one that did not';

COMMENT ON COLUMN admin.acme_certificate.last_error IS 'Why the last attempt failed';

COMMENT ON COLUMN admin.acme_certificate.last_attempt_at IS 'When an order last ended, well or not';

COMMENT ON COLUMN admin.acme_certificate.next_attempt_at IS 'Not tried again before; set it to null to try at once';

COMMENT ON COLUMN admin.acme_certificate.created_at IS 'When the row was made';

CREATE FUNCTION admin.renew(c admin.acme_certificate) RETURNS text
    LANGUAGE sql
    AS $$
  update control.acme_certificate set renew_at = now(), next_attempt_at = null where id = c.id returning logic.says_order()
$$;

COMMENT ON FUNCTION admin.renew(c admin.acme_certificate) IS 'Renew now';

CREATE TABLE control.certificate (
    id bigint NOT NULL,
    names text[] DEFAULT '{}'::text[] NOT NULL,
    chain text NOT NULL,
    key control.secret NOT NULL,
    source text DEFAULT 'uploaded'::text NOT NULL,
    active boolean DEFAULT true NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    own_names text[],
    not_before timestamp with time zone,
    not_after timestamp with time zone,
    error text,
    CONSTRAINT "a certificate chain is PEM text" CHECK ((chain ~~ '%-----BEGIN CERTIFICATE-----%'::text)),
    CONSTRAINT "a certificate is uploaded, self-signed or acme" CHECK ((source = ANY (ARRAY['uploaded'::text, 'self-signed'::text, 'acme'::text]))),
    CONSTRAINT "a private key is PEM text" CHECK (((key)::text ~~ '%PRIVATE KEY-----%'::text))
);

COMMENT ON TABLE control.certificate IS 'TLS certificates, chosen by the name that the client asks for (SNI)';

COMMENT ON COLUMN control.certificate.id IS 'Number of the row';

COMMENT ON COLUMN control.certificate.names IS 'Host names it serves, *.example.test included; empty = the names inside the certificate';

COMMENT ON COLUMN control.certificate.chain IS 'Certificate and intermediates, PEM, the server''s own first';

COMMENT ON COLUMN control.certificate.key IS 'Private key, PEM';

COMMENT ON COLUMN control.certificate.source IS 'Where it came from: uploaded, self-signed, acme';

COMMENT ON COLUMN control.certificate.active IS 'Whether it is used. Without a matching name the active uploaded or ACME one with the lowest id is served, else the self-signed one';

COMMENT ON COLUMN control.certificate.created_at IS 'When the row was made';

COMMENT ON COLUMN control.certificate.own_names IS 'Host names inside the certificate; the server reads them';

COMMENT ON COLUMN control.certificate.not_before IS 'Beginning of its validity; the server reads it';

COMMENT ON COLUMN control.certificate.not_after IS 'End of its validity; the server reads it';

COMMENT ON COLUMN control.certificate.error IS 'Why it can''t be served; the server says so';

CREATE VIEW admin.certificate WITH (security_invoker='true') AS
 SELECT certificate.id,
    certificate.names,
    certificate.source,
    certificate.active,
    certificate.own_names,
    certificate.not_after,
    certificate.error,
    certificate.chain,
    (NULL::text)::control.secret AS key,
    certificate.created_at
   FROM control.certificate;

COMMENT ON VIEW admin.certificate IS 'Server: Certificates. TLS certificates, chosen by the name that the client asks for';

COMMENT ON COLUMN admin.certificate.id IS 'Number of the row';

COMMENT ON COLUMN admin.certificate.names IS 'Host names it serves, *.example.test included; empty = the names inside the certificate';

COMMENT ON COLUMN admin.certificate.source IS 'Where it came from: uploaded, self-signed, acme';

COMMENT ON COLUMN admin.certificate.active IS 'Whether it is used. Without a matching name the active uploaded or ACME one with the lowest id is served, else the self-signed one';

COMMENT ON COLUMN admin.certificate.own_names IS 'Host names inside the certificate; the server reads them';

COMMENT ON COLUMN admin.certificate.not_after IS 'End of its validity; the server reads it';

COMMENT ON COLUMN admin.certificate.error IS 'Why it can''t be served; the server says so';

COMMENT ON COLUMN admin.certificate.chain IS 'Certificate and intermediates, PEM, the server''s own first';

COMMENT ON COLUMN admin.certificate.key IS 'Private key, PEM; it is never shown. Left empty, the old one stays';

COMMENT ON COLUMN admin.certificate.created_at IS 'When the row was made';

CREATE FUNCTION admin.renew(c admin.certificate) RETURNS text
    LANGUAGE plpgsql
    AS $$
begin
  update control.acme_certificate set renew_at = now() where certificate_id = c.id;
  return case when found then logic.says_order() else 'it comes from no authority by itself: upload the new one' end;
end $$;

COMMENT ON FUNCTION admin.renew(c admin.certificate) IS 'Renew now';

CREATE FUNCTION logic.used_bytes(account bigint) RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    AS $$
  select bytes from store.usage where account_id = account
$$;

CREATE TABLE directory.second_factor (
    id bigint NOT NULL,
    administrator text,
    account_id bigint,
    secret control.secret NOT NULL,
    last_step bigint DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT "a second factor belongs to an administrator or to an account" CHECK ((num_nonnulls(administrator, account_id) = 1)),
    CONSTRAINT "the secret is 20 bytes in base32" CHECK (((secret)::text ~ '^[A-Z2-7]{32}$'::text))
);

COMMENT ON TABLE directory.second_factor IS 'Second factors of logins in the browser: time-based codes (RFC 6238; SHA-1, 6 digits, 30 seconds). Deleting a row lets its owner in with the password alone';

COMMENT ON COLUMN directory.second_factor.id IS 'Number';

COMMENT ON COLUMN directory.second_factor.administrator IS 'The administrator whose it is';

COMMENT ON COLUMN directory.second_factor.account_id IS 'Or the account whose it is';

COMMENT ON COLUMN directory.second_factor.secret IS 'The secret that the app shares, in base32';

COMMENT ON COLUMN directory.second_factor.last_step IS 'The step of 30 seconds whose code was taken last: no code is taken twice, and none that is older';

COMMENT ON COLUMN directory.second_factor.created_at IS 'Since when it is asked for';

CREATE VIEW admin.account WITH (security_invoker='true') AS
 SELECT account.id,
    account.domain_id,
    account.local_part,
    account.display_name,
    account.active,
    (NULL::text)::control.password AS password,
    account.forward_to,
    account.forward_keep,
    logic.used_bytes(account.id) AS used_bytes,
    account.quota_bytes,
    account.max_messages,
    account.max_message_bytes,
    account.forbidden_services,
    account.mail_from_policy,
    account.sender_needs_login,
    account.manages_domain,
    (EXISTS ( SELECT 1
           FROM directory.second_factor f
          WHERE (f.account_id = account.id))) AS second_factor,
    account.created_at
   FROM directory.account;

COMMENT ON VIEW admin.account IS 'Mail: Users. People (or things) with a mailbox';

COMMENT ON COLUMN admin.account.id IS 'Number of the row';

COMMENT ON COLUMN admin.account.domain_id IS 'The domain of the address';

COMMENT ON COLUMN admin.account.local_part IS 'The part before @, kept in lower case';

COMMENT ON COLUMN admin.account.display_name IS 'The person''s name';

COMMENT ON COLUMN admin.account.active IS 'An inactive account receives nothing and cannot log in; its mail stays';

COMMENT ON COLUMN admin.account.password IS 'A new password; left empty, the old one stays';

COMMENT ON COLUMN admin.account.forward_to IS 'Addresses that get the mail for this account, e.g. {someone@example.net}';

COMMENT ON COLUMN admin.account.forward_keep IS 'Whether forwarded mail is kept in the mailbox as well';

COMMENT ON COLUMN admin.account.used_bytes IS 'Bytes of mail that the account keeps';

COMMENT ON COLUMN admin.account.quota_bytes IS 'Bytes of mail this account may keep; 0 = no limit, empty = as its domain says';

COMMENT ON COLUMN admin.account.max_messages IS 'Messages this account may keep; 0 = no limit, empty = as its domain says';

COMMENT ON COLUMN admin.account.max_message_bytes IS 'Largest message this account may receive or send; empty = as its domain says';

COMMENT ON COLUMN admin.account.forbidden_services IS 'Services this account may not use, e.g. {pop3,imap}';

COMMENT ON COLUMN admin.account.mail_from_policy IS 'Senders this account may give: any, or own; empty = as in control.smtp';

COMMENT ON COLUMN admin.account.sender_needs_login IS 'Whether this address may be given as sender only after a login, or by those who may relay; empty = as its domain says';

COMMENT ON COLUMN admin.account.manages_domain IS 'Domain administrator: manages the accounts, aliases and quotas of its domain, but not the domain''s own limits';

COMMENT ON COLUMN admin.account.second_factor IS 'Whether a login to these pages needs a code besides the password';

COMMENT ON COLUMN admin.account.created_at IS 'When the account was made';

CREATE FUNCTION admin.reset_second_factor(a admin.account) RETURNS text
    LANGUAGE sql
    AS $$
  delete from directory.second_factor where account_id = a.id returning a.local_part || ' logs in with the password alone'
$$;

COMMENT ON FUNCTION admin.reset_second_factor(a admin.account) IS 'Reset second factor!: logs in with the password alone, until a new one is set up';

CREATE TABLE control.administrator (
    name text NOT NULL,
    password_hash control.secret,
    active boolean DEFAULT true NOT NULL,
    role control.administrator_role DEFAULT 'system'::control.administrator_role NOT NULL,
    must_change_password boolean DEFAULT false NOT NULL,
    CONSTRAINT "an administrator has a name without @" CHECK ((name ~ '^[a-z0-9._-]{1,64}$'::text))
);

COMMENT ON TABLE control.administrator IS 'Administrators of the whole server; they have no address and no mailbox';

COMMENT ON COLUMN control.administrator.name IS 'Login name; system is made at the first start';

COMMENT ON COLUMN control.administrator.password_hash IS 'Set it with: mailwright password NAME';

COMMENT ON COLUMN control.administrator.active IS 'Whether this administrator may log in';

COMMENT ON COLUMN control.administrator.role IS 'system: may change everything; auditor: sees everything and changes nothing';

COMMENT ON COLUMN control.administrator.must_change_password IS 'The next login leads to a new password before anything else';

CREATE VIEW admin.administrator WITH (security_invoker='true') AS
 SELECT administrator.name,
    administrator.role,
    administrator.active,
    (NULL::text)::control.password AS password,
    administrator.must_change_password,
    (EXISTS ( SELECT 1
           FROM directory.second_factor f
          WHERE (f.administrator = administrator.name))) AS second_factor
   FROM control.administrator;

COMMENT ON VIEW admin.administrator IS 'Server: Administrators. They manage the whole server, and have no address and no mailbox';

COMMENT ON COLUMN admin.administrator.name IS 'Login name; system is made at the first start';

COMMENT ON COLUMN admin.administrator.role IS 'system: may change everything; auditor: sees everything and changes nothing';

COMMENT ON COLUMN admin.administrator.active IS 'Whether this administrator may log in';

COMMENT ON COLUMN admin.administrator.password IS 'A new password; left empty, the old one stays';

COMMENT ON COLUMN admin.administrator.must_change_password IS 'The next login leads to a new password before anything else';

COMMENT ON COLUMN admin.administrator.second_factor IS 'Whether a login needs a code besides the password';

CREATE FUNCTION admin.reset_second_factor(a admin.administrator) RETURNS text
    LANGUAGE sql
    AS $$
  delete from directory.second_factor where administrator = a.name returning a.name || ' logs in with the password alone'
$$;

COMMENT ON FUNCTION admin.reset_second_factor(a admin.administrator) IS 'Reset second factor!: logs in with the password alone, until a new one is set up';

CREATE FUNCTION admin.retry(d admin.delivery) RETURNS text
    LANGUAGE plpgsql
    AS $$
begin
  update queue.recipient set state = 'waiting', next_attempt_at = now() where id = d.id and state in ('waiting', 'failed');
  return case when found then 'it is tried now' when d.state = 'held' then 'it is held and stays so: to send it, release it' end;
end $$;

COMMENT ON FUNCTION admin.retry(d admin.delivery) IS 'Retry now';

CREATE FUNCTION admin.start(s admin.service) RETURNS text
    LANGUAGE sql
    AS $$
  update control.service set enabled = true where name = s.name returning s.name || ' starts'
$$;

COMMENT ON FUNCTION admin.start(s admin.service) IS 'Start';

CREATE FUNCTION admin.stop(s admin.service) RETURNS text
    LANGUAGE plpgsql
    AS $$
begin
  if s.name = 'webmail' then
    raise exception 'stopping webmail would cut off this page: do it with SQL or on the command line' using errcode = 'check_violation';
  end if;
  update control.service set enabled = false where name = s.name;
  return s.name || ' stops: its listeners close, its sessions end';
end $$;

COMMENT ON FUNCTION admin.stop(s admin.service) IS 'Stop!: ends all sessions of this service';

CREATE VIEW admin.session WITH (security_invoker='true') AS
 SELECT session.id,
    session.service,
    session.login,
    host(session.peer) AS peer,
    session.tls,
    session.state,
    session.since,
    session.active_at,
    session.node
   FROM live.session;

COMMENT ON VIEW admin.session IS 'Running: Sessions. Who is connected now, and what he is doing';

COMMENT ON COLUMN admin.session.id IS 'Number of the session';

COMMENT ON COLUMN admin.session.service IS 'smtp, imap, pop3 …';

COMMENT ON COLUMN admin.session.login IS 'Address of that account';

COMMENT ON COLUMN admin.session.peer IS 'Address of the client';

COMMENT ON COLUMN admin.session.tls IS 'TLS version and cipher; empty = not encrypted';

COMMENT ON COLUMN admin.session.state IS 'What it is doing';

COMMENT ON COLUMN admin.session.since IS 'When it began';

COMMENT ON COLUMN admin.session.active_at IS 'Last command';

COMMENT ON COLUMN admin.session.node IS 'The node that serves it';

CREATE FUNCTION admin.terminate(s admin.session) RETURNS text
    LANGUAGE sql
    AS $$
  delete from live.session where id = s.id returning 'the session ends'
$$;

COMMENT ON FUNCTION admin.terminate(s admin.session) IS 'Terminate!: the client is sent away';

CREATE TABLE log.audit (
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    actor text NOT NULL,
    peer text,
    path text,
    table_name text NOT NULL,
    action text NOT NULL,
    key jsonb NOT NULL,
    old jsonb,
    new jsonb,
    undoes bigint,
    CONSTRAINT audit_action_check CHECK ((action = ANY (ARRAY['insert'::text, 'update'::text, 'delete'::text, 'view'::text])))
);

COMMENT ON TABLE log.audit IS 'Every change of settings and directory, and every look into a mailbox: who, from where, what; control.undo(id) takes a change back';

COMMENT ON COLUMN log.audit.id IS 'Number of the row';

COMMENT ON COLUMN log.audit.at IS 'When';

COMMENT ON COLUMN log.audit.actor IS 'Who: the administrator, or the database user';

COMMENT ON COLUMN log.audit.peer IS 'From which address; empty = on this host';

COMMENT ON COLUMN log.audit.path IS 'By what: the name of the program (application_name)';

COMMENT ON COLUMN log.audit.table_name IS 'Schema and table';

COMMENT ON COLUMN log.audit.action IS 'insert, update or delete; view: an administrator looked into a mailbox';

COMMENT ON COLUMN log.audit.key IS 'Primary key of the row';

COMMENT ON COLUMN log.audit.old IS 'The row before; secrets are hidden';

COMMENT ON COLUMN log.audit.new IS 'The row after; secrets are hidden';

COMMENT ON COLUMN log.audit.undoes IS 'The change that this one took back';

CREATE VIEW admin.change WITH (security_invoker='true') AS
 SELECT audit.id,
    audit.at,
    audit.actor,
    audit.peer,
    audit.path,
    audit.table_name,
    audit.action,
    (audit.key)::text AS key,
    audit.old,
    audit.new,
    audit.undoes
   FROM log.audit;

COMMENT ON VIEW admin.change IS 'Running: Changes. Every change of settings and directory: who, from where, what; each can be taken back';

COMMENT ON COLUMN admin.change.id IS 'Number of the row';

COMMENT ON COLUMN admin.change.at IS 'When';

COMMENT ON COLUMN admin.change.actor IS 'Who: the administrator, or the database user';

COMMENT ON COLUMN admin.change.peer IS 'From which address; empty = on this host';

COMMENT ON COLUMN admin.change.path IS 'By what: the name of the program (application_name)';

COMMENT ON COLUMN admin.change.table_name IS 'Schema and table';

COMMENT ON COLUMN admin.change.action IS 'insert, update or delete; view: an administrator looked into a mailbox';

COMMENT ON COLUMN admin.change.key IS 'Primary key of the row';

COMMENT ON COLUMN admin.change.old IS 'The row before; secrets are hidden';

COMMENT ON COLUMN admin.change.new IS 'The row after; secrets are hidden';

COMMENT ON COLUMN admin.change.undoes IS 'The change that this one took back';

CREATE FUNCTION admin.undo(c admin.change) RETURNS text
    LANGUAGE plpgsql
    AS $$
begin
  return format('change %s is taken back by change %s', c.id, case logic.web_kind() when 'domain' then logic.undo_own(c.id) else logic.undo_any(c.id) end);
end $$;

COMMENT ON FUNCTION admin.undo(c admin.change) IS 'Undo';

CREATE UNLOGGED TABLE live.login_failure (
    key text NOT NULL,
    failures integer NOT NULL,
    last_at timestamp with time zone DEFAULT now() NOT NULL,
    locked_until timestamp with time zone
);

COMMENT ON TABLE live.login_failure IS 'Wrong passwords by account name and by peer; deleting a row unlocks it';

COMMENT ON COLUMN live.login_failure.key IS 'account:NAME or peer:ADDRESS';

COMMENT ON COLUMN live.login_failure.failures IS 'Wrong passwords in a row';

COMMENT ON COLUMN live.login_failure.last_at IS 'When the last one was';

COMMENT ON COLUMN live.login_failure.locked_until IS 'No login until then';

CREATE VIEW admin.lock WITH (security_invoker='true') AS
 SELECT login_failure.key,
    login_failure.failures,
    login_failure.last_at,
    login_failure.locked_until
   FROM live.login_failure;

COMMENT ON VIEW admin.lock IS 'Running: Locks. Wrong passwords by name and by address, and what is locked because of them';

COMMENT ON COLUMN admin.lock.key IS 'account:NAME or peer:ADDRESS';

COMMENT ON COLUMN admin.lock.failures IS 'Wrong passwords in a row';

COMMENT ON COLUMN admin.lock.last_at IS 'When the last one was';

COMMENT ON COLUMN admin.lock.locked_until IS 'No login until then';

CREATE FUNCTION admin.unlock(l admin.lock) RETURNS text
    LANGUAGE sql
    AS $$
  delete from live.login_failure where key = l.key returning l.key || ' is unlocked'
$$;

COMMENT ON FUNCTION admin.unlock(l admin.lock) IS 'Unlock';

CREATE FUNCTION admin.write_account() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
declare
  stored jsonb := nullif(new.password, '')::jsonb;
begin
  if tg_op = 'INSERT' then
    insert into directory.account (domain_id, local_part, display_name, active, password_hash, scram, forward_to, forward_keep, quota_bytes,
      max_messages, max_message_bytes, forbidden_services, mail_from_policy, sender_needs_login, manages_domain)
    values (new.domain_id, new.local_part, new.display_name, coalesce(new.active, true), stored ->> 'hash', stored ->> 'scram',
      coalesce(new.forward_to, '{}'), coalesce(new.forward_keep, true), new.quota_bytes, new.max_messages, new.max_message_bytes,
      coalesce(new.forbidden_services, '{}'), new.mail_from_policy, new.sender_needs_login, coalesce(new.manages_domain, false))
    returning id into new.id;
  else
    update directory.account set domain_id = new.domain_id, local_part = new.local_part, display_name = new.display_name, active = new.active,
      forward_to = new.forward_to, forward_keep = new.forward_keep, quota_bytes = new.quota_bytes, max_messages = new.max_messages,
      max_message_bytes = new.max_message_bytes, forbidden_services = new.forbidden_services, mail_from_policy = new.mail_from_policy,
      sender_needs_login = new.sender_needs_login, manages_domain = new.manages_domain
    where id = old.id;
    if stored is not null then
      update directory.account set password_hash = stored ->> 'hash', scram = stored ->> 'scram' where id = old.id;
    end if;
  end if;
  return new;
end $$;

CREATE FUNCTION admin.write_administrator() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
declare
  stored jsonb := nullif(new.password, '')::jsonb;
begin
  if tg_op = 'INSERT' then
    insert into control.administrator (name, role, active, password_hash, must_change_password)
    values (new.name, coalesce(new.role, 'system'), coalesce(new.active, true), stored ->> 'hash', coalesce(new.must_change_password, false));
  else
    update control.administrator set name = new.name, role = new.role, active = new.active, must_change_password = new.must_change_password
    where name = old.name;
    if stored is not null then
      update control.administrator set password_hash = stored ->> 'hash' where name = new.name;
    end if;
  end if;
  return new;
end $$;

CREATE FUNCTION admin.write_certificate() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
  if tg_op = 'INSERT' then
    insert into control.certificate (names, chain, key, source, active)
    values (coalesce(new.names, '{}'), new.chain, new.key, coalesce(new.source, 'uploaded'), coalesce(new.active, true)) returning id into new.id;
  else
    update control.certificate set names = new.names, chain = new.chain, source = new.source, active = new.active where id = old.id;
    if new.key <> '' then
      update control.certificate set key = new.key where id = old.id;
    end if;
  end if;
  return new;
end $$;

CREATE FUNCTION admin.write_metrics_token() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
  if tg_op = 'INSERT' then
    insert into control.metrics_token (name, token) values (new.name, nullif(new.token, ''));
  else
    update control.metrics_token set name = new.name where name = old.name;
    if new.token <> '' then
      update control.metrics_token set token = new.token where name = new.name;
    end if;
  end if;
  return new;
end $$;

CREATE FUNCTION control.check_name_servers() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
declare bad text;
begin
  select s into bad from unnest(new.servers) s where s is null or not control.is_name_server(s) limit 1;
  if found then
    raise exception '"%" is no name server: write an IP address, with a port if it is not 53, as in 127.0.0.1:5353', bad
      using errcode = 'check_violation';
  end if;
  return new;
end $$;

CREATE FUNCTION control.check_rbl_answers() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
declare bad text;
begin
  select a into bad from unnest(new.answers) a where control.is_rbl_answer(a) is not true limit 1;
  if found or cardinality(new.answers) not between 1 and 50 then
    raise exception '"%" says nothing about answers of a DNS list: write one to fifty like 127.0.0.2, 127.0.0.2-11 or 127.0.*.3', coalesce(bad, '')
      using errcode = 'check_violation';
  end if;
  return new;
end $$;

CREATE FUNCTION control.is_ip_pattern(pattern text) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    AS $_$
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
end $_$;

CREATE FUNCTION control.is_name_server(server text) RETURNS boolean
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $_$
  select control.is_ip_address(server)
    or control.is_ip_address((regexp_match(server, '^([0-9.]+):[0-9]{1,5}$'))[1])
    or control.is_ip_address((regexp_match(server, '^\[([0-9a-fA-F:.]+)\](:[0-9]{1,5})?$'))[1])
$_$;

CREATE FUNCTION control.is_rbl_answer(pattern text) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    AS $_$
declare
  part text;
  ends text[];
begin
  if pattern !~ '^127(\.(\*|[0-9]{1,3}(-[0-9]{1,3})?)){3}$' then return false; end if;
  foreach part in array string_to_array(pattern, '.') loop
    continue when part = '*';
    ends := string_to_array(part, '-');
    if ends[1]::int > coalesce(ends[2], ends[1])::int or coalesce(ends[2], ends[1])::int > 255 then return false; end if;
  end loop;
  return true;
end $_$;

CREATE FUNCTION control.is_sender_pattern(pattern text) RETURNS boolean
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $_$
  select octet_length(pattern) between 1 and 320 and pattern ~ '^([^@[:space:][:cntrl:]:]+@)?[a-z0-9*?._-]+$'
$_$;

CREATE FUNCTION control.parse_listeners(spec text, default_port integer DEFAULT NULL::integer) RETURNS TABLE(address text, port integer)
    LANGUAGE plpgsql IMMUTABLE
    AS $_$
declare
  item text;
  found text[];
begin
  foreach item in array string_to_array(coalesce(nullif(btrim(spec), ''), '*'), ',') loop
    item := btrim(item);
    found := coalesce(
      regexp_match(item, '^([0-9.]+|\*):([0-9]{1,5})$'),
      -- Brackets are for IPv6; without them a port needs a space.
      regexp_match(item, '^\[([0-9a-fA-F.]*:[0-9a-fA-F:.]*)\](?:\s*:?\s*([0-9]{1,5}))?$'),
      regexp_match(item, '^([0-9a-fA-F:.]+|\*)(?:\s+([0-9]{1,5}))?$'));
    if found is null then
      raise exception '"%" is no listener: write an address or *, and a port, as in "192.168.0.1 25, * 587"', item
        using errcode = 'check_violation';
    end if;
    if found[2] is null and default_port is null then
      raise exception '"%" names no port', item using errcode = 'check_violation';
    end if;
    address := found[1];
    port := coalesce(found[2]::integer, default_port);
    return next;
  end loop;
end $_$;

COMMENT ON FUNCTION control.parse_listeners(spec text, default_port integer) IS 'The short form of listeners as rows';

CREATE FUNCTION control.preview_template(name text, domain_id bigint DEFAULT NULL::bigint) RETURNS TABLE(subject text, body text)
    LANGUAGE sql STABLE
    AS $$
  select filled.s, filled.b from (
    select replace(replace(replace(replace(replace(replace(replace(t.subject, '{hostname}', h), '{sender}', 'alice@example.test'),
        '{subject}', 'Lunch on Friday'), '{received}', now()::text), '{recipients}', '  bob@example.org'),
        '{reasons}', '  550 5.1.1 No such user here'), '{expires}', (now() + interval '5 days')::text) as s,
      replace(replace(replace(replace(replace(replace(replace(t.body, '{hostname}', h), '{sender}', 'alice@example.test'),
        '{subject}', 'Lunch on Friday'), '{received}', now()::text), '{recipients}', '  bob@example.org'),
        '{reasons}', '  550 5.1.1 No such user here'), '{expires}', (now() + interval '5 days')::text) as b
    from control.template t, coalesce((select hostname from control.server), 'mail.example.test') h
    where t.name = preview_template.name and (t.domain_id = preview_template.domain_id or t.domain_id is null)
    order by t.domain_id nulls last limit 1) filled
$$;

COMMENT ON FUNCTION control.preview_template(name text, domain_id bigint) IS 'How a report''s text looks, with sample values';

CREATE TABLE control.listener (
    id bigint NOT NULL,
    service text NOT NULL,
    address text DEFAULT '*'::text NOT NULL,
    port control.port NOT NULL,
    tls control.tls_mode DEFAULT 'starttls'::control.tls_mode NOT NULL,
    mode control.listener_mode DEFAULT 'standard'::control.listener_mode NOT NULL,
    enabled boolean DEFAULT true NOT NULL,
    proxy_ip_list_id bigint,
    CONSTRAINT "a listener's address is * or one IP address of this host" CHECK (((address = '*'::text) OR control.is_ip_address(address))),
    CONSTRAINT "only smtp listeners have the modes submission and lmtp" CHECK (((mode = 'standard'::control.listener_mode) OR (service = 'smtp'::text)))
);

COMMENT ON TABLE control.listener IS 'Addresses and ports the services listen on; the node''s port offset is added to the port';

COMMENT ON COLUMN control.listener.id IS 'Number of the row';

COMMENT ON COLUMN control.listener.service IS 'The service that answers';

COMMENT ON COLUMN control.listener.address IS '* for all addresses, or one address. The short form "192.168.0.1 25, * 587" makes one row for each';

COMMENT ON COLUMN control.listener.port IS 'TCP port';

COMMENT ON COLUMN control.listener.tls IS 'implicit: TLS from the first byte; starttls: the client may ask for TLS; none: no TLS';

COMMENT ON COLUMN control.listener.mode IS 'smtp only. standard: mail from other servers; submission: mail from users, who must log in unless control.smtp.relay_ip_list_id has their address; lmtp: LMTP (RFC 2033)';

COMMENT ON COLUMN control.listener.enabled IS 'Whether this listener is open while its service runs';

COMMENT ON COLUMN control.listener.proxy_ip_list_id IS 'Proxies in front of this listener: the addresses in this IP list must send a PROXY protocol header (version 1 or 2) first, and are believed. Empty = none; nobody else is believed';

CREATE FUNCTION control.set_listeners(service text, spec text, tls control.tls_mode DEFAULT 'starttls'::control.tls_mode, mode control.listener_mode DEFAULT 'standard'::control.listener_mode) RETURNS SETOF control.listener
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
begin
  if not exists (select 1 from control.service s where s.name = set_listeners.service) then
    raise exception 'there is no service "%"', service using errcode = 'foreign_key_violation';
  end if;
  delete from control.listener l where l.service = set_listeners.service and l.tls = set_listeners.tls and l.mode = set_listeners.mode
    and not exists (select 1 from control.parse_listeners(spec) p where p.address = l.address and p.port = l.port);
  insert into control.listener (service, address, port, tls, mode)
  select set_listeners.service, p.address, p.port, set_listeners.tls, set_listeners.mode from control.parse_listeners(spec) p
  where not exists (select 1 from control.listener l where l.service = set_listeners.service and l.tls = set_listeners.tls
    and l.mode = set_listeners.mode and l.address = p.address and l.port = p.port);
  return query select l.* from control.listener l
    where l.service = set_listeners.service and l.tls = set_listeners.tls and l.mode = set_listeners.mode order by l.id;
end $$;

COMMENT ON FUNCTION control.set_listeners(service text, spec text, tls control.tls_mode, mode control.listener_mode) IS 'Replaces a service''s listeners: select control.set_listeners(''smtp'', ''192.168.0.1 25, * 2525'')';

CREATE TABLE control.traffic_rule (
    id bigint NOT NULL,
    direction control.traffic_direction NOT NULL,
    pattern text NOT NULL,
    max_messages control."limit" DEFAULT 0 NOT NULL,
    max_megabytes control."limit" DEFAULT 0 NOT NULL,
    CONSTRAINT "incoming rules are for IP patterns like 10.0.0.1, 10.* or *" CHECK (((direction <> 'incoming'::control.traffic_direction) OR control.is_ip_pattern(pattern))),
    CONSTRAINT "outgoing rules are for users, domains or patterns of them" CHECK (((direction <> 'outgoing'::control.traffic_direction) OR control.is_sender_pattern(pattern)))
);

COMMENT ON TABLE control.traffic_rule IS 'How much mail may pass in one interval; of the rules that match, only the most specific one counts';

COMMENT ON COLUMN control.traffic_rule.id IS 'Number of the row';

COMMENT ON COLUMN control.traffic_rule.direction IS 'incoming: mail from hosts that have not logged in; outgoing: mail of users to other servers';

COMMENT ON COLUMN control.traffic_rule.pattern IS 'incoming: an IP pattern. outgoing: user@domain or *, counted for each user; or a domain, counted for all of its users together; * and ? are wildcards';

COMMENT ON COLUMN control.traffic_rule.max_messages IS 'Messages in one interval, counted for each recipient; 0 = no limit';

COMMENT ON COLUMN control.traffic_rule.max_megabytes IS 'Megabytes in one interval, counted for each recipient; 0 = no limit';

CREATE FUNCTION control.set_traffic_rules(direction control.traffic_direction, rules text) RETURNS SETOF control.traffic_rule
    LANGUAGE plpgsql
    AS $_$
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
end $_$;

COMMENT ON FUNCTION control.set_traffic_rules(direction control.traffic_direction, rules text) IS 'Replaces the traffic rules of one direction: select control.set_traffic_rules(''incoming'', E''*:100/50\n192.168.0.1:0'')';

CREATE FUNCTION control.snapshot() RETURNS jsonb
    LANGUAGE sql STABLE
    AS $$
  select jsonb_build_object(
    'generation', (select value from control.generation),
    'config_generation', (select config from control.generation),
    'server', (select to_jsonb(s) from control.server s),
    'log', (select to_jsonb(s) from control.log s),
    'smtp', (select to_jsonb(s) from control.smtp s),
    'imap', (select to_jsonb(s) from control.imap s),
    'imap_capabilities', (select coalesce(jsonb_agg(to_jsonb(c) order by c.id), '[]') from control.imap_capability c),
    'pop3', (select to_jsonb(s) from control.pop3 s),
    'directory', (select to_jsonb(s) from control.directory s),
    'store', (select to_jsonb(s) from control.store s),
    'web', (select to_jsonb(s) from control.web s),
    'metrics_tokens', (select coalesce(jsonb_agg(t.token order by t.name), '[]') from control.metrics_token t),
    'srs', (select to_jsonb(s) from control.srs s),
    'screen', logic.screen_snapshot(),
    'acme', logic.acme_snapshot(),
    'dns', (select to_jsonb(d) from control.dns d),
    'relay', (select to_jsonb(s) from control.relay s),
    'relay_tls', (select to_jsonb(s) from control.relay_tls s),
    'retry', (select coalesce(jsonb_agg(r.after_seconds order by r.attempt), '[]') from control.retry r),
    'routes', (select coalesce(jsonb_agg(to_jsonb(r) order by r.id), '[]') from control.route r where r.active),
    'templates', (select coalesce(jsonb_agg(jsonb_build_object('name', t.name, 'domain', d.name, 'subject', t.subject, 'body', t.body)), '[]')
      from control.template t left join directory.domain d on d.id = t.domain_id),
    'authentication', (select to_jsonb(s) from control.authentication s),
    'authentication_policy', (select coalesce(jsonb_agg(to_jsonb(p) order by p.method, p.result), '[]') from control.authentication_policy p),
    'trusted_sealers', (select coalesce(jsonb_agg(t.domain order by t.domain), '[]') from control.trusted_sealer t),
    'dkim', (select to_jsonb(s) from control.dkim s),
    'dmarc', (select to_jsonb(s) from control.dmarc s),
    'oidc_issuers', (select coalesce(jsonb_agg(to_jsonb(i) order by i.id), '[]') from control.oidc_issuer i where i.active),
    'services', (select coalesce(jsonb_agg(to_jsonb(s) order by s.name), '[]') from control.service s),
    'listeners', (select coalesce(jsonb_agg(to_jsonb(l) order by l.id), '[]') from control.listener l where l.enabled),
    'certificates', (select coalesce(jsonb_agg(to_jsonb(c) order by c.source = 'self-signed', c.id), '[]')
      from control.certificate c where c.active),
    'ip_lists', (select coalesce(jsonb_agg(jsonb_build_object('id', i.id, 'mode', i.mode, 'patterns',
        (select coalesce(jsonb_agg(r.pattern), '[]') from control.ip_rule r where r.list_id = i.id)) order by i.id), '[]')
      from control.ip_list i))
$$;

COMMENT ON FUNCTION control.snapshot() IS 'The whole configuration as the daemon reads it';

CREATE FUNCTION control.undo(change bigint) RETURNS bigint
    LANGUAGE plpgsql
    AS $_$
declare
  a log.audit;
  matches text;
  columns text;
  current_row jsonb;
  made bigint;
  hit bigint;
begin
  select * into a from log.audit where id = change;
  if not found then
    raise exception 'there is no change % in log.audit', change using errcode = 'no_data_found';
  end if;
  if a.action = 'view' then
    raise exception 'change % was a look into a mailbox, and nothing was changed', change;
  end if;
  if a.table_name !~ '^(control|directory)\.[a-z_]+$' or to_regclass(a.table_name) is null then
    raise exception 'change % is in %, which cannot be undone', change, a.table_name;
  end if;
  select string_agg(format('t.%I is not distinct from k.%I', key, key), ' and ') into matches from jsonb_object_keys(a.key) key;
  execute format('select to_jsonb(t) from %s t, jsonb_populate_record(null::%s, $1) k where %s', a.table_name, a.table_name, matches)
    into current_row using a.key;
  perform set_config('mailwright.undoes', change::text, true);
  if a.action = 'insert' then
    if current_row is null then
      raise exception 'the row that change % made is gone already', change;
    end if;
    execute format('delete from %s t using jsonb_populate_record(null::%s, $1) k where %s', a.table_name, a.table_name, matches)
      using a.key;
  elsif a.action = 'delete' then
    if current_row is not null then
      raise exception 'the row that change % deleted is there again', change;
    end if;
    select string_agg(e.key, ', ') into columns from jsonb_each(a.old) e
    join pg_attribute t on t.attrelid = to_regclass(a.table_name) and t.attname = e.key and t.attnotnull where e.value = '"(hidden)"';
    if columns is not null then
      raise exception 'the row that change % deleted cannot come back: the log does not keep its secrets (%), and it cannot be without them', change, columns;
    end if;
    -- What was hidden is not known any more and stays empty.
    select string_agg(format('%I', e.key), ', ') into columns from jsonb_each(a.old) e where e.value <> '"(hidden)"';
    execute format('insert into %s (%s) select %s from jsonb_populate_record(null::%s, $1)', a.table_name, columns, columns, a.table_name)
      using a.old;
    if exists (select 1 from jsonb_each(a.old) e where e.value = '"(hidden)"') then
      raise notice 'secrets are not kept in the log: set the password of this row anew';
    end if;
  else
    if current_row is null then
      raise exception 'the row that change % was made in is gone', change;
    end if;
    select string_agg(format('%I', o.key), ', ') into columns
    from jsonb_each(a.old) o where o.value is distinct from a.new -> o.key and o.value <> '"(hidden)"';
    if columns is null then
      raise exception 'change % was of a secret, which the log does not keep', change;
    end if;
    select min(later.id) into hit from jsonb_each(a.new) n, log.audit later
    where n.value is distinct from a.old -> n.key and n.value is distinct from current_row -> n.key
      and later.table_name = a.table_name and later.key = a.key and later.id > a.id and later.action <> 'view';
    if hit is not null then
      raise exception 'this row has been changed again since (change %): undo that one first', hit;
    end if;
    execute format('update %s t set (%s) = (select %s from jsonb_populate_record(null::%s, $2))
        from jsonb_populate_record(null::%s, $1) k where %s',
      a.table_name, columns, columns, a.table_name, a.table_name, matches)
      using a.key, a.old;
  end if;
  perform set_config('mailwright.undoes', '', true);
  select max(id) into made from log.audit where undoes = change;
  return made;
end $_$;

COMMENT ON FUNCTION control.undo(change bigint) IS 'Takes back one change of log.audit, unless the row has changed again since';

CREATE FUNCTION control.wait_applied(generation bigint DEFAULT NULL::bigint, timeout interval DEFAULT '00:00:10'::interval) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
declare
  wanted bigint;
  deadline timestamptz := clock_timestamp() + timeout;
  behind text;
begin
  if exists (select 1 from control.touched where transaction = pg_current_xact_id_if_assigned()) then
    raise exception 'this transaction has changed settings itself: commit first, then wait';
  end if;
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'control.wait_applied needs the isolation level read committed';
  end if;
  wanted := coalesce(generation, (select value from control.generation));
  loop
    select string_agg(format('%s (at %s%s)', name, applied_generation, coalesce(', ' || error, '')), ', ' order by name) into behind
    from live.node where applied_generation < wanted and seen_at > clock_timestamp() - interval '15 seconds';
    if behind is null and exists (select 1 from live.node where applied_generation >= wanted) then
      return wanted;
    end if;
    if clock_timestamp() > deadline then
      raise exception 'change % is not obeyed after % by: %', wanted, timeout, coalesce(behind, 'any node: none is running')
        using errcode = 'query_canceled';
    end if;
    perform pg_sleep(0.01);
  end loop;
end $$;

COMMENT ON FUNCTION control.wait_applied(generation bigint, timeout interval) IS 'Waits until all running nodes obey a committed change';

CREATE TABLE directory.dkim_key (
    id bigint NOT NULL,
    domain_id bigint NOT NULL,
    selector text NOT NULL,
    algorithm text DEFAULT 'rsa-sha256'::text NOT NULL,
    state text DEFAULT 'making'::text NOT NULL,
    private_key control.secret,
    public_key text,
    activate_when_published boolean DEFAULT false NOT NULL,
    error text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    activated_at timestamp with time zone,
    retired_at timestamp with time zone,
    CONSTRAINT "a key is making, ready, active or retired" CHECK ((state = ANY (ARRAY['making'::text, 'ready'::text, 'active'::text, 'retired'::text]))),
    CONSTRAINT "a key that is not being made has both its halves" CHECK (((state = 'making'::text) OR ((private_key IS NOT NULL) AND (public_key IS NOT NULL)))),
    CONSTRAINT "a private key is PKCS #8 in PEM" CHECK (((private_key)::text ~~ '%-----BEGIN PRIVATE KEY-----%'::text)),
    CONSTRAINT "a public key is base64, as in p=" CHECK ((public_key ~ '^[A-Za-z0-9+/]+=*$'::text)),
    CONSTRAINT "a selector has letters, digits and hyphens" CHECK (((length(selector) <= 63) AND (selector ~ '^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$'::text))),
    CONSTRAINT "the algorithm is rsa-sha256 or ed25519-sha256" CHECK ((algorithm = ANY (ARRAY['rsa-sha256'::text, 'ed25519-sha256'::text])))
);

COMMENT ON TABLE directory.dkim_key IS 'Keys that sign mail (DKIM, ARC). Make one with directory.make_dkim_key(''example.test''), publish what report.dkim_record shows, then directory.activate_dkim_key(id)';

COMMENT ON COLUMN directory.dkim_key.id IS 'Number of the row';

COMMENT ON COLUMN directory.dkim_key.domain_id IS 'The domain that signs';

COMMENT ON COLUMN directory.dkim_key.selector IS 'Names the key in the DNS: selector._domainkey.domain';

COMMENT ON COLUMN directory.dkim_key.algorithm IS 'rsa-sha256 or ed25519-sha256; a domain may sign with one key of each';

COMMENT ON COLUMN directory.dkim_key.state IS 'making: the server makes it, or reads the private key you gave; ready: publish its DNS record; active: signs; retired: signs no more, its record stays for control.dkim.overlap_days';

COMMENT ON COLUMN directory.dkim_key.private_key IS 'PKCS #8 in PEM; give your own with a new row, or let the server make one';

COMMENT ON COLUMN directory.dkim_key.public_key IS 'As it stands in the DNS record behind p=';

COMMENT ON COLUMN directory.dkim_key.activate_when_published IS 'Whether the server makes it active by itself as soon as its DNS record is there';

COMMENT ON COLUMN directory.dkim_key.error IS 'Why the server cannot use the private key that was given';

COMMENT ON COLUMN directory.dkim_key.created_at IS 'When it was made';

COMMENT ON COLUMN directory.dkim_key.activated_at IS 'When it began to sign';

COMMENT ON COLUMN directory.dkim_key.retired_at IS 'When it was retired';

CREATE FUNCTION directory.activate_dkim_key(id bigint) RETURNS directory.dkim_key
    LANGUAGE plpgsql
    AS $$
declare k directory.dkim_key;
begin
  select * into k from directory.dkim_key x where x.id = activate_dkim_key.id for update;
  if not found then
    raise exception 'there is no DKIM key %', activate_dkim_key.id using errcode = 'no_data_found';
  end if;
  if k.state = 'making' then
    raise exception 'DKIM key % is not made yet%', k.id, coalesce(': ' || k.error, '') using errcode = 'check_violation';
  end if;
  update directory.dkim_key x set state = 'retired', retired_at = now()
  where x.domain_id = k.domain_id and x.algorithm = k.algorithm and x.state = 'active' and x.id <> k.id;
  update directory.dkim_key x
  set state = 'active', activate_when_published = false, activated_at = coalesce(x.activated_at, now()), retired_at = null
  where x.id = k.id returning * into k;
  return k;
end $$;

COMMENT ON FUNCTION directory.activate_dkim_key(id bigint) IS 'Signs with this key from now on, and no more with the one of the same algorithm that did; publish its DNS record first';

CREATE FUNCTION directory.make_dkim_key(domain text, algorithm text DEFAULT 'rsa-sha256'::text, selector text DEFAULT NULL::text) RETURNS directory.dkim_key
    LANGUAGE plpgsql
    AS $$
declare
  owner bigint;
  dated text := 'mw' || to_char(now() at time zone 'utc', 'YYYYMMDD') || case when make_dkim_key.algorithm like 'ed25519%' then 'e' else 'r' end;
  made directory.dkim_key;
begin
  select d.id into owner from directory.domain d where d.name = lower(make_dkim_key.domain);
  if not found then
    raise exception 'there is no domain "%" here', make_dkim_key.domain using errcode = 'foreign_key_violation';
  end if;
  if selector is null then
    select dated || coalesce(nullif(n, 1)::text, '') into selector from generate_series(1, 1000) n
    where not exists (select 1 from directory.dkim_key k where k.domain_id = owner and k.selector = dated || coalesce(nullif(n, 1)::text, ''))
    order by n limit 1;
  end if;
  insert into directory.dkim_key (domain_id, selector, algorithm) values (owner, lower(make_dkim_key.selector), make_dkim_key.algorithm)
  returning * into made;
  return made;
end $$;

COMMENT ON FUNCTION directory.make_dkim_key(domain text, algorithm text, selector text) IS 'Makes a key for DKIM: select * from directory.make_dkim_key(''example.test''); the server fills it in, report.dkim_record shows what to publish';

CREATE FUNCTION directory.rotate_dkim_keys(domain text) RETURNS SETOF directory.dkim_key
    LANGUAGE plpgsql
    AS $$
declare
  old record;
  made directory.dkim_key;
begin
  for old in
    select k.algorithm from directory.dkim_key k join directory.domain d on d.id = k.domain_id
    where d.name = lower(rotate_dkim_keys.domain) and k.state = 'active'
      and not exists (select 1 from directory.dkim_key n where n.domain_id = k.domain_id and n.algorithm = k.algorithm
        and n.state in ('making', 'ready') and n.activate_when_published)
    order by k.algorithm
  loop
    made := directory.make_dkim_key(domain, old.algorithm);
    update directory.dkim_key k set activate_when_published = true where k.id = made.id returning * into made;
    return next made;
  end loop;
end $$;

COMMENT ON FUNCTION directory.rotate_dkim_keys(domain text) IS 'Makes new keys for a domain; each takes over by itself as soon as the DNS has its record (report.dkim_record)';

CREATE FUNCTION logic.acme_snapshot() RETURNS jsonb
    LANGUAGE sql STABLE
    AS $$
  select to_jsonb(s) || jsonb_build_object('answers', (select coalesce(jsonb_agg(to_jsonb(a) order by a.created_at, a.token), '[]') from control.acme_answer a))
  from control.acme s
$$;

CREATE FUNCTION logic.activate_published_dkim_key(key bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
  perform logic.as_a_person();
  perform directory.activate_dkim_key(key);
end $$;

CREATE TABLE directory.address (
    domain_id bigint NOT NULL,
    local_part text NOT NULL,
    account_id bigint,
    alias_id bigint,
    CONSTRAINT address_check CHECK ((num_nonnulls(account_id, alias_id) = 1))
);

COMMENT ON TABLE directory.address IS 'Every local address once, and what it is. Kept by the server: change account or alias instead';

COMMENT ON COLUMN directory.address.domain_id IS 'The domain of the address';

COMMENT ON COLUMN directory.address.local_part IS 'The part before @';

COMMENT ON COLUMN directory.address.account_id IS 'The account with this address';

COMMENT ON COLUMN directory.address.alias_id IS 'The alias with this address';

CREATE FUNCTION logic.address_of(local text, domain text) RETURNS directory.address
    LANGUAGE sql STABLE
    AS $$
  select x from directory.address x
  where x.domain_id = logic.domain_of(address_of.domain)
    and (x.local_part = address_of.local or x.local_part = (
      select split_part(address_of.local, s.subaddress_separator, 1) from control.directory s
      where s.subaddress_separator <> '' and position(s.subaddress_separator in address_of.local) > 1))
  order by x.local_part = address_of.local desc limit 1
$$;

CREATE FUNCTION logic.after_expunged_delete() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  -- In key order, as everybody locks mailboxes.
  perform 1 from store.mailbox b
  where (b.account_id, b.id) in (select account_id, mailbox_id from old_rows)
  order by b.account_id, b.id for no key update;
  update store.mailbox b set forgotten_modseq = o.modseq
  from (select account_id, mailbox_id, max(modseq) as modseq from old_rows group by 1, 2) o
  where b.account_id = o.account_id and b.id = o.mailbox_id and b.forgotten_modseq < o.modseq;
  return null;
end $$;

CREATE FUNCTION logic.after_expunged_truncate() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  update store.mailbox set forgotten_modseq = highest_modseq where forgotten_modseq < highest_modseq;
  return null;
end $$;

CREATE FUNCTION logic.after_message_delete() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    AS $$
begin
  -- Whole mailboxes that go take their messages along: nothing is left to number.
  with n as (
    update store.mailbox b set highest_modseq = b.highest_modseq + 1
    from (select account_id, mailbox_id from old_rows group by 1, 2 order by 1, 2) o
    where b.account_id = o.account_id and b.id = o.mailbox_id
    returning b.account_id, b.id, b.highest_modseq, logic.ring_mailbox(b.account_id, b.id)
  )
  insert into store.expunged (account_id, mailbox_id, uid, modseq, content_id, internal_date, size, zone_minutes,
    seen, answered, flagged, draft, keywords, prefix)
  select o.account_id, o.mailbox_id, o.uid, n.highest_modseq, o.content_id, o.internal_date, o.size, o.zone_minutes,
    o.seen, o.answered, o.flagged, o.draft, o.keywords, o.prefix
  from old_rows o join n on n.account_id = o.account_id and n.id = o.mailbox_id;
  insert into store.orphan (content_id) select distinct content_id from old_rows on conflict do nothing;
  update store.usage u set bytes = u.bytes - o.bytes, messages = u.messages - o.messages
  from (select account_id, sum(size) as bytes, count(*) as messages from old_rows group by account_id) o
  where u.account_id = o.account_id;
  return null;
end $$;

CREATE FUNCTION logic.after_recipient() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  insert into queue.destination as x (domain, look_at)
  select n.domain, min(n.next_attempt_at) from new_rows n where n.state = 'waiting' group by n.domain order by n.domain
  on conflict (domain) do update set look_at = least(x.look_at, excluded.look_at), down_until = null;
  perform pg_notify('queue', '');
  return null;
end $$;

CREATE FUNCTION logic.after_recipient_delete() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  insert into queue.attempt (node, message_id, recipient, sender, account_id, content_id, size, outcome, attempt, reply, milliseconds)
  select '', m.id, o.address, m.sender, m.account_id, m.content_id, m.size, 'cancelled', o.attempts, 'cancelled ' || logic.by_whom(), 0
  from old_rows o join queue.message m on m.id = o.message_id;
  insert into log.trace (at, step, node, message, recipient, queue_id, reply)
  select now(), 'cancelled', '', logic.queued_name(m.trace, m.id), o.address, m.id, 'cancelled ' || logic.by_whom()
  from old_rows o join queue.message m on m.id = o.message_id, control.log l where l.trace order by o.id;
  delete from queue.message m where m.id in (select message_id from old_rows)
    and not exists (select 1 from queue.recipient r where r.message_id = m.id);
  perform pg_notify('queue', '');
  return null;
end $$;

CREATE FUNCTION logic.allowed(needed text, one_of text DEFAULT ''::text) RETURNS TABLE(account_id bigint, mailbox_id bigint)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    AS $$
  select m.account_id, m.id from store.mailbox m where m.account_id = logic.me()
  union all
  select g.account_id, g.mailbox_id from logic.granted(logic.me()) g
  where translate(needed, g.rights, '') = '' and (one_of = '' or translate(one_of, g.rights, '') <> one_of)
$$;

CREATE FUNCTION logic.arrange_report_role() RETURNS text
    LANGUAGE plpgsql
    AS $_$
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
end $_$;

CREATE FUNCTION logic.arrange_user_role() RETURNS text
    LANGUAGE plpgsql
    AS $$
begin
  if to_regrole('mailwright_user') is null then
    begin
      create role mailwright_user nologin;
      -- For SET ROLE by the daemon.
      execute format('grant mailwright_user to %I', current_user);
    exception
      when duplicate_object or unique_violation then null;
      when insufficient_privilege then
        return 'people cannot be given SQL of their own: the role mailwright_user does not exist, and may not be made by the role '
          || current_user || '. Let somebody who may run: create role mailwright_user nologin';
    end;
  end if;
  grant usage on schema store to mailwright_user;
  grant select, delete on store.mailbox, store.message to mailwright_user;
  grant insert (account_id, name), update (name) on store.mailbox to mailwright_user;
  grant insert (account_id, mailbox_id, content_id, internal_date, zone_minutes, seen, answered, flagged, deleted, draft, keywords, prefix),
    update (mailbox_id, seen, answered, flagged, deleted, draft, keywords) on store.message to mailwright_user;
  grant select on store.content, store.content_chunk, store.expunged to mailwright_user;
  grant select, insert, delete on store.subscription to mailwright_user;
  grant select, insert, update, delete on store.acl to mailwright_user;
  grant select, insert, delete on store.metadata to mailwright_user;
  return null;
end $$;

CREATE FUNCTION logic.arrange_web_role() RETURNS text
    LANGUAGE plpgsql
    AS $_$
declare t record;
begin
  if to_regrole('mailwright_web') is null then
    begin
      create role mailwright_web nologin;
      execute format('grant mailwright_web to %I', current_user);
    exception
      when duplicate_object or unique_violation then null;
      when insufficient_privilege then
        return format('the administration pages cannot be used: the role mailwright_web does not exist, and may not be made by the role %I. '
          'Let somebody who may run: create role mailwright_web nologin; grant mailwright_web to %I', current_user, current_user);
    end;
  end if;
  grant usage on schema control, directory, queue, live, log, screen, logic, admin to mailwright_web;
  grant select on logic.page to mailwright_web;
  for t in
    select format('%I.%I', n.nspname, c.relname) as name,
      string_agg(quote_ident(a.attname), ', ') filter (where n.nspname = 'admin' or a.atttypid <> 'control.secret'::regtype) as readable,
      string_agg(quote_ident(a.attname), ', ') as columns
    from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.relkind in ('r', 'v') and n.nspname in ('control', 'directory', 'queue', 'live', 'log', 'screen', 'admin')
      and c.relname not in ('generation', 'touched', 'lease', 'logic', 'sql_login')
    group by 1
  loop
    execute format('revoke all on %2$s from mailwright_web; grant select (%1$s) on %2$s to mailwright_web', t.readable, t.name);
    -- What is in a log stays as it is.
    execute format(case when t.name like 'log.%' then 'grant insert (%1$s) on %2$s to mailwright_web'
      else 'grant insert (%1$s), update (%1$s), delete on %2$s to mailwright_web' end, t.columns, t.name);
  end loop;
  return null;
end $_$;

CREATE FUNCTION logic.as_a_person() RETURNS void
    LANGUAGE sql
    AS $$
  select set_config('mailwright.daemon', 'off', true)
$$;

CREATE FUNCTION logic.audit() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  keys text[] := string_to_array(tg_argv[0], ',');
  secrets text[] := coalesce(string_to_array(nullif(tg_argv[1], ''), ','), '{}');
  who text := coalesce(nullif(current_setting('mailwright.actor', true), ''), session_user);
  from_peer text := coalesce(nullif(current_setting('mailwright.peer', true), ''), host(inet_client_addr()));
  by_path text := nullif(current_setting('application_name'), '');
  taken_back bigint := nullif(current_setting('mailwright.undoes', true), '')::bigint;
  full_name text := format('%I.%I', tg_table_schema, tg_table_name);
begin
  if tg_op = 'INSERT' then
    insert into log.audit (actor, peer, path, table_name, action, key, new, undoes)
    select who, from_peer, by_path, full_name, 'insert', logic.pick(to_jsonb(n), keys), logic.hide(to_jsonb(n), secrets), taken_back
    from new_rows n;
  elsif tg_op = 'DELETE' then
    insert into log.audit (actor, peer, path, table_name, action, key, old, undoes)
    select who, from_peer, by_path, full_name, 'delete', logic.pick(to_jsonb(o), keys), logic.hide(to_jsonb(o), secrets), taken_back
    from old_rows o;
  else
    -- A changed key pairs with nothing: it is a deletion and an insertion then.
    insert into log.audit (actor, peer, path, table_name, action, key, old, new, undoes)
    select who, from_peer, by_path, full_name,
      case when n.j is null then 'delete' when o.j is null then 'insert' else 'update' end,
      coalesce(o.k, n.k), logic.hide(o.j, secrets), logic.hide(n.j, secrets), taken_back
    from (select to_jsonb(r) as j, logic.pick(to_jsonb(r), keys) as k from old_rows r) o
    full join (select to_jsonb(r) as j, logic.pick(to_jsonb(r), keys) as k from new_rows r) n on n.k = o.k
    where o.j is distinct from n.j;
  end if;
  return null;
end $$;

CREATE FUNCTION logic.audit_ids(of_table text, of_key jsonb) RETURNS bigint[]
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    AS $$
  select array(select a.id from log.audit a where a.table_name = of_table and a.key = of_key order by a.id desc limit 1000)
$$;

CREATE FUNCTION logic.before_acl() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    AS $_$
begin
  if tg_op = 'INSERT' and (select count(*) from store.acl a where a.account_id = new.account_id and a.mailbox_id = new.mailbox_id) >= 1000 then
    raise exception 'a mailbox can be shared with 1000 others at most: share it with a whole domain instead' using errcode = 'check_violation';
  end if;
  if new.rights ~ '^[lrswipkxtenacd]+$' then new.rights := logic.ordered_rights(new.rights); end if;
  return new;
end $_$;

CREATE FUNCTION logic.before_mailbox() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    AS $$
begin
  if upper(new.name) = 'INBOX' then new.name := 'INBOX'; end if;
  if new.name ~* '^inbox/' then new.name := 'INBOX' || right(new.name, -5); end if;
  new.name := normalize(new.name, nfc);
  if new.uid_validity is null then
    insert into store.usage as u (account_id, next_uid_validity) values (new.account_id, extract(epoch from now())::bigint + 1)
    on conflict (account_id) do update set next_uid_validity = greatest(u.next_uid_validity, extract(epoch from now())::bigint) + 1
    returning next_uid_validity - 1 into new.uid_validity;
  end if;
  return new;
end $$;

CREATE FUNCTION logic.before_message() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    AS $$
declare m store.mailbox;
begin
  if tg_op = 'INSERT' then
    m := logic.number_mailbox(new.account_id, new.mailbox_id, 1);
    new.uid := m.uid_next - 1;
    new.modseq := m.highest_modseq;
    select coalesce(octet_length(new.prefix), 0) + c.size into new.size from store.content c where c.id = new.content_id;
    if not found then
      raise exception 'there is no content %', new.content_id using errcode = 'foreign_key_violation';
    end if;
    insert into store.usage as u (account_id, bytes, messages) values (new.account_id, new.size, 1)
    on conflict (account_id) do update set bytes = u.bytes + excluded.bytes, messages = u.messages + 1;
    return new;
  end if;
  if (new.content_id, new.size, new.prefix) is distinct from (old.content_id, old.size, old.prefix) then
    raise exception 'the content of a message cannot change (RFC 9051, 2.3.1.1): insert a new message and delete this one'
      using errcode = 'check_violation';
  end if;
  if new.account_id <> old.account_id then
    raise exception 'a message cannot move to another account: insert it there and delete it here' using errcode = 'check_violation';
  end if;
  if new.mailbox_id <> old.mailbox_id then
    -- A move: it leaves there and arrives here.
    m := logic.number_mailbox(old.account_id, old.mailbox_id, 0);
    insert into store.expunged (account_id, mailbox_id, uid, modseq) values (old.account_id, old.mailbox_id, old.uid, m.highest_modseq);
    m := logic.number_mailbox(new.account_id, new.mailbox_id, 1);
    new.uid := m.uid_next - 1;
    new.modseq := m.highest_modseq;
    new.saved_at := now();
    return new;
  end if;
  if new.uid <> old.uid then
    raise exception 'a UID is given by the server and never changes' using errcode = 'check_violation';
  end if;
  if new is not distinct from old then return new; end if;
  m := logic.number_mailbox(new.account_id, new.mailbox_id, 0);
  new.modseq := m.highest_modseq;
  insert into store.change (account_id, mailbox_id, modseq, uid) values (new.account_id, new.mailbox_id, new.modseq, new.uid);
  return new;
end $$;

CREATE FUNCTION logic.before_message_cancelled() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  insert into queue.attempt (node, message_id, recipient, sender, account_id, content_id, size, outcome, attempt, reply, milliseconds)
  select '', old.id, r.address, old.sender, old.account_id, old.content_id, old.size, 'cancelled', r.attempts, 'cancelled ' || logic.by_whom(), 0
  from queue.recipient r where r.message_id = old.id;
  insert into log.trace (at, step, node, message, recipient, queue_id, reply)
  select now(), 'cancelled', '', logic.queued_name(old.trace, old.id), r.address, old.id, 'cancelled ' || logic.by_whom()
  from queue.recipient r, control.log l where r.message_id = old.id and l.trace order by r.id;
  insert into store.orphan (content_id) values (old.content_id) on conflict do nothing;
  return old;
end $$;

CREATE FUNCTION logic.by_whom() RETURNS text
    LANGUAGE sql STABLE
    AS $$
  select 'by ' || coalesce(nullif(current_setting('mailwright.actor', true), ''), session_user)
$$;

CREATE FUNCTION logic.change_keywords(old text[], how integer, words text[]) RETURNS text[]
    LANGUAGE plpgsql IMMUTABLE
    AS $$
begin
  return nullif(case how
    when 0 then words
    when 1 then coalesce(old, '{}') || array(select k from unnest(words) k where not exists (select 1 from unnest(old) o where lower(o) = lower(k)))
    else array(select o from unnest(old) o where not exists (select 1 from unnest(words) k where lower(o) = lower(k)))
  end, '{}');
end $$;

CREATE FUNCTION logic.check_addresses(addresses text[], what text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    AS $_$
declare bad text;
begin
  select t into bad from unnest(addresses) t where t !~ '^[^@[:space:][:cntrl:]]+@[^@[:space:][:cntrl:]]+$' or octet_length(t) > 320 limit 1;
  if found then
    raise exception '"%" is no target for %: write an address like someone@example.test', bad, what using errcode = 'check_violation';
  end if;
end $_$;

CREATE FUNCTION logic.check_forward_to() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  perform logic.check_addresses(new.forward_to, 'forwarding');
  return new;
end $$;

CREATE FUNCTION logic.check_max_accounts() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare over record;
begin
  select d.name, d.max_accounts, count(*) as n into over
  from directory.domain d join directory.account a on a.domain_id = d.id
  where d.max_accounts > 0 and d.id in (select domain_id from new_rows)
  group by d.id having count(*) > d.max_accounts limit 1;
  if found then
    raise exception 'domain % would have % accounts, and its max_accounts is %', over.name, over.n, over.max_accounts
      using errcode = 'check_violation', hint = 'Raise max_accounts of the domain, or remove accounts.';
  end if;
  return null;
end $$;

CREATE FUNCTION logic.check_max_accounts_moved() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare over record;
begin
  select d.name, d.max_accounts, count(*) as n into over
  from directory.domain d join directory.account a on a.domain_id = d.id
  where d.max_accounts > 0
    and d.id in (select n.domain_id from new_rows n join old_rows o on o.id = n.id and o.domain_id <> n.domain_id)
  group by d.id having count(*) > d.max_accounts limit 1;
  if found then
    raise exception 'domain % would have % accounts, and its max_accounts is %', over.name, over.n, over.max_accounts
      using errcode = 'check_violation', hint = 'Raise max_accounts of the domain, or remove accounts.';
  end if;
  return null;
end $$;

CREATE FUNCTION logic.check_template() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  known constant text[] := array['hostname', 'sender', 'subject', 'received', 'recipients', 'reasons', 'expires'];
  unknown text;
begin
  select w[1] into unknown from regexp_matches(new.subject || new.body, '\{([^{}]*)\}', 'g') w where w[1] <> all (known) limit 1;
  if found then
    raise exception 'the text uses {%}, which stands for nothing', unknown
      using errcode = 'check_violation', hint = format('Known are {%s}.', array_to_string(known, '} {'));
  end if;
  return new;
end $$;

CREATE FUNCTION logic.check_users(rows jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION logic.claim_due(node text, lease interval, destinations integer, each integer, busy text[]) RETURNS TABLE(recipient_id bigint, message_id bigint, address text, domain text, attempts integer, notify text[], original_recipient text, delay_reported boolean, failures integer, content_id bigint, content_size bigint, prefix bytea, size bigint, sender text, account_id bigint, received_at timestamp with time zone, envelope_id text, return_full boolean, smtputf8 boolean, body_type text, require_tls boolean, priority smallint, deliver_by timestamp with time zone, deliver_by_return boolean, deliver_by_trace boolean, trace text)
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
declare
  due text[];
  taken bigint[];
begin
  select array_agg(d.domain) into due from (
    select x.domain from queue.destination x
    where x.look_at <= now() and (x.down_until is null or x.down_until <= now()) and x.domain <> all (busy)
    order by x.look_at limit destinations for update skip locked) d;
  if due is null then return; end if;

  -- A statement of its own: it sees what was committed before the locks were had.
  with picked as (
    select r.id from unnest(due) d (domain) cross join lateral (
      select q.id from queue.recipient q
      where q.state = 'waiting' and q.domain = d.domain and q.next_attempt_at <= now()
        and (q.leased_until is null or q.leased_until <= now())
      order by q.next_attempt_at limit each for update skip locked) r
  ), claimed as (
    update queue.recipient q set leased_by = claim_due.node, leased_until = now() + lease from picked p where q.id = p.id
    returning q.id
  )
  select coalesce(array_agg(id), '{}') into taken from claimed;

  -- When to look next: at once where there may be more, else when the next one is due or a lease ends; never where
  -- nothing waits.
  with n as (
    select d.domain, (select count(*) from queue.recipient q where q.id = any (taken) and q.domain = d.domain) as got,
      (select min(least(q.next_attempt_at, q.leased_until)) from (
        (select f.next_attempt_at, null::timestamptz as leased_until from queue.recipient f
         where f.state = 'waiting' and f.domain = d.domain and f.next_attempt_at > now() order by f.next_attempt_at limit 1)
        union all
        (select null, l.leased_until from queue.recipient l
         where l.state = 'waiting' and l.domain = d.domain and l.next_attempt_at <= now() and l.leased_until > now()
         order by l.next_attempt_at limit each + 1)) q) as next
    from unnest(due) d (domain)
  ), gone as (
    delete from queue.destination x using n where x.domain = n.domain and n.got < each and n.next is null
  )
  update queue.destination x set look_at = n.next from n where x.domain = n.domain and n.got < each and n.next is not null;

  return query
  select r.id, r.message_id, r.address, r.domain, r.attempts, r.notify, r.original_recipient, r.delay_reported,
    coalesce((select x.failures from queue.destination x where x.domain = r.domain), 0),
    m.content_id, c.size, m.prefix, m.size, m.sender, m.account_id, m.received_at, m.envelope_id, m.return_full, m.smtputf8, m.body_type,
    m.require_tls, m.priority, m.deliver_by, m.deliver_by_return, m.deliver_by_trace, m.trace
  from queue.recipient r join queue.message m on m.id = r.message_id left join store.content c on c.id = m.content_id
  where r.id = any (taken)
  order by r.domain, m.priority desc, r.next_attempt_at, r.message_id, r.id;
end $$;

CREATE FUNCTION logic.clear_mailbox() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    AS $$
declare as_before text := coalesce(current_setting('mailwright.daemon', true), '');
begin
  perform set_config('mailwright.daemon', 'off', true);
  delete from store.message where account_id = old.account_id and mailbox_id = old.id;
  perform set_config('mailwright.daemon', as_before, true);
  with gone as (
    delete from store.expunged where account_id = old.account_id and mailbox_id = old.id returning content_id
  )
  insert into store.orphan (content_id) select distinct content_id from gone where content_id is not null on conflict do nothing;
  delete from store.change where account_id = old.account_id and mailbox_id = old.id;
  delete from store.metadata where account_id = old.account_id and mailbox_id = old.id;
  delete from store.url_key where mailbox_id = old.id;
  perform logic.ring_mailbox(old.account_id, old.id);
  return null;
end $$;

CREATE FUNCTION logic.clear_metadata() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  delete from store.metadata where account_id = old.id or user_id = old.id;
  return null;
end $$;

CREATE FUNCTION logic.close_mailbox_view(session bytea, account bigint) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    AS $$
begin
  delete from live.mailbox_view v using live.web_session s
  where s.id = v.session_id and s.token_hash = session and v.account_id = account and s.login = current_setting('mailwright.actor', true);
  return '{}';
end $$;

CREATE FUNCTION logic.count_annotation() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    AS $$
declare m store.metadata;
begin
  m := case when tg_op = 'DELETE' then old else new end;
  if m.mailbox_id = 0 or (tg_op = 'UPDATE' and old is not distinct from new) then return null; end if;
  update store.mailbox set highest_modseq = highest_modseq + 1 where account_id = m.account_id and id = m.mailbox_id;
  if found then perform logic.ring_mailbox(m.account_id, m.mailbox_id); end if;
  return null;
end $$;

CREATE FUNCTION logic.describe_page(page regclass, of_table regclass) RETURNS void
    LANGUAGE sql
    AS $_$
  insert into logic.page (name, of_table, menu, title, help, kinds)
  select relname, of_table, m[1], m[2], nullif(m[3], ''),
    case when relname in ('session', 'change') or of_table::text like 'directory.%' and of_table <> 'directory.remote_domain'::regclass
      then '{system,auditor,domain}' else '{system,auditor}' end::text[]
  from pg_class, regexp_match(obj_description(oid), '^([^:]*): ([^.]*)\. ?(.*)$') m
  where oid = page on conflict do nothing;
  select logic.take_comments(page, of_table);
$_$;

CREATE FUNCTION logic.domain_of(name text) RETURNS bigint
    LANGUAGE sql STABLE
    AS $$
  select coalesce(n.domain_id, (select a.domain_id from directory.domain_alias a where a.id = n.alias_id))
  from directory.domain_name n where n.name = domain_of.name
$$;

CREATE FUNCTION logic.expand_listener() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
  item record;
  first boolean := true;
begin
  if new.address !~ '[,[:space:]\[]' and new.address !~ '^(\d+\.\d+\.\d+\.\d+|\*):\d+$' then return new; end if;
  for item in select * from control.parse_listeners(new.address, new.port) loop
    if first then
      new.address := item.address;
      new.port := item.port;
      first := false;
    else
      insert into control.listener (service, address, port, tls, mode, enabled, proxy_ip_list_id)
      values (new.service, item.address, item.port, new.tls, new.mode, new.enabled, new.proxy_ip_list_id);
    end if;
  end loop;
  return new;
end $_$;

CREATE FUNCTION logic.find_messages(sender text, recipient text, message_id text, peer inet, since timestamp with time zone, until timestamp with time zone, most integer) RETURNS text[]
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
begin
  if num_nonnulls(find_messages.sender, find_messages.recipient, find_messages.message_id, find_messages.peer) = 0 then
    raise exception 'whose messages? Give a sender, a recipient, a message_id or a peer' using errcode = 'invalid_parameter_value';
  end if;
  return array(
    select m.message from (
      select t.message, max(t.id) as last from log.trace t
      where t.at >= since and t.at < until
        and case
          when find_messages.message_id is not null then t.message_id in (find_messages.message_id, '<' || find_messages.message_id || '>')
          when find_messages.recipient is not null then lower(t.recipient) = lower(find_messages.recipient)
          when find_messages.sender is not null then lower(t.sender) = lower(find_messages.sender)
          else t.peer = find_messages.peer end
      group by t.message
    ) m
    where (find_messages.recipient is null or exists (
        select from log.trace t where t.message = m.message and lower(t.recipient) = lower(find_messages.recipient)))
      and (find_messages.sender is null or exists (
        select from log.trace t where t.message = m.message and lower(t.sender) = lower(find_messages.sender)))
      and (find_messages.peer is null or exists (select from log.trace t where t.message = m.message and t.peer = find_messages.peer))
    order by m.last desc limit most);
end $$;

CREATE FUNCTION logic.find_page(sender text, recipient text, message_id text, peer text, since timestamp with time zone, until timestamp with time zone, most integer) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    AS $$
begin
  perform logic.must_see_page('find');
  return (
    select coalesce(jsonb_agg(jsonb_build_object('message', n.message, 'at', t.at, 'sender', f.facts -> 'sender', 'size', f.facts -> 'size',
      'recipients', t.recipients, 'more', greatest(t.count - 3, 0), 'step', l.step) order by n.place), '[]')
    from unnest(logic.web_find(sender, recipient, message_id, peer::inet, coalesce(since, '-infinity'), coalesce(until, 'infinity'), most))
      with ordinality n (message, place)
    cross join lateral (select logic.message_facts(n.message) as facts) f
    cross join lateral (
      select min(t.at) as at, (array_agg(distinct t.recipient) filter (where t.step in ('accepted', 'refused', 'placed', 'queued')))[1:3] as recipients,
        count(distinct t.recipient) as count, array_agg(distinct t.queue_id) as queue_ids
      from log.trace t where t.message = n.message) t
    left join lateral (
      select s.step from (
        (select o.at, o.step::text as step from log.trace o where o.message = n.message order by o.id desc limit 1)
        union all
        (select x.at, x.outcome from queue.attempt x where x.message_id = any (t.queue_ids) order by x.at desc, x.id desc limit 1)) s
      order by s.at desc limit 1) l on true);
end $$;

CREATE FUNCTION logic.finish_acme_order(wanted bigint, new_chain text, new_key text, host_names text[], inside text[], beginning timestamp with time zone, ending timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    AS $$
declare
  a control.acme_certificate;
  kept bigint;
begin
  perform set_config('mailwright.daemon', 'off', true);
  select * into a from control.acme_certificate x where x.id = wanted for update;
  -- Nobody wants it any more.
  if not found then return; end if;
  update control.certificate c set chain = new_chain, key = new_key, names = host_names, source = 'acme',
    own_names = inside, not_before = beginning, not_after = ending, error = null
  where c.id = a.certificate_id returning c.id into kept;
  if kept is null then
    -- The one that an earlier row had for the same names; it would be served instead.
    update control.certificate c set chain = new_chain, key = new_key, names = host_names, own_names = inside, not_before = beginning, not_after = ending, error = null
    where c.id = (select f.id from control.certificate f where f.source = 'acme' and f.names @> host_names and f.names <@ host_names
      and not exists (select 1 from control.acme_certificate o where o.certificate_id = f.id) order by f.active desc, f.id limit 1) returning c.id into kept;
  end if;
  if kept is null then
    insert into control.certificate (chain, key, names, source, own_names, not_before, not_after)
    values (new_chain, new_key, host_names, 'acme', inside, beginning, ending) returning id into kept;
  end if;
  -- The rest is for those who look, and no change of settings.
  perform set_config('mailwright.daemon', 'on', true);
  -- An authority whose certificates are always due must not be asked without end.
  update control.acme_certificate x set certificate_id = kept, renew_at = null, failures = 0, last_error = null, last_attempt_at = now(),
    next_attempt_at = case when x.names = host_names then now() + interval '1 minute' end where x.id = wanted;
  delete from control.acme_order o where o.acme_certificate_id = wanted;
end $$;

CREATE FUNCTION logic.finish_dkim_key(key bigint, private text, public text) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
  perform logic.as_a_person();
  update directory.dkim_key set state = 'ready', private_key = coalesce(private_key, private), public_key = public, error = null
  where id = key and state = 'making';
end $$;

CREATE FUNCTION logic.forward_targets(targets text[], only_ours boolean) RETURNS text[]
    LANGUAGE sql STABLE
    AS $_$
  select case when not only_ours then targets
    else array(select t from unnest(targets) t
      where exists (select 1 from directory.domain_name n where n.name = lower(substring(t from '[^@]*$')) and n.remote_id is null)) end
$_$;

CREATE FUNCTION logic.furnish_account() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare validity bigint := greatest(extract(epoch from now())::bigint, 1);
begin
  insert into store.usage (account_id, next_uid_validity) values (new.id, validity + 6);
  insert into store.mailbox (account_id, name, uid_validity, special_use)
  values (new.id, 'INBOX', validity, null), (new.id, 'Archive', validity + 1, '\Archive'), (new.id, 'Drafts', validity + 2, '\Drafts'),
    (new.id, 'Junk', validity + 3, '\Junk'), (new.id, 'Sent', validity + 4, '\Sent'), (new.id, 'Trash', validity + 5, '\Trash');
  insert into store.subscription (account_id, name)
  select new.id, name from unnest(array['INBOX', 'Archive', 'Drafts', 'Junk', 'Sent', 'Trash']) name;
  return null;
end $$;

CREATE FUNCTION logic.granted(who bigint) RETURNS TABLE(account_id bigint, mailbox_id bigint, rights text)
    LANGUAGE sql STABLE
    AS $$
  select e.account_id, e.mailbox_id, g.rights
  from (
    select a.account_id, a.mailbox_id from store.acl a where a.grantee_id = who
    union
    select a.account_id, a.mailbox_id from store.acl a
    where a.grantee_domain_id = (select domain_id from directory.account where id = who) and a.account_id <> who
  ) e
  cross join lateral (select logic.rights(e.account_id, e.mailbox_id, who) as rights) g
  where g.rights <> ''
$$;

CREATE FUNCTION logic.grantee(who text, owner bigint, OUT grantee_id bigint, OUT grantee_domain_id bigint) RETURNS record
    LANGUAGE sql STABLE
    AS $$
  select case when k.local <> '' then x.account_id end, case when k.local = '' then d.id end
  from (
    select case when lower(who) = 'anyone' then '' else lower(normalize(split_part(who, '@', 1), nfc)) end as local,
      lower(split_part(who, '@', 2)) as domain
  ) k
  join directory.domain d
    on d.name = k.domain or k.domain = '' and d.id = (select domain_id from directory.account where id = owner)
  left join directory.address x on x.domain_id = d.id and x.local_part = k.local
$$;

CREATE FUNCTION logic.guard_account() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  d directory.domain;
begin
  select * into d from directory.domain where id = new.domain_id;
  if new.quota_bytes is not null and (tg_op = 'INSERT' or new.quota_bytes is distinct from old.quota_bytes)
    and coalesce(d.quota_bytes, 0) > 0 and (new.quota_bytes = 0 or new.quota_bytes > d.quota_bytes) then
    raise exception 'the quota of an account of this domain is at most % bytes', d.quota_bytes using errcode = 'insufficient_privilege';
  end if;
  if new.max_message_bytes is not null and (tg_op = 'INSERT' or new.max_message_bytes is distinct from old.max_message_bytes)
    and new.max_message_bytes > d.max_message_bytes then
    raise exception 'the largest message of an account of this domain is at most % bytes', d.max_message_bytes using errcode = 'insufficient_privilege';
  end if;
  return new;
end $$;

CREATE FUNCTION logic.guard_domain() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  if (new.name, new.active, new.is_default, new.catch_all, new.max_accounts, new.quota_bytes, new.max_message_bytes, new.administrators_read_mail)
    is distinct from (old.name, old.active, old.is_default, old.catch_all, old.max_accounts, old.quota_bytes, old.max_message_bytes,
      old.administrators_read_mail) then
    raise exception 'only a system administrator may change the name and the limits of a domain' using errcode = 'insufficient_privilege';
  end if;
  return new;
end $$;

CREATE FUNCTION logic.guard_message() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    AS $_$
declare
  me bigint := logic.me();
  held text := logic.rights(case tg_op when 'INSERT' then new.account_id else old.account_id end,
    case tg_op when 'INSERT' then new.mailbox_id else old.mailbox_id end, me);
  needed text := '';
  missing text;
begin
  if tg_op = 'INSERT' then
    needed := 'i' || case when new.seen then 's' else '' end || case when new.deleted then 't' else '' end
      || case when new.answered or new.flagged or new.draft or new.keywords is not null then 'w' else '' end;
    if not exists (
      select 1 from store.message m join logic.allowed('r') r using (account_id, mailbox_id) where m.content_id = new.content_id) then
      raise exception 'you can read no message with content %', new.content_id using errcode = 'insufficient_privilege';
    end if;
    if exists (
      select 1 from logic.account a, store.content c
      where a.account_id = new.account_id and c.id = new.content_id and a.used_bytes + c.size > a.quota_bytes) then
      raise exception 'the quota of the account is used up: delete something first' using errcode = 'check_violation';
    end if;
  else
    needed := case when new.seen <> old.seen then 's' else '' end || case when new.deleted <> old.deleted then 't' else '' end
      || case when (new.answered, new.flagged, new.draft) <> (old.answered, old.flagged, old.draft)
          or new.keywords is distinct from old.keywords then 'w' else '' end;
    if new.mailbox_id <> old.mailbox_id then
      needed := needed || 'te';
      if position('i' in logic.rights(new.account_id, new.mailbox_id, me)) = 0 then
        raise exception 'this takes the right i on the mailbox that the message moves to' using errcode = 'insufficient_privilege';
      end if;
    end if;
  end if;
  missing := translate(needed, held, '');
  if missing <> '' then
    raise exception 'this takes the right % on the mailbox', missing using errcode = 'insufficient_privilege';
  end if;
  if cardinality(new.keywords) > 100
    or exists (select 1 from unnest(new.keywords) k where k is null or k !~ '^[!-~]{1,100}$' or k ~ '[][(){%*"\\]') then
    raise exception 'a keyword has up to 100 printable ASCII characters without spaces and ()[]{%%*"\' using errcode = 'check_violation';
  end if;
  return new;
end $_$;

CREATE FUNCTION logic.guard_own_account() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  if to_jsonb(new) - '{display_name,forward_to,forward_keep}'::text[] is distinct from to_jsonb(old) - '{display_name,forward_to,forward_keep}'::text[] then
    raise exception 'of your account you may change your name and the forwarding, nothing else' using errcode = 'insufficient_privilege';
  end if;
  if char_length(new.display_name) > 200 or new.display_name ~ '[[:cntrl:]]' then
    raise exception 'a name has at most 200 characters' using errcode = 'check_violation', column = 'display_name';
  end if;
  if (new.forward_to, new.forward_keep) is distinct from (old.forward_to, old.forward_keep)
    and not (select d.users_may_forward from directory.domain d where d.id = new.domain_id) then
    raise exception 'the administrator of your domain does not let users forward their mail' using errcode = 'insufficient_privilege';
  end if;
  return new;
end $$;

CREATE FUNCTION logic.has_room_for_mailbox(owner bigint) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    AS $$
  select (select count(*) from store.mailbox m where m.account_id = owner) < (select max_mailboxes from control.imap)
$$;

CREATE FUNCTION logic.has_room_for_subscription(owner bigint) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    AS $$
  select (select count(*) from store.subscription s where s.account_id = owner) < (select max_mailboxes from control.imap)
$$;

CREATE FUNCTION logic.has_room_for_value(owner bigint, box bigint, whose bigint, bytes integer) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    AS $$
  select bytes <= max_metadata_bytes and max_metadata_entries > (
    select count(*) from store.metadata m where m.account_id = owner and m.mailbox_id = box and m.user_id = whose)
  from control.imap
$$;

CREATE FUNCTION logic.hash_token() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
begin
  if new.token ~ '^sha256:[0-9a-f]{64}$' then return new; end if;
  if length(new.token) < 20 then
    raise exception 'a token has at least 20 characters, so that nobody guesses it' using errcode = 'check_violation', column = 'token';
  end if;
  new.token := 'sha256:' || encode(sha256(convert_to(new.token, 'UTF8')), 'hex');
  return new;
end $_$;

CREATE FUNCTION logic.hasten(name text, subdomains boolean) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
declare domains text[]; waiting bigint;
begin
  -- By destinations, which are fewer than recipients. What is being sent just now may have none, and needs no hurry.
  select array_agg(x.domain) into domains from queue.destination x
  where x.domain = name or subdomains and right(x.domain, length(name) + 1) = '.' || name;
  if domains is null then return 0; end if;
  perform logic.look_at_destinations(domains, array_fill(now(), array[cardinality(domains)]));
  update queue.destination set down_until = null where domain = any (domains);
  update queue.recipient set next_attempt_at = now()
  where state = 'waiting' and domain = any (domains) and attempts > 0 and next_attempt_at > now();
  select count(*) into waiting from queue.recipient where state = 'waiting' and domain = any (domains);
  perform pg_notify('queue', '');
  return waiting;
end $$;

CREATE FUNCTION logic.hide(row_value jsonb, secrets text[]) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
  select jsonb_object_agg(key, case when key = any(secrets) and value <> 'null' then '"(hidden)"'::jsonb else value end)
  from jsonb_each(row_value)
$$;

CREATE FUNCTION logic.identifier(grantee_id bigint, grantee_domain_id bigint, owner bigint) RETURNS text
    LANGUAGE sql STABLE
    AS $$
  select case
    when grantee_id is not null then (
      select a.local_part || '@' || d.name from directory.account a join directory.domain d on d.id = a.domain_id where a.id = grantee_id)
    when grantee_domain_id = (select domain_id from directory.account where id = owner) then 'anyone'
    else (select '@' || name from directory.domain where id = grantee_domain_id) end
$$;

CREATE FUNCTION logic.import_users(rows jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
declare state text; message text; hint text; con text; of_table text; of_schema text; col text;
begin
  return jsonb_build_object('made', logic.make_users(array(select e from jsonb_array_elements(rows) e)));
exception when integrity_constraint_violation or data_exception or raise_exception or insufficient_privilege then
  get stacked diagnostics state = returned_sqlstate, message = message_text, hint = pg_exception_hint, con = constraint_name,
    of_table = table_name, of_schema = schema_name, col = column_name;
  return jsonb_build_object('wrong', (
    select value from jsonb_each_text(logic.page_error('admin.account', state, message, hint, con, of_table, of_schema, col)) limit 1));
end $$;

CREATE FUNCTION logic.inherit_acl() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    AS $$
begin
  insert into store.acl (account_id, mailbox_id, grantee_id, grantee_domain_id, negative, rights)
  select a.account_id, new.id, a.grantee_id, a.grantee_domain_id, a.negative, a.rights
  from store.acl a
  where a.account_id = new.account_id and a.mailbox_id = (
    select m.id from store.mailbox m join directory.account o on o.id = m.account_id
    where m.account_id = new.account_id and m.id <> new.id
      and (starts_with(new.name, m.name || '/') or m.name = 'INBOX' and o.public)
    order by starts_with(new.name, m.name || '/') desc, length(m.name) desc limit 1)
  on conflict do nothing;
  return null;
end $$;

CREATE FUNCTION logic.keep_certificate(new_chain text, new_key text, host_names text[], inside text[], beginning timestamp with time zone, ending timestamp with time zone, from_source text, OUT id bigint, OUT is_new boolean) RETURNS record
    LANGUAGE plpgsql
    AS $$
declare
  wanted text[] := case when cardinality(host_names) > 0 then host_names else inside end;
begin
  is_new := false;
  update control.certificate c
  set chain = new_chain, key = new_key, names = host_names, own_names = inside, not_before = beginning, not_after = ending, error = null, active = true
  where c.id = (
    select f.id from control.certificate f
    cross join lateral (select case when cardinality(f.names) > 0 then f.names else coalesce(f.own_names, '{}') end as names) s
    where f.source = from_source and s.names @> wanted and s.names <@ wanted order by f.active desc, f.id limit 1)
  returning c.id into id;
  if id is null then
    is_new := true;
    insert into control.certificate as c (chain, key, names, own_names, not_before, not_after, source)
    values (new_chain, new_key, host_names, inside, beginning, ending, from_source) returning c.id into id;
  end if;
end $$;

CREATE FUNCTION logic.lacks(signature bytea, probes integer[], n integer) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
  select not (get_bit(signature, probes[n * 8 + 1] & (octet_length(signature) * 8 - 1)) = 1
    and get_bit(signature, probes[n * 8 + 2] & (octet_length(signature) * 8 - 1)) = 1
    and get_bit(signature, probes[n * 8 + 3] & (octet_length(signature) * 8 - 1)) = 1
    and get_bit(signature, probes[n * 8 + 4] & (octet_length(signature) * 8 - 1)) = 1
    and get_bit(signature, probes[n * 8 + 5] & (octet_length(signature) * 8 - 1)) = 1
    and get_bit(signature, probes[n * 8 + 6] & (octet_length(signature) * 8 - 1)) = 1
    and get_bit(signature, probes[n * 8 + 7] & (octet_length(signature) * 8 - 1)) = 1
    and get_bit(signature, probes[n * 8 + 8] & (octet_length(signature) * 8 - 1)) = 1)
$$;

CREATE FUNCTION logic.look_at_destinations(domains text[], times timestamp with time zone[]) RETURNS void
    LANGUAGE sql
    AS $$
  insert into queue.destination as x (domain, look_at)
  select d, min(t) from unnest(domains, times) as n (d, t) group by d order by d
  on conflict (domain) do update set look_at = least(x.look_at, excluded.look_at)
$$;

CREATE FUNCTION logic.mailbox_name(account bigint, mailbox bigint) RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select b.name from store.mailbox b
  where b.account_id = account and b.id = mailbox and (logic.web_sees() or logic.web_has_account(account))
$$;

CREATE FUNCTION logic.mailbox_view(session bytea, account bigint) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    AS $$
declare
  minutes integer := (select w.mailbox_view_minutes from control.web w);
  found jsonb;
begin
  if not logic.may_view_mailbox(account) then
    raise exception 'you may not look into this mailbox' using errcode = 'insufficient_privilege';
  end if;
  select jsonb_build_object('address', a.address, 'minutes', minutes, 'reason', v.reason, 'until', v.since + make_interval(mins => minutes)) into found
  from logic.account a
  left join live.web_session s on s.token_hash = session and s.login = current_setting('mailwright.actor', true) and not s.awaits_code
  left join live.mailbox_view v on v.session_id = s.id and v.account_id = a.account_id and v.since > now() - make_interval(mins => minutes)
  where a.account_id = mailbox_view.account;
  return found;
end $$;

CREATE FUNCTION logic.make_users(rows jsonb[]) RETURNS integer
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION logic.may_make(owner bigint, name text) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    AS $$
  select position('k' in logic.rights_above(owner, name, logic.me())) > 0
$$;

CREATE FUNCTION logic.may_send_as(account bigint, local text, domain text) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
  select coalesce(a.mail_from_policy, (select mail_from_policy from control.smtp)) = 'any'
    or coalesce(x.account_id = a.id, false)
    -- Aliases are followed to the end, as mail is.
    or x.alias_id is not null
      and exists (select 1 from logic.resolve(may_send_as.local, may_send_as.domain, true) r where r.kind = 'account' and r.account_id = a.id)
    or exists (select 1 from directory.sender_permission p where p.account_id = a.id
      and p.pattern in (may_send_as.local || '@' || may_send_as.domain, '*@' || may_send_as.domain))
  from directory.account a left join lateral logic.address_of(may_send_as.local, may_send_as.domain) x on true
  where a.id = may_send_as.account
$$;

CREATE FUNCTION logic.may_view_mailbox(account bigint) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    AS $$
  select case logic.web_kind()
    when 'system' then exists (select 1 from directory.account a where a.id = account)
    when 'domain' then exists (
      select 1 from directory.account a join directory.domain d on d.id = a.domain_id
      where a.id = account and d.id = logic.web_domain() and d.administrators_read_mail)
    else false end
$$;

CREATE FUNCTION logic.me() RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    AS $$
  select case when session_user = pg_get_userbyid(c.relowner) then nullif(current_setting('mailwright.account', true), '')::bigint
    else (
      select s.account_id from directory.sql_login s
      join directory.account a on a.id = s.account_id join directory.domain d on d.id = a.domain_id
      where s.role_name = session_user and a.active and d.active) end
  from pg_class c where c.oid = 'store.mailbox'::regclass
$$;

CREATE FUNCTION logic.mend_queue() RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
  perform logic.look_at_destinations(array_agg(w.domain), array_agg(now())) from (
    with recursive domains (domain) as (
      (select r.domain from queue.recipient r where r.state = 'waiting' order by r.domain limit 1)
      union all
      select (select r.domain from queue.recipient r where r.state = 'waiting' and r.domain > d.domain order by r.domain limit 1)
      from domains d where d.domain is not null
    )
    select domain from domains where domain is not null
  ) w where not exists (select 1 from queue.destination x where x.domain = w.domain)
  having count(*) > 0;
  with gone as (
    delete from queue.message m where m.received_at < now() - interval '1 hour'
      and not exists (select 1 from queue.recipient r where r.message_id = m.id) returning m.content_id
  )
  insert into store.orphan (content_id) select distinct content_id from gone on conflict do nothing;
end $$;

CREATE FUNCTION logic.message_facts(message text) RETURNS jsonb
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select jsonb_build_object('at', t.at, 'sender', t.sender, 'peer', host(t.peer), 'size', t.size, 'message_id', t.message_id, 'session_id', t.session_id)
  from log.trace t
  where t.message = message_facts.message and t.step in ('accepted', 'refused')
    and (logic.web_sees() or exists (select 1 from log.trace o where o.message = t.message and logic.web_has_trace(o.message, o.recipient, o.account_id)))
  order by t.step = 'accepted' desc, t.id limit 1
$$;

CREATE FUNCTION logic.message_head(message text, OUT prefix bytea, OUT header bytea) RETURNS record
    LANGUAGE sql STABLE
    AS $_$
  select coalesce(k.prefix, ''), c.header
  from (
    (select m.prefix, m.content_id from log.trace t
     join store.message m on m.account_id = t.account_id and m.mailbox_id = t.mailbox_id and m.uid = t.uid
     where t.message = message_head.message and t.step = 'placed' limit 1)
    union all
    (select m.prefix, m.content_id from log.trace t join queue.message m on m.id = t.queue_id where t.message = message_head.message limit 1)
    union all
    (select m.prefix, m.content_id from queue.message m where message_head.message = 'queue-' || m.id
      and m.id = nullif(substring(message_head.message from '^queue-([0-9]{1,18})$'), '')::bigint)
    union all
    (select null, a.content_id from log.trace t join queue.attempt a on a.message_id = t.queue_id where t.message = message_head.message limit 1)
  ) k join store.content c on c.id = k.content_id limit 1
$_$;

CREATE FUNCTION logic.message_header(message text) RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select encode(substring(h.prefix || h.header from 1 for 65536), 'base64') from logic.message_head(message) h where logic.web_changes()
$$;

CREATE FUNCTION logic.message_story(message text) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    AS $_$
declare
  queued bigint[];
  steps jsonb;
  waiting jsonb;
begin
  perform logic.must_see_page('find');
  queued := array(
    select distinct t.queue_id from log.trace t where t.message = message_story.message and t.queue_id is not null
    union select nullif(substring(message_story.message from '^queue-([0-9]{1,18})$'), '')::bigint);
  select jsonb_agg(to_jsonb(s) order by s.at, s.place) into steps from (
    select t.at, t.id as place, t.step::text as step, t.command, t.recipient, t.reply, host(t.peer) as peer, null::text as host, null::text as tls,
      null::integer as attempt, null::integer as milliseconds, a.local_part || '@' || d.name as account, logic.mailbox_name(t.account_id, t.mailbox_id) as mailbox, t.uid, t.node
    from log.trace t left join directory.account a on a.id = t.account_id left join directory.domain d on d.id = a.domain_id
    where t.message = message_story.message and (t.step::text <> 'cancelled' or not exists (
      select 1 from queue.attempt x where x.message_id = t.queue_id and x.recipient = t.recipient and x.outcome = 'cancelled'))
    union all
    select x.at, null, x.outcome, null, x.recipient, x.reply, host(x.address), x.host, x.tls, x.attempt, x.milliseconds, null, null, null, x.node
    from queue.attempt x where x.message_id = any (queued)
    order by 1, 2 limit 1000
  ) s;
  select jsonb_agg(jsonb_build_object('id', r.id, 'address', r.address, 'state', r.state, 'attempts', r.attempts,
    'next_attempt_at', case when r.state = 'waiting' then r.next_attempt_at end, 'last_reply', r.last_reply) order by r.id) into waiting
  from (select * from queue.recipient r where r.message_id = any (queued) order by r.id limit 1000) r;
  if steps is null and waiting is null then
    return null;
  end if;
  return jsonb_build_object('facts', coalesce(logic.message_facts(message), '{}'), 'steps', coalesce(steps, '[]'), 'waiting', coalesce(waiting, '[]'),
    'verdict', logic.message_verdict(message), 'header', logic.message_header(message));
end $_$;

CREATE FUNCTION logic.message_verdict(message text) RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select btrim(regexp_replace((regexp_match(encode(h.prefix, 'escape'),
    '(?:^|\n)Authentication-Results:((?:[^\n]|\n[ \t])*)', 'i'))[1], '\s+', ' ', 'g'))
  from logic.message_head(message) h where logic.web_sees()
$$;

CREATE FUNCTION logic.mirror_account() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  if tg_op = 'INSERT' then
    insert into directory.address (domain_id, local_part, account_id) values (new.domain_id, new.local_part, new.id);
  else
    update directory.address set domain_id = new.domain_id, local_part = new.local_part where account_id = new.id;
  end if;
  return null;
end $$;

CREATE FUNCTION logic.mirror_alias() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  if tg_op = 'INSERT' then
    insert into directory.address (domain_id, local_part, alias_id) values (new.domain_id, new.local_part, new.id);
  else
    update directory.address set domain_id = new.domain_id, local_part = new.local_part where alias_id = new.id;
  end if;
  return null;
end $$;

CREATE FUNCTION logic.mirror_domain() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  if tg_op = 'UPDATE' then
    update directory.domain_name set name = new.name
    where case tg_table_name when 'domain' then domain_id when 'domain_alias' then alias_id else remote_id end = new.id;
  else
    insert into directory.domain_name (name, domain_id, alias_id, remote_id) values (new.name,
      case when tg_table_name = 'domain' then new.id end,
      case when tg_table_name = 'domain_alias' then new.id end,
      case when tg_table_name = 'remote_domain' then new.id end);
  end if;
  return null;
end $$;

CREATE FUNCTION logic.must_see_page(page text) RETURNS void
    LANGUAGE plpgsql STABLE
    AS $$
begin
  if not logic.page_is_seen(page) then
    raise exception 'you may not see the page %', page using errcode = 'insufficient_privilege';
  end if;
end $$;

CREATE FUNCTION logic.normalise_acme_names() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare bad text;
begin
  select coalesce(array_agg(n.name order by n.first), '{}') into new.names
  from (select rtrim(lower(btrim(t.name)), '.') as name, min(t.place) as first from unnest(new.names) with ordinality t(name, place) group by 1) n;
  select n into bad from unnest(new.names) n
  where n is null or length(n) > 253 or n !~ '^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$' or n ~ '^[0-9.]+$' limit 1;
  if found then
    raise exception '%', case
      when bad is null then 'a host name is missing'
      when bad like '*.%' then format('"%s" is a wildcard: an authority gives those only for proof in the DNS, which is not supported; name the hosts', bad)
      else format('"%s" is no full host name; international names are written as xn--…', bad) end using errcode = 'check_violation';
  end if;
  return new;
end $_$;

CREATE FUNCTION logic.normalise_alias() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  new.local_part := lower(normalize(new.local_part, nfc));
  perform logic.check_addresses(new.targets, 'an alias');
  return new;
end $$;

CREATE FUNCTION logic.normalise_domain() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  new.name := lower(rtrim(btrim(new.name), '.'));
  new.catch_all := lower(btrim(new.catch_all));
  return new;
end $$;

CREATE FUNCTION logic.normalise_domain_alias() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  new.name := lower(rtrim(btrim(new.name), '.'));
  return new;
end $$;

CREATE FUNCTION logic.normalise_local_part() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  new.local_part := lower(normalize(new.local_part, nfc));
  return new;
end $$;

CREATE FUNCTION logic.normalise_permission() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  new.pattern := lower(normalize(btrim(new.pattern), nfc));
  return new;
end $$;

CREATE FUNCTION logic.normalise_rbl() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  new.zone := lower(rtrim(btrim(new.zone), '.'));
  return new;
end $$;

CREATE FUNCTION logic.normalise_remote_domain() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  new.name := lower(rtrim(btrim(new.name), '.'));
  new.address := lower(btrim(new.address));
  new.host := nullif(lower(rtrim(btrim(new.host), '.')), '');
  return new;
end $$;

CREATE FUNCTION logic.normalise_route() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  new.pattern := lower(rtrim(btrim(new.pattern), '.'));
  new.host := lower(rtrim(btrim(new.host), '.'));
  return new;
end $$;

CREATE FUNCTION logic.normalise_traffic_rule() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  new.pattern := lower(btrim(new.pattern));
  return new;
end $$;

CREATE FUNCTION logic.note_view(account bigint, what jsonb) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    AS $$
  insert into log.audit (actor, peer, path, table_name, action, key, new)
  values (current_setting('mailwright.actor', true), current_setting('mailwright.peer', true), current_setting('application_name'), 'directory.account',
    'view', jsonb_build_object('id', account), what)
$$;

CREATE TABLE store.mailbox (
    account_id bigint NOT NULL,
    id bigint NOT NULL,
    name text NOT NULL COLLATE pg_catalog."C",
    uid_validity bigint NOT NULL,
    uid_next bigint DEFAULT 1 NOT NULL,
    recent_uid bigint DEFAULT 1 NOT NULL,
    highest_modseq bigint DEFAULT 1 NOT NULL,
    pruned_modseq bigint DEFAULT 0 NOT NULL,
    special_use text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    forgotten_modseq bigint DEFAULT 0 NOT NULL,
    CONSTRAINT "a mailbox name has 1 to 1000 bytes and no empty level" CHECK ((((octet_length(name) >= 1) AND (octet_length(name) <= 1000)) AND (name !~ '[[:cntrl:]]'::text) AND (name !~ '^/|/$|//'::text))),
    CONSTRAINT "this is no special use of RFC 6154 or RFC 8457" CHECK ((special_use = ANY (ARRAY['\All'::text, '\Archive'::text, '\Drafts'::text, '\Flagged'::text, '\Junk'::text, '\Sent'::text, '\Trash'::text, '\Important'::text]))),
    CONSTRAINT "uid_validity is from 1 to 4294967295" CHECK (((uid_validity >= 1) AND (uid_validity <= '4294967295'::bigint)))
)
WITH (fillfactor='40');

COMMENT ON TABLE store.mailbox IS 'Mailboxes (folders) of the accounts; levels are separated by /';

COMMENT ON COLUMN store.mailbox.account_id IS 'The owner';

COMMENT ON COLUMN store.mailbox.id IS 'Number of the mailbox: MAILBOXID of IMAP (RFC 8474) is made of it';

COMMENT ON COLUMN store.mailbox.name IS 'Full name, INBOX in capitals, levels separated by /';

COMMENT ON COLUMN store.mailbox.uid_validity IS 'UIDVALIDITY (RFC 9051, 2.3.1.1): never used twice within an account';

COMMENT ON COLUMN store.mailbox.uid_next IS 'UID of the next message';

COMMENT ON COLUMN store.mailbox.recent_uid IS 'Messages from this UID on have not been shown to any session yet (\Recent)';

COMMENT ON COLUMN store.mailbox.highest_modseq IS 'Number of the last change in this mailbox (RFC 7162)';

COMMENT ON COLUMN store.mailbox.pruned_modseq IS 'Changes and deletions up to this number are no longer listed one by one';

COMMENT ON COLUMN store.mailbox.special_use IS 'What the mailbox is for (RFC 6154)';

COMMENT ON COLUMN store.mailbox.created_at IS 'When the mailbox was made';

COMMENT ON COLUMN store.mailbox.forgotten_modseq IS 'Deletions up to this number are no longer in store.expunged: clients that know less are told of all that is missing (RFC 7162)';

CREATE FUNCTION logic.number_mailbox(owner bigint, box bigint, uids integer) RETURNS store.mailbox
    LANGUAGE plpgsql
    AS $$
declare m store.mailbox;
begin
  update store.mailbox set uid_next = uid_next + uids, highest_modseq = highest_modseq + 1
  where account_id = owner and id = box returning * into m;
  if not found then
    raise exception 'account % has no mailbox %', owner, box using errcode = 'foreign_key_violation';
  end if;
  perform logic.ring_mailbox(owner, box);
  return m;
end $$;

CREATE FUNCTION logic.open_mailbox_view(session bytea, account bigint, why text) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    AS $$
declare
  s bigint;
  con text;
begin
  if not logic.may_view_mailbox(account) then
    raise exception 'you may not look into this mailbox' using errcode = 'insufficient_privilege';
  end if;
  select id into s from live.web_session w
  where w.token_hash = session and w.login = current_setting('mailwright.actor', true) and not w.awaits_code;
  insert into live.mailbox_view (session_id, account_id, reason) values (s, account, btrim(why))
  on conflict (session_id, account_id) do update set reason = excluded.reason, since = now();
  perform logic.note_view(account, jsonb_build_object('reason', btrim(why)));
  return '{}';
exception when check_violation then
  get stacked diagnostics con = constraint_name;
  return jsonb_build_object('wrong', con);
end $$;

CREATE FUNCTION logic.ordered_rights(letters text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
  select coalesce(string_agg(letter, '' order by place), '')
  from string_to_table('l r s w i p k x t e n a', ' ') with ordinality known (letter, place)
  where position(letter in translate(letters, 'c', 'k')) > 0 or letter in ('x', 't', 'e') and position('d' in letters) > 0
$$;

CREATE FUNCTION logic.overview(asked text) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    AS $$
#variable_conflict use_column
declare
  t record := logic.overview_times(asked);
  -- How slow others are now: the last hour, or since yesterday.
  coarse text := case t.grain when 'minute' then 'hour' else 'day' end;
  last_day date;
begin
  if not logic.web_sees() then
    raise exception 'you may not see the overview of the whole server' using errcode = 'insufficient_privilege';
  end if;
  select max(s.day) into last_day from log.domain_storage s;
  return jsonb_build_object(
    'pages', logic.pages(),
    'from', extract(epoch from t.since), 'step', extract(epoch from t.step), 'steps', t.steps, 'now', extract(epoch from now()),
    'traffic', (select coalesce(jsonb_agg(jsonb_build_array(extract(epoch from x.at), x.step, x.count, x.messages, x.bytes)), '[]') from (
      select at, step, sum(count) as count, sum(messages) as messages, sum(bytes) as bytes from log.mail_count
      where span = t.grain and at >= t.since group by at, step) x),
    'gauges', (select coalesce(jsonb_agg(jsonb_build_array(extract(epoch from at), name, value)), '[]') from log.gauge
      where span = t.grain and at >= t.since),
    'queue', (select to_jsonb(q) from logic.queue_now() q),
    -- Deliveries, to mailboxes here and to other servers, in a second of the last minute and the present one.
    'per_second', (select coalesce(sum(count), 0) / (60 + extract(epoch from now() - date_trunc('minute', now(), 'UTC'))) from log.mail_count
      where span = 'minute' and at >= date_trunc('minute', now(), 'UTC') - interval '1 minute' and step in ('placed', 'delivered')),
    'sessions', (select coalesce(jsonb_agg(jsonb_build_array(service, count) order by service), '[]') from (
      select service, count(*) as count from live.session group by service) x),
    'services', (select jsonb_object_agg(name, enabled) from control.service),
    'failed', (select coalesce(jsonb_agg(node || ': ' || service || ': ' || coalesce(error, state) order by node, service), '[]')
      from live.service_status where state = 'failed'),
    'storage', (select coalesce(jsonb_agg(jsonb_build_array(x.domain_id, coalesce(d.name, '(removed)'), x.bytes) order by x.bytes desc), '[]') from (
      select domain_id, bytes from log.domain_storage where day = last_day and bytes > 0 order by bytes desc limit 10) x
      left join directory.domain d on d.id = x.domain_id),
    'stored', (select jsonb_build_array(coalesce(sum(bytes), 0), coalesce(sum(messages), 0), coalesce(sum(accounts), 0)) from log.domain_storage
      where day = last_day),
    'destinations', (select coalesce(jsonb_agg(jsonb_build_array(x.domain, x.mean) order by x.mean desc), '[]') from (
      select domain, sum(milliseconds) / sum(attempts) / 1000.0 as mean from log.destination_count
      where span = coarse and at >= date_trunc(coarse, now() - ('1 ' || coarse)::interval, 'UTC') group by domain order by 2 desc limit 10) x),
    'certificates', (select coalesce(jsonb_agg(jsonb_build_array(x.id, array_to_string(x.names, ', '), extract(epoch from x.not_after), x.error)
      order by x.not_after), '[]') from (
      select id, coalesce(nullif(own_names, '{}'), names) as names, not_after, error from control.certificate where active order by not_after limit 10) x),
    'dns', (select jsonb_build_object('checked', count(*), 'missing', count(*) filter (where state = 'missing' and need <> 'optional'),
        'differs', count(*) filter (where state = 'differs' and need <> 'optional'), 'unknown', count(*) filter (where state = 'unknown' and need <> 'optional'))
      from directory.dns_record),
    'missing', (select coalesce(jsonb_agg(jsonb_build_array(x.domain_id, x.place, x.name, x.type, x.content)), '[]') from (
      select domain_id, place, name, type, content from directory.dns_record
      where state = 'missing' and need <> 'optional' order by need, domain_id, place limit 10) x),
    'begun', jsonb_build_object(
      'hostname', exists (select from control.server where hostname is not null),
      'domain', exists (select from directory.domain),
      'account', exists (select from directory.account),
      'dns', exists (select from directory.dns_record) and not exists (select from directory.dns_record where need <> 'optional' and state <> 'ok'),
      'mail', exists (select from log.mail_count)));
end $$;

CREATE FUNCTION logic.overview_of_domain() RETURNS jsonb
    LANGUAGE plpgsql STABLE
    AS $$
#variable_conflict use_column
declare
  t record := logic.overview_times('month');
  own bigint := logic.web_domain();
begin
  if own is null then
    raise exception 'you do not manage a domain any more' using errcode = 'insufficient_privilege';
  end if;
  return jsonb_build_object(
    'pages', logic.pages(), 'domain', (select name from directory.domain where id = own),
    'from', extract(epoch from t.since), 'step', extract(epoch from t.step), 'steps', t.steps, 'now', extract(epoch from now()),
    -- By their keys for each day, whatever number of other domains there is.
    'traffic', (select coalesce(jsonb_agg(jsonb_build_array(extract(epoch from p.at), x.step, x.count, x.count, x.bytes)), '[]')
      from generate_series(t.since, now(), t.step) p (at) cross join lateral (
        select c.step, sum(c.count) as count, sum(c.bytes) as bytes from log.domain_count c
        where c.day = (p.at at time zone 'UTC')::date and c.domain_id = own group by c.step) x),
    'growth', (select coalesce(jsonb_agg(jsonb_build_array(extract(epoch from p.at), x.bytes)), '[]')
      from generate_series(t.since, now(), t.step) p (at) cross join lateral (
        select s.bytes from log.domain_storage s where s.day = (p.at at time zone 'UTC')::date and s.domain_id = own) x),
    'stored', (select jsonb_build_array(s.bytes, s.messages) from log.domain_storage s
      where s.domain_id = own and s.day >= (now() at time zone 'UTC')::date - 1 order by s.day desc limit 1),
    'accounts', (select count(*) from directory.account where domain_id = own),
    'sessions', (select coalesce(jsonb_agg(jsonb_build_array(service, count) order by service), '[]') from logic.sessions_of_domain()),
    'dns', (select jsonb_build_object('checked', count(*), 'missing', count(*) filter (where state = 'missing' and need <> 'optional'),
        'differs', count(*) filter (where state = 'differs' and need <> 'optional'), 'unknown', count(*) filter (where state = 'unknown' and need <> 'optional'))
      from directory.dns_record where domain_id = own));
end $$;

CREATE FUNCTION logic.overview_times(asked text, OUT grain text, OUT since timestamp with time zone, OUT step interval, OUT steps integer) RETURNS record
    LANGUAGE sql STABLE
    AS $$
  select g, date_trunc(g, now(), 'UTC') - (n - 1) * s, s, n
  from (select case asked when 'hour' then 'minute' when 'day' then 'hour' else 'day' end) x (g)
  cross join lateral (select ('1 ' || g)::interval, case g when 'minute' then 60 when 'hour' then 24 else 30 end) y (s, n)
$$;

CREATE FUNCTION logic.own_address() RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    AS $$
  select a.address from logic.account a where a.account_id = logic.web_account()
$$;

CREATE FUNCTION logic.own_aliases() RETURNS TABLE(id bigint, address text, active boolean)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    AS $$
  select a.id, a.local_part || '@' || d.name, a.active and d.active
  from directory.alias a join directory.domain d on d.id = a.domain_id
  where exists (select 1 from unnest(a.targets) t where lower(t) = logic.own_address())
$$;

CREATE FUNCTION logic.own_quota() RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    AS $$
  select a.quota_bytes from logic.account a where a.account_id = logic.web_account()
$$;

CREATE FUNCTION logic.own_views() RETURNS TABLE(id bigint, at timestamp with time zone, actor text, reason text, mailbox text, uid bigint)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    AS $$
  select a.id, a.at, a.actor, a.new ->> 'reason', a.new ->> 'mailbox', (a.new ->> 'uid')::bigint from log.audit a
  where a.table_name = 'directory.account' and a.key = jsonb_build_object('id', logic.web_account()) and a.action = 'view'
$$;

CREATE FUNCTION logic.owners() RETURNS bigint[]
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    AS $$
  select array(select logic.me() union select g.account_id from logic.granted(logic.me()) g)
$$;

CREATE FUNCTION logic.page(page text) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    AS $_$
declare
  v regclass := logic.page_view(page);
  key text[] := logic.page_key(v);
  rights integer := logic.page_rights(v);
  p logic.page;
begin
  perform logic.must_see_page(page);
  select * into p from logic.page x where x.name = page;
  return jsonb_build_object(
    'name', page, 'title', p.title, 'help', p.help, 'menu', p.menu,
    'key', key, 'one_row', key = array['only_row'],
    'may_change', rights & 4 <> 0, 'may_make', rights & 8 <> 0 and key <> array['only_row'], 'may_remove', rights & 16 <> 0 and key <> array['only_row'],
    'columns', (select jsonb_agg(to_jsonb(k) || jsonb_build_object('label', logic.page_title(regexp_replace(k.name, '_id$', '')),
      'filter', logic.page_filter(k.kind, k.type, k.indexed), 'leads', logic.page_leads(page, k.name))) from logic.page_columns(v) k
      where k.name <> 'only_row'),
    'actions', coalesce((
      select jsonb_agg(jsonb_build_object('name', f.proname, 'label', regexp_replace(words, '[!:].*$', ''), 'grave', words ~ '^[^:]*!',
        'warning', nullif(substring(words from ': ?(.*)$'), '')) order by f.oid)
      from pg_proc f cross join lateral (select coalesce(obj_description(f.oid), f.proname) as words) w
      where f.pronamespace = 'admin'::regnamespace and f.pronargs = 1 and logic.web_kind() <> 'auditor'
        and f.proargtypes[0] = (select c.reltype from pg_class c where c.oid = v)), '[]'),
    -- The one row that there is for who looks.
    'sole', case when page = 'my_account' then jsonb_build_object('id', logic.web_account()) end,
    -- Pages of the daemon about a row; its key comes behind the address.
    'links', case when page = 'account' and (logic.web_kind() = 'system' or logic.web_kind() = 'domain' and exists (
        select 1 from directory.domain d where d.id = logic.web_domain() and d.administrators_read_mail))
      then '[["Look into the mailbox (a reason is asked for)", "/admin/mailbox/"]]'::jsonb else '[]' end,
    'children', coalesce((
      select jsonb_agg(jsonb_build_object('page', ch.name, 'title', ch.title, 'column', a.attname) order by ch.place)
      from pg_constraint k join logic.page ch on ch.of_table = k.conrelid and logic.web_kind() = any(ch.kinds)
      join pg_attribute a on a.attrelid = k.conrelid and a.attnum = k.conkey[1]
      where k.contype = 'f' and k.confrelid = p.of_table and cardinality(k.conkey) = 1), '[]'));
end $_$;

CREATE FUNCTION logic.page_act(page text, action text, keys jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
declare
  v regclass := logic.page_view(page);
  f text;
  key jsonb;
  said text;
  words text[] := '{}';
  touched bigint;
  state text; message text; hint text; con text; of_table text; of_schema text; col text;
begin
  perform logic.must_see_page(page);
  if action is null then
    if logic.page_rights(v) & 16 = 0 then
      return jsonb_build_object('wrong', 'you may not remove anything here');
    end if;
  else
    select p.oid::regproc::text into f from pg_proc p
    where p.pronamespace = 'admin'::regnamespace and p.proname = action and p.pronargs = 1 and p.proargtypes[0] = (select c.reltype from pg_class c where c.oid = v);
    if f is null or logic.web_kind() = 'auditor' then
      return jsonb_build_object('wrong', 'you may not do this here');
    end if;
  end if;
  begin
    for key in select value from jsonb_array_elements(keys) loop
      if action is null then
        execute format('delete from %s v where %s', v, logic.page_match(v)) using key;
        get diagnostics touched = row_count;
        said := case when touched > 0 then 'removed' end;
      else
        said := null;
        execute format('select %s(v) from %s v where %s', f, v, logic.page_match(v)) into said using key;
      end if;
      words := words || coalesce(said, 'there is no such row any more, or you may not do this to it');
    end loop;
    set constraints all immediate;
    set constraints all deferred;
  exception when integrity_constraint_violation or data_exception or raise_exception or insufficient_privilege or no_data_found then
    get stacked diagnostics state = returned_sqlstate, message = message_text, hint = pg_exception_hint, con = constraint_name, of_table = table_name,
      of_schema = schema_name, col = column_name;
    return jsonb_build_object('wrong', (select value from jsonb_each_text(logic.page_error(v, state, message, hint, con, of_table, of_schema, col)) limit 1));
  end;
  return jsonb_build_object('said', (select jsonb_agg(jsonb_build_array(w, n)) from (select w, count(*) as n from unnest(words) w group by w) x));
end $$;

CREATE FUNCTION logic.page_columns(v regclass) RETURNS TABLE(name text, help text, type text, kind text, required boolean, nullable boolean, writable boolean, is_key boolean, refers text, options text[], preset text, stored boolean, indexed boolean)
    LANGUAGE plpgsql STABLE
    AS $$
declare key text[] := logic.page_key(v);
begin
  return query select a.attname::text, col_description(v, a.attnum), format_type(a.atttypid, a.atttypmod),
    case
      when f.page is not null then 'reference'
      when a.atttypid = 'control.password'::regtype then 'password'
      when a.atttypid = 'control.secret'::regtype then 'secret'
      when a.atttypid = 'control.query'::regtype then 'query'
      when base.typtype = 'e' then 'choice'
      when base.typcategory = 'A' then 'lines'
      when base.oid = 'boolean'::regtype then 'yes or no'
      when base.typcategory = 'N' then 'number'
      when base.oid = 'timestamptz'::regtype then 'time'
      when base.oid in ('jsonb'::regtype, 'json'::regtype) then 'document'
      when a.attname in ('chain', 'body', 'comment', 'text', 'rules', 'description') then 'long text'
      else 'text' end,
    coalesce(b.attnotnull and not b.atthasdef and b.attidentity = '', false), not coalesce(b.attnotnull, false),
    coalesce(b.attidentity = '' and b.attgenerated = '' and a.attname not in ('created_at', 'only_row', 'own_names', 'not_before', 'not_after', 'error', 'last_error')
      and (pg_column_is_updatable(v, a.attnum, true)), a.atttypid in ('control.secret'::regtype, 'control.password'::regtype)),
    a.attname = any(key),
    f.page,
    case when base.typtype = 'e' then array(select e.enumlabel::text from pg_enum e where e.enumtypid = base.oid order by e.enumsortorder) end,
    pg_get_expr(d.adbin, d.adrelid), b.attnum is not null,
    a.attname <> all (key) and b.atttypid = a.atttypid and exists (select 1 from pg_index i where i.indrelid = b.attrelid and i.indkey[0] = b.attnum)
  from pg_class c
  join logic.page p on p.name = c.relname
  join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  join pg_type t on t.oid = a.atttypid
  join pg_type base on base.oid = case when t.typtype = 'd' then t.typbasetype else t.oid end
  left join pg_attribute b on b.attrelid = p.of_table and b.attname = a.attname and not b.attisdropped
  left join pg_attrdef d on d.adrelid = b.attrelid and d.adnum = b.attnum
  left join lateral (
    select r.name as page from pg_constraint k join logic.page r on r.of_table = k.confrelid
    where k.contype = 'f' and k.conrelid = p.of_table and k.conkey = array[b.attnum] order by r.place limit 1) f on true
  where c.oid = v
  order by a.attnum;
end $$;

CREATE FUNCTION logic.page_condition(filter text, value text, name text, type text, kind text, options text[]) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $_$
  select format(case
      when kind = 'choice' and value <> all (options) then ' and false'
      when filter like 'from.%' then ' and v.%1$I >= ($2 ->> %2$L)::%3$s'
      when filter like 'until.%' then ' and v.%1$I < ($2 ->> %2$L)::%3$s'
      when kind = 'choice' or type = 'bigint' and value ~ '^-?[0-9]{1,18}$' or type = 'integer' and value ~ '^-?[0-9]{1,9}$' then ' and v.%1$I = ($2 ->> %2$L)::%3$s'
      else ' and v.%1$I::text = $2 ->> %2$L' end, name, filter, type)
$_$;

CREATE FUNCTION logic.page_error(v regclass, state text, message text, hint text, con text, of_table text, of_schema text, col text) RETURNS jsonb
    LANGUAGE sql STABLE
    AS $$
  select jsonb_build_object(
    coalesce((select k.name from logic.page_columns(v) k where k.name = coalesce(nullif(col, ''), (
      select a.attname from pg_constraint c join pg_class t on t.oid = c.conrelid and t.relname = of_table and t.relnamespace::regnamespace::text = of_schema
      join pg_attribute a on a.attrelid = c.conrelid and a.attnum = any(c.conkey)
      join logic.page_columns(v) w on w.name = a.attname and w.writable
      where c.conname = con order by array_position(c.conkey, a.attnum) desc limit 1))), ''),
    case
      when con like '% %' then con
      when state = '23502' then 'this must be filled in'
      when state = '23505' then 'there is one with this value already'
      when state = '23503' then case when message like '%is still referenced%' or message like 'update or delete%'
        then 'this is still used: ' || of_schema || '.' || of_table || ' refers to it' else 'there is no such row' end
      when state = '42501' and message like '%row-level security%' then 'you may not do this here'
      else message || coalesce('. ' || nullif(hint, ''), '') end)
$$;

CREATE FUNCTION logic.page_filter(kind text, type text, indexed boolean) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$
  select case
    when type = 'log.level' then 'least'
    when kind in ('choice', 'yes or no', 'reference', 'time') then kind
    when kind in ('text', 'number') and indexed then 'exact' end
$$;

CREATE FUNCTION logic.page_form(page text, key jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    AS $$
declare
  shown jsonb := logic.page(page);
  options jsonb := '{}';
  found jsonb := case when key is not null then logic.page_row(page, key) end;
  c record;
begin
  for c in select k.name, k.refers from logic.page_columns(logic.page_view(page)) k where k.refers is not null and k.writable loop
    options := options || jsonb_build_object(c.name, logic.page_options(c.refers)
      || case when found -> 'row' ->> c.name is null then '[]' else logic.page_labels(c.refers, array[found -> 'row' ->> c.name]) end);
  end loop;
  return jsonb_build_object('page', shown, 'menu', logic.pages(), 'options', options,
    'history', case when key is null then '[]' else logic.page_history(page, key) end) || coalesce(found, '{}');
end $$;

CREATE FUNCTION logic.page_found_by(v regclass, pattern text, has_address boolean) RETURNS text
    LANGUAGE plpgsql STABLE
    AS $_$
declare
  alternatives text := case when has_address and logic.page_has_addresses(v)
    then ' or v.local_part like $4 and v.domain_id = any (array(select d.id from admin.domain d where d.name ilike $5))' else '' end;
  c record;
  of_page regclass;
  keys text;
begin
  for c in select k.name, k.type, k.refers from logic.page_columns(v) k where k.refers is not null loop
    of_page := logic.page_view(c.refers);
    execute format('select array(select x.%I from %s x where %s ilike $1 limit 1000)::text', (logic.page_key(of_page))[1], of_page,
      logic.page_label_column(of_page)) into keys using pattern;
    if keys <> '{}' then
      alternatives := alternatives || format(' or v.%I = any (%L::%s[])', c.name, keys, c.type);
    end if;
  end loop;
  return alternatives;
end $_$;

CREATE FUNCTION logic.page_has_addresses(v regclass) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
  select count(*) = 2 from pg_attribute a where a.attrelid = v and a.attname in ('local_part', 'domain_id') and not a.attisdropped
$$;

CREATE FUNCTION logic.page_history(page text, key jsonb) RETURNS jsonb
    LANGUAGE sql STABLE
    AS $$
  select coalesce(jsonb_agg(to_jsonb(h) order by h.id desc), '[]') from (
    select a.id, a.at, a.actor, a.peer, a.path, a.action, a.undoes,
      (select jsonb_agg(jsonb_build_array(k, a.old -> k, a.new -> k) order by k) from (
        select jsonb_object_keys(coalesce(a.old, '{}') || coalesce(a.new, '{}')) as k) x
       where a.action = 'update' and a.old -> k is distinct from a.new -> k) as changes
    from logic.page p cross join lateral unnest(logic.audit_ids(p.of_table::text, page_history.key)) i (id) join log.audit a on a.id = i.id
    where p.name = page
    order by a.id desc limit 100) h
$$;

CREATE FUNCTION logic.page_is_seen(page text) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
  select coalesce((select logic.web_kind() = any(p.kinds) from logic.page p where p.name = page), false)
$$;

CREATE FUNCTION logic.page_key(v regclass) RETURNS text[]
    LANGUAGE sql STABLE
    AS $$
  select array_agg(a.attname::text order by k.nth)
  from pg_class c join logic.page p on p.name = c.relname
  join pg_index i on i.indrelid = p.of_table and i.indisprimary
  cross join unnest(i.indkey) with ordinality as k (attnum, nth)
  join pg_attribute a on a.attrelid = p.of_table and a.attnum = k.attnum
  where c.oid = v
$$;

CREATE FUNCTION logic.page_keyed(page text, keys jsonb) RETURNS jsonb
    LANGUAGE sql STABLE
    AS $$
  select coalesce(jsonb_agg(r.found -> 'row' order by k.nth), '[]')
  from jsonb_array_elements(keys) with ordinality k (key, nth)
  cross join lateral (select logic.page_row(page, k.key) as found) r where r.found is not null
$$;

CREATE FUNCTION logic.page_label(v regclass) RETURNS text
    LANGUAGE sql STABLE
    AS $$
  select case when logic.page_has_addresses(v) then 'local_part || ''@'' || (select d.name from admin.domain d where d.id = domain_id)'
    else logic.page_label_column(v) end
$$;

CREATE FUNCTION logic.page_label_column(v regclass) RETURNS text
    LANGUAGE sql STABLE
    AS $$
  select coalesce((
    select quote_ident(a.attname) from pg_attribute a
    where a.attrelid = v and a.attname in ('name', 'address', 'local_part', 'pattern', 'domain') and not a.attisdropped
    order by array_position(array['name', 'address', 'local_part', 'pattern', 'domain'], a.attname::text) limit 1),
    (select format('(%I)::text', k) from unnest(logic.page_key(v)) k limit 1))
$$;

CREATE FUNCTION logic.page_labels(page text, ids text[]) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    AS $_$
declare
  v regclass := logic.page_view(page);
  key record;
  found jsonb;
begin
  select k.name, k.type into key from logic.page_columns(v) k where k.is_key limit 1;
  execute format('select coalesce(jsonb_agg(jsonb_build_array(id, label) order by label), ''[]'') from (
      select %1$I::text as id, %2$s as label from %3$s where %1$I = any($1::%4$s[])) o',
    key.name, logic.page_label(v), v, key.type) into found using ids;
  return found;
end $_$;

CREATE FUNCTION logic.page_leads(page text, name text) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$
  select '/admin/message/' where page in ('delivery', 'trace') and name = 'message'
$$;

CREATE FUNCTION logic.page_list(page text, words text, sorted text, downwards boolean, filters jsonb, behind jsonb, most integer) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    AS $$
declare
  v regclass := logic.page_view(page);
  options jsonb := '{}';
  c record;
begin
  for c in select k.name, k.refers from logic.page_columns(v) k where k.refers is not null loop
    options := options || jsonb_build_object(c.name, logic.page_options(c.refers));
  end loop;
  return jsonb_build_object('menu', logic.pages(), 'options', options)
    || logic.page_rows(page, words, sorted, downwards, filters, behind, most);
end $$;

CREATE FUNCTION logic.page_match(v regclass) RETURNS text
    LANGUAGE sql STABLE
    AS $_$
  select string_agg(format('v.%I = ($1 ->> %L)::%s', k.name, k.name, k.type), ' and ') from logic.page_columns(v) k where k.is_key
$_$;

CREATE FUNCTION logic.page_named(page text, label text) RETURNS text
    LANGUAGE plpgsql STABLE
    AS $_$
declare
  v regclass := logic.page_view(page);
  of_domain text;
  found text[];
begin
  if logic.page_has_addresses(v) then
    label := lower(label);
    of_domain := substring(label from '@([^@]*)$');
  end if;
  execute format('select array(select %1$I::text from %2$s where %3$s = $1 %4$s limit 2)', (logic.page_key(v))[1], v, logic.page_label_column(v),
      case when of_domain is not null then 'and domain_id = (select d.id from admin.domain d where d.name = $2)' end)
    into found using left(label, length(label) - coalesce(length(of_domain) + 1, 0)), of_domain;
  return case when cardinality(found) = 1 then found[1] end;
end $_$;

CREATE FUNCTION logic.page_options(page text) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    AS $_$
declare
  v regclass := logic.page_view(page);
  found jsonb;
begin
  execute format('select coalesce(jsonb_agg(jsonb_build_array(id, label) order by label), ''[]'') from (
      select %1$I::text as id, %2$s as label from %3$s order by %4$s limit 301) o',
    (logic.page_key(v))[1], logic.page_label(v), v, logic.page_label_column(v)) into found;
  return found;
end $_$;

CREATE FUNCTION logic.page_rights(v regclass) RETURNS integer
    LANGUAGE sql STABLE
    AS $$
  select case when n.nspname not in ('control', 'directory') then 0 else pg_relation_is_updatable(v, true) & case logic.web_kind()
    when 'system' then 28
    when 'user' then case v::text when 'admin.my_account' then 4 else 0 end
    when 'domain' then case v::text when 'admin.account' then 28 when 'admin.alias' then 28 when 'admin.domain' then 4 else 0 end
    else 0 end end
  from pg_class c join logic.page p on p.name = c.relname join pg_class t on t.oid = p.of_table join pg_namespace n on n.oid = t.relnamespace
  where c.oid = v
$$;

CREATE FUNCTION logic.page_row(page text, key jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    AS $$
declare
  v regclass := logic.page_view(page);
  found jsonb;
begin
  perform logic.must_see_page(page);
  begin
    execute format('select to_jsonb(v) from %s v where %s', v, logic.page_match(v)) into found using key;
  exception when data_exception or check_violation then
    return null;
  end;
  return jsonb_build_object('row', found, 'mark', (
    select md5(coalesce(jsonb_object_agg(k.name, found -> k.name) filter (where k.writable), '{}')::text) from logic.page_columns(v) k))
  where found is not null;
end $$;

CREATE FUNCTION logic.page_rows(page text, words text, sorted text, downwards boolean, filters jsonb, behind jsonb, most integer) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    AS $_$
declare
  v regclass := logic.page_view(page);
  key text[] := logic.page_key(v);
  cond text := 'true';
  c record;
  sort_type text;
  key_list text;
  key_value text;
  way text := case when downwards then 'desc' else 'asc' end;
  op text := case when downwards then '<' else '>' end;
  order_by text;
  rows jsonb;
  labels jsonb := '{}';
  at_once integer := least(greatest(most, 1), 5000);
  ascii text := case when words ~ '^[ -~]*$' then 'collate "C"' else '' end;
  plain text := regexp_replace(coalesce(words, ''), '([\\%_])', '\\\1', 'g');
begin
  perform logic.must_see_page(page);
  select string_agg(format('v.%I', k.name), ', ' order by array_position(key, k.name)),
    string_agg(format('($3 -> ''k'' ->> %s)::%s', array_position(key, k.name) - 1, k.type), ', ' order by array_position(key, k.name))
  into key_list, key_value from logic.page_columns(v) k where k.is_key;
  -- Only columns are read in which the words can be: choices where one of them has the words, numbers for a number, but none that is worked
  -- out for each row, lists that are not empty. Words of ASCII letters need no other alphabet's rules of upper and lower case, which is half as
  -- much again.
  if words <> '' then
    select format('%s and (%s%s%s)', cond,
      coalesce(format('concat_ws('' '', %s) %s ilike $1', string_agg(format('v.%I', k.name), ', ') filter (where k.kind <> 'lines'), ascii), 'false'),
      string_agg(format(' or v.%1$I <> ''{}'' and v.%1$I::text %2$s ilike $1', k.name, ascii), '') filter (where k.kind = 'lines'),
      logic.page_found_by(v, '%' || plain || '%', strpos(words, '@') > 0))
    into cond from logic.page_columns(v) k
    where k.kind in ('text', 'lines', 'long text', 'query') and (k.name <> 'local_part' or strpos(words, '@') = 0) or k.kind = 'number' and k.stored and words ~ '^-?[0-9]+$'
      or k.kind = 'choice' and exists (select 1 from unnest(k.options) o where strpos(o, lower(words)) > 0);
  end if;
  for c in
    select f.key, f.value, k.name, k.type, k.kind, k.options from jsonb_each_text(filters) f
    join logic.page_columns(v) k on k.name = regexp_replace(f.key, case when k.kind in ('time', 'choice') then '^(from|until)[.]' else '^$' end, '')
  loop
    cond := cond || logic.page_condition(c.key, c.value, c.name, c.type, c.kind, c.options);
  end loop;
  -- What is written as time goes by is ordered by its key: the same order, and an index has it.
  sorted := nullif(sorted, case when cardinality(key) = 1 then 'at' end);
  select k.type into sort_type from logic.page_columns(v) k where k.name = sorted and not k.is_key;
  if sort_type is null then
    order_by := (select string_agg(k || ' ' || way, ', ' order by n) from unnest(string_to_array(key_list, ', ')) with ordinality x (k, n));
    if behind is not null then
      cond := cond || format(' and (%s) %s (%s)', key_list, op, key_value);
    end if;
  else
    order_by := format('v.%I %s nulls last, %s', sorted, way, key_list);
    if behind is not null then
      cond := cond || case when behind ->> 's' is null then format(' and v.%I is null and (%s) > (%s)', sorted, key_list, key_value)
        else format(' and (v.%1$I %2$s ($3 ->> ''s'')::%3$s or v.%1$I = ($3 ->> ''s'')::%3$s and (%4$s) > (%5$s) or v.%1$I is null)',
          sorted, op, sort_type, key_list, key_value) end;
    end if;
  end if;
  -- How rare words are PostgreSQL can only guess, and guesses too rare: it would read and sort all rows where the first 50 that it meets in
  -- the order of the key will do (365 ms instead of 15 in a log of 500,000 rows); where they are rare indeed, both read everything.
  if words <> '' and sort_type is null then
    perform set_config('enable_sort', 'off', true);
  end if;
  execute format('select coalesce(jsonb_agg(to_jsonb(r) order by n), ''[]'') from (
      select v.*, row_number() over (order by %2$s) as n from (select * from %1$s v where %3$s order by %2$s limit %4$s) v) r',
    v, order_by, cond, at_once + 1)
    into rows using '%' || plain || '%', filters, behind, '%' || lower(substring(plain from '^(.*)@')), substring(plain from '@([^@]*)$') || '%';
  perform set_config('enable_sort', 'on', true);
  for c in select k.name, k.refers from logic.page_columns(v) k where k.refers is not null loop
    labels := labels || jsonb_build_object(c.name, (
      select jsonb_object_agg(o ->> 0, o ->> 1)
      from jsonb_array_elements(logic.page_labels(c.refers, array(select distinct r ->> c.name from jsonb_array_elements(rows) r where r ->> c.name is not null))) o));
  end loop;
  return jsonb_build_object('rows', (select coalesce(jsonb_agg(r order by n), '[]') from jsonb_array_elements(rows) with ordinality x (r, n) where n <= at_once),
    'more', jsonb_array_length(rows) > at_once, 'labels', labels);
end $_$;

CREATE FUNCTION logic.page_save(page text, key jsonb, mark text, given jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    AS $_$
declare
  v regclass := logic.page_view(page);
  found jsonb := logic.page_row(page, key);
  c record;
  item jsonb;
  clean jsonb := '{}';
  wrong jsonb := '{}';
  columns text;
  stored jsonb;
  state text; message text; hint text; con text; of_table text; of_schema text; col text;
begin
  if logic.page_rights(v) & (case when key is null then 8 else 4 end) = 0 then
    return jsonb_build_object('wrong', jsonb_build_object('', 'you may not change anything here'));
  end if;
  if key is not null and found is null then
    return jsonb_build_object('wrong', jsonb_build_object('', 'this row is not there any more'));
  elsif key is not null and mark is not null and found ->> 'mark' <> mark then
    return jsonb_build_object('wrong', jsonb_build_object('', 'somebody else has changed this meanwhile: look at it again before you store it'));
  end if;
  for c in select k.* from logic.page_columns(v) k where k.writable and given ? k.name loop
    item := given -> c.name;
    if c.kind in ('secret', 'password') and item in ('""', 'null') then continue; end if;
    if item = '""' and c.kind not in ('text', 'long text', 'query') then item := 'null'; end if;
    -- An empty field is none, unless the column must have something.
    if item = '""' and not exists (
      select 1 from logic.page p join pg_attribute a on a.attrelid = p.of_table and a.attname = c.name where p.name = page and a.attnotnull) then
      item := 'null';
    end if;
    if item = 'null' and key is null and c.preset is not null then continue; end if;
    if c.refers is not null and jsonb_typeof(item) = 'object' then
      item := to_jsonb(logic.page_named(c.refers, given -> c.name ->> 'named'));
      if item is null then
        wrong := wrong || jsonb_build_object(c.name, 'there is none that is called so, or more than one');
        continue;
      end if;
    end if;
    begin
      if item <> 'null' and jsonb_typeof(item) = 'array' then
        execute format('select array(select jsonb_array_elements_text($1))::%s', c.type) using item;
      elsif item <> 'null' then
        execute format('select ($1 #>> ''{}'')::%s', c.type) using item;
      end if;
      clean := clean || jsonb_build_object(c.name, item);
    exception when data_exception or integrity_constraint_violation or raise_exception then
      get stacked diagnostics message = message_text, con = constraint_name;
      wrong := wrong || jsonb_build_object(c.name, case when con like '% %' then con else message end);
    end;
  end loop;
  if wrong <> '{}' then
    return jsonb_build_object('wrong', wrong);
  end if;
  select string_agg(quote_ident(k), ', ') into columns from jsonb_object_keys(clean) k;
  if columns is null then
    return jsonb_build_object('key', key);
  end if;
  begin
    if key is null then
      execute format('insert into %1$s as v (%2$s) select %2$s from jsonb_populate_record(null::%1$s, $2) r returning %3$s', v, columns,
        (select format('jsonb_build_object(%s)', string_agg(format('%L, v.%I', k, k), ', ')) from unnest(logic.page_key(v)) k))
        into stored using key, clean;
    else
      execute format('update %1$s as v set (%2$s) = (select %2$s from jsonb_populate_record(null::%1$s, $2) r) where %4$s returning %3$s', v, columns,
        (select format('jsonb_build_object(%s)', string_agg(format('%L, v.%I', k, k), ', ')) from unnest(logic.page_key(v)) k), logic.page_match(v))
        into stored using key, clean;
    end if;
    -- What is checked at the end of the transaction is checked now, where it can still be said.
    set constraints all immediate;
    set constraints all deferred;
  exception when integrity_constraint_violation or data_exception or raise_exception or insufficient_privilege then
    get stacked diagnostics state = returned_sqlstate, message = message_text, hint = pg_exception_hint, con = constraint_name, of_table = table_name,
      of_schema = schema_name, col = column_name;
    return jsonb_build_object('wrong', logic.page_error(v, state, message, hint, con, of_table, of_schema, col));
  end;
  if stored is null then
    return jsonb_build_object('wrong', jsonb_build_object('', 'you may not change this row'));
  end if;
  return jsonb_build_object('key', stored);
end $_$;

CREATE FUNCTION logic.page_title(name text) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$
  select string_agg(case when word in ('acme', 'arc', 'dkim', 'dmarc', 'dns', 'imap', 'ip', 'oidc', 'pop3', 'rbl', 'scram', 'smtp', 'spf', 'srs', 'tls', 'uid', 'url')
    then upper(word) when nth = 1 then upper(left(word, 1)) || substr(word, 2) else word end, ' ' order by nth)
  from regexp_split_to_table(name, '_') with ordinality w (word, nth)
$$;

CREATE FUNCTION logic.page_view(page text) RETURNS regclass
    LANGUAGE plpgsql STABLE
    AS $$
declare v regclass;
begin
  select c.oid into v from pg_class c join logic.page p on p.name = c.relname
  where c.relnamespace = 'admin'::regnamespace and c.relkind = 'v' and c.relname = page;
  if v is null then
    raise exception 'there is no page %', left(page, 100) using errcode = 'no_data_found';
  end if;
  return v;
end $$;

CREATE FUNCTION logic.pages() RETURNS jsonb
    LANGUAGE sql STABLE
    AS $$
  select coalesce(jsonb_agg(jsonb_build_object('name', p.name, 'menu', p.menu, 'title', p.title,
    'address', case when p.of_table is null then '/admin/' else '/admin/page/' end || p.name) order by p.place), '[]')
  from logic.page p, (select logic.web_kind() as kind) w where w.kind = any(p.kinds)
$$;

CREATE FUNCTION logic.pick(row_value jsonb, columns text[]) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
  select coalesce(jsonb_object_agg(key, value), '{}') from jsonb_each(row_value) where key = any(columns)
$$;

CREATE FUNCTION logic.place_page(name text, menu text, title text, help text, kinds text[]) RETURNS void
    LANGUAGE sql
    AS $$
  insert into logic.page (name, menu, title, help, kinds) values (name, menu, title, help, kinds)
$$;

CREATE FUNCTION logic.queue_act(action text, of_domain text, of_state text, most integer) RETURNS jsonb
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
declare
  chosen bigint[];
  done bigint;
begin
  if logic.web_kind() is distinct from 'system' then
    return jsonb_build_object('wrong', 'you may not do this here');
  elsif num_nonnulls(of_domain, of_state) = 0 then
    return jsonb_build_object('wrong', 'choose a destination or a state');
  elsif of_state <> all (enum_range(null::queue.state)::text[]) then
    return jsonb_build_object('wrong', format('there is no state "%s"', left(of_state, 40)));
  end if;
  chosen := array(
    select r.id from queue.recipient r
    where (of_domain is null or r.domain = of_domain) and (of_state is null or r.state = of_state::queue.state)
      and (action = 'cancel' or r.state = any (case action when 'release' then array['held'] when 'hold' then array['waiting']
        else array['waiting', 'failed'] end::queue.state[]))
    order by r.id limit most);
  if action in ('retry', 'release') then
    update queue.recipient r set state = 'waiting', next_attempt_at = now() where r.id = any (chosen) and (r.state = 'held') = (action = 'release');
  elsif action = 'hold' then
    update queue.recipient r set state = 'held' where r.id = any (chosen) and r.state = 'waiting';
  elsif action = 'cancel' then
    delete from queue.recipient r where r.id = any (chosen);
  else
    return jsonb_build_object('wrong', 'there is no such button');
  end if;
  get diagnostics done = row_count;
  return jsonb_build_object('done', done, 'more', cardinality(chosen) >= most);
end $$;

CREATE FUNCTION logic.queue_counts(words text, most integer) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
declare
  counts jsonb;
begin
  perform logic.must_see_page('queue');
  with bounds as (
    select array['-infinity'::timestamptz] || array_agg(now() - b order by b desc) as b
    from unnest(array['5 days', '1 day', '6 hours', '1 hour']::interval[]) b
  ), counted as (
    select r.state, r.domain, width_bucket(m.received_at, (select b from bounds)) as age,
      count(*) as n, count(*) filter (where r.state = 'waiting') as waiting, count(*) filter (where r.state = 'held') as held,
      count(*) filter (where r.state = 'failed') as failed,
      min(r.next_attempt_at) filter (where r.state = 'waiting') as next_attempt_at, grouping(r.state) = 0 as by_state, grouping(r.domain) = 0 as by_domain
    from queue.recipient r join queue.message m on m.id = r.message_id
    group by grouping sets ((r.state), (r.domain), (3))
  ), fullest as (
    select c.* from counted c where c.by_domain and strpos(c.domain, lower(words)) > 0 order by c.n desc, c.domain limit most
  )
  select jsonb_build_object(
    'states', (select coalesce(jsonb_agg(jsonb_build_object('state', c.state, 'count', c.n) order by c.state), '[]') from counted c where c.by_state),
    'ages', (select coalesce(jsonb_agg(jsonb_build_object('bucket', c.age, 'from', nullif(b.b[c.age], '-infinity'), 'until', b.b[c.age + 1], 'count', c.n)
      order by c.age desc), '[]') from counted c, bounds b where not c.by_state and not c.by_domain),
    'all_destinations', (select count(*) from counted c where c.by_domain),
    'destinations', (select coalesce(jsonb_agg(jsonb_build_object('domain', f.domain, 'count', f.n, 'waiting', f.waiting, 'held', f.held,
        'failed', f.failed, 'next_attempt_at', f.next_attempt_at, 'last_reply', l.last_reply, 'last_attempt_at', l.last_attempt_at,
        'down_until', case when d.down_until > now() then d.down_until end, 'down_reason', d.down_reason)
      order by f.n desc, f.domain), '[]')
      from fullest f left join queue.destination d on d.domain = f.domain
      left join lateral (
        select x.last_reply, x.last_attempt_at from (
          select r.last_reply, r.last_attempt_at from queue.recipient r
          where r.state = 'waiting' and r.domain = f.domain order by r.next_attempt_at desc limit 20) x
        where x.last_attempt_at is not null order by x.last_attempt_at desc limit 1) l on true)
  ) into counts;
  return counts;
end $$;

CREATE FUNCTION logic.queue_now(OUT waiting bigint, OUT held bigint, OUT oldest_seconds double precision, OUT counted boolean) RETURNS record
    LANGUAGE plpgsql STABLE
    AS $$
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

CREATE FUNCTION logic.queue_selection(of_domain text, of_state text) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
begin
  perform logic.must_see_page('queue');
  return (
    select jsonb_build_object('recipients', count(*), 'messages', count(distinct r.message_id), 'waiting', count(*) filter (where r.state = 'waiting'),
      'held', count(*) filter (where r.state = 'held'), 'destinations', count(distinct r.domain))
    from queue.recipient r
    where (of_domain is null or r.domain = of_domain) and (of_state is null or r.state = of_state::queue.state));
end $$;

CREATE FUNCTION logic.raise_generation() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  raised bigint;
  is_config boolean;
begin
  -- Deferred to the end of the transaction; the row as it is then, not as it was inserted.
  delete from control.touched where transaction = new.transaction returning config into is_config;
  if not found then return null; end if;
  update control.generation
  set value = value + 1, config = case when is_config then value + 1 else config end, changed_at = now()
  returning value into raised;
  perform pg_notify('control', raised::text);
  return null;
end $$;

CREATE FUNCTION logic.refuse_dkim_key(key bigint, why text) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
  perform logic.as_a_person();
  update directory.dkim_key set error = why where id = key and state = 'making' and error is distinct from why;
end $$;

CREATE FUNCTION logic.report(name text) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    AS $$
begin
  perform logic.must_see_page('reports');
  return (select to_jsonb(r) from control.report r where r.active and r.name = report.name);
end $$;

CREATE FUNCTION logic.report_sees() RETURNS boolean
    LANGUAGE sql STABLE
    RETURN COALESCE(pg_has_role((to_regrole('mailwright_report'::text))::oid, 'usage'::text), false);

CREATE FUNCTION logic.reports() RETURNS jsonb
    LANGUAGE plpgsql STABLE
    AS $$
begin
  perform logic.must_see_page('reports');
  return (select coalesce(jsonb_agg(jsonb_build_object('name', r.name, 'description', r.description) order by r.name), '[]')
    from control.report r where r.active);
end $$;

CREATE FUNCTION logic.reread_certificate() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  if (new.own_names, new.not_before, new.not_after, new.error) is not distinct from (old.own_names, old.not_before, old.not_after, old.error) then
    new.own_names := null;
    new.not_before := null;
    new.not_after := null;
    new.error := null;
  end if;
  return new;
end $$;

CREATE FUNCTION logic.resolve(local text, domain text, authenticated boolean) RETURNS TABLE(kind text, address text, account_id bigint, inbox_id bigint, quota_bytes bigint, used_bytes bigint, max_message_bytes bigint, forwarded_by text, used_messages bigint, max_messages bigint)
    LANGUAGE plpgsql STABLE
    AS $_$
#variable_conflict use_column
declare
  d directory.domain;
  remote directory.remote_domain;
  known directory.domain_name;
  found_address directory.address;
  separator text := (select subaddress_separator from control.directory);
  pending text[] := array[local || '@' || domain];
  -- Who forwards to these.
  senders text[] := array[null::text];
  seen text[] := pending;
  next text[];
  next_senders text[];
  targets text[];
  level integer := 0;
  item text;
  item_local text;
  item_domain text;
  base text;
  target_alias directory.alias;
  target logic.account;
  sender text;
begin
  if not exists (select 1 from directory.domain_name x where x.name = resolve.domain) then
    return query select 'not local', local || '@' || domain, null::bigint, null::bigint, null::bigint, null::bigint, null::bigint, null::text,
      null::bigint, null::bigint;
    return;
  end if;
  while cardinality(pending) > 0 and level < 20 loop
    next := '{}';
    next_senders := '{}';
    for place in 1 .. cardinality(pending) loop
      item := pending[place];
      -- The last @ divides: a quoted local part may hold one.
      item_domain := substring(item from '[^@]*$');
      item_local := left(item, length(item) - length(item_domain) - 1);
      base := case when separator <> '' and position(separator in item_local) > 1 then split_part(item_local, separator, 1) end;
      targets := '{}';
      sender := null;
      select * into known from directory.domain_name x where x.name = item_domain;
      if not found then
        return query select 'remote', item, null::bigint, null::bigint, null::bigint, null::bigint, null::bigint, senders[place],
          null::bigint, null::bigint;
        continue;
      end if;
      if known.remote_id is not null then
        select * into remote from directory.remote_domain x where x.id = known.remote_id;
        if not remote.active or exists (select 1 from directory.remote_recipient x where x.domain_id = remote.id)
          and not exists (select 1 from directory.remote_recipient x where x.domain_id = remote.id and x.local_part in (item_local, base)) then
          return query select 'unknown', item, null::bigint, null::bigint, null::bigint, null::bigint, null::bigint, null::text,
            null::bigint, null::bigint;
          continue;
        end if;
        if remote.forward = 'remote host' then
          return query select 'remote', item, null::bigint, null::bigint, null::bigint, null::bigint, null::bigint, senders[place],
            null::bigint, null::bigint;
          continue;
        end if;
        targets := array[case when remote.forward = 'one address' then remote.address
          else item_local || '@' || (select x.name from directory.domain x where x.id = remote.local_domain_id) end];
        sender := item;
      else
        select * into d from directory.domain x
        where x.id = coalesce(known.domain_id, (select x.domain_id from directory.domain_alias x where x.id = known.alias_id));
        found_address := null;
        if d.active then
          select * into found_address from directory.address x where x.domain_id = d.id and x.local_part = item_local;
          if not found then
            select * into found_address from directory.address x where x.domain_id = d.id and x.local_part = base;
          end if;
        end if;
        if found_address.account_id is not null then
          select * into target from logic.account x where x.account_id = found_address.account_id;
          sender := target.address;
          if target.active then
            targets := logic.forward_targets(target.forward_to, d.forwarding_forbidden);
            if target.forward_keep or targets = '{}' or target.address = any(targets) then
              return query select 'account', target.address, target.account_id, target.inbox_id, target.quota_bytes, target.used_bytes,
                target.max_message_bytes, null::text, target.used_messages, target.max_messages;
            end if;
          else
            return query select 'unknown', item, null::bigint, null::bigint, null::bigint, null::bigint, null::bigint, null::text,
              null::bigint, null::bigint;
          end if;
        elsif found_address.alias_id is not null then
          select * into target_alias from directory.alias x where x.id = found_address.alias_id;
          sender := target_alias.local_part || '@' || d.name;
          if not target_alias.active then
            return query select 'unknown', item, null::bigint, null::bigint, null::bigint, null::bigint, null::bigint, null::text,
              null::bigint, null::bigint;
          elsif target_alias.authenticated_only and not authenticated then
            return query select 'restricted', item, null::bigint, null::bigint, null::bigint, null::bigint, null::bigint, null::text,
              null::bigint, null::bigint;
          else
            targets := logic.forward_targets(target_alias.targets, d.forwarding_forbidden);
          end if;
        elsif d.active and d.catch_all is not null then
          targets := array[d.catch_all];
          sender := item;
        else
          return query select 'unknown', item, null::bigint, null::bigint, null::bigint, null::bigint, null::bigint, null::text,
            null::bigint, null::bigint;
        end if;
      end if;
      targets := array(select distinct lower(t) from unnest(targets) t where lower(t) <> all (seen));
      next := next || targets;
      next_senders := next_senders || array_fill(sender, array[cardinality(targets)]);
      seen := seen || targets;
      exit when cardinality(seen) > 10000;
    end loop;
    pending := next;
    senders := next_senders;
    level := level + 1;
  end loop;
end $_$;

CREATE FUNCTION logic.restart_acme() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  update control.acme_certificate set next_attempt_at = null where next_attempt_at is not null;
  return null;
end $$;

CREATE FUNCTION logic.restart_acme_certificate() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  new.next_attempt_at := null;
  if new.names is distinct from old.names then
    new.failures := 0;
    new.last_error := null;
    delete from control.acme_order where acme_certificate_id = new.id;
  end if;
  return new;
end $$;

CREATE FUNCTION logic.rights(owner bigint, box bigint, who bigint) RETURNS text
    LANGUAGE sql STABLE
    AS $$
  select case when owner = who then 'lrswipkxtena' else coalesce((
    select case when position('l' in g.held) > 0 then g.held end
    from (
      select translate(string_agg(a.rights, '') filter (where not a.negative),
        coalesce(string_agg(a.rights, '') filter (where a.negative), ''), '') as held
      from store.acl a
      where a.account_id = owner and a.mailbox_id = box
        and (a.grantee_id = who or a.grantee_domain_id = (select domain_id from directory.account where id = who))
    ) g), '') end
$$;

CREATE FUNCTION logic.rights_above(owner bigint, name text, who bigint) RETURNS text
    LANGUAGE sql STABLE
    AS $$
  select case when owner = who then 'lrswipkxtena' else coalesce((
    select logic.rights(owner, m.id, who)
    from store.mailbox m join directory.account o on o.id = owner
    where m.account_id = owner and (starts_with(rights_above.name, m.name || '/') or m.name = 'INBOX' and o.public)
    order by starts_with(rights_above.name, m.name || '/') desc, length(m.name) desc limit 1), '') end
$$;

CREATE FUNCTION logic.ring_acl() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    AS $$
declare a store.acl;
begin
  if tg_op = 'DELETE' then a := old; else a := new; end if;
  -- Those who wait look further only where the number has moved. No row: the mailbox itself goes.
  update store.mailbox set highest_modseq = highest_modseq + 1 where account_id = a.account_id and id = a.mailbox_id;
  perform logic.ring_mailbox(a.account_id, a.mailbox_id);
  return null;
end $$;

CREATE FUNCTION logic.ring_grantee() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    AS $$
begin
  -- A whole domain is too many to ring for one by one.
  if tg_op <> 'INSERT' then perform logic.ring_mailbox(coalesce(old.grantee_id, 0), 0); end if;
  if tg_op <> 'DELETE' then perform logic.ring_mailbox(coalesce(new.grantee_id, 0), 0); end if;
  return null;
end $$;

CREATE FUNCTION logic.ring_mailbox(account bigint, mailbox bigint) RETURNS void
    LANGUAGE sql
    AS $$
  select pg_notify('store', account || ':' || mailbox)
$$;

CREATE FUNCTION logic.ring_names() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    AS $$
begin
  if tg_op <> 'INSERT' then perform logic.ring_mailbox(old.account_id, 0); end if;
  if tg_op <> 'DELETE' then perform logic.ring_mailbox(new.account_id, 0); end if;
  return null;
end $$;

CREATE FUNCTION logic.ring_queue() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  perform pg_notify('queue', '');
  return null;
end $$;

CREATE FUNCTION logic.ring_sessions() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  perform pg_notify('control', 'session');
  return null;
end $$;

CREATE FUNCTION logic.rotate_old_dkim_keys() RETURNS void
    LANGUAGE plpgsql
    AS $$
declare s control.dkim := (select s from control.dkim s);
begin
  perform logic.as_a_person();
  if s.rotate_days > 0 then
    perform directory.rotate_dkim_keys(d.name) from directory.domain d
    where exists (select 1 from directory.dkim_key k where k.domain_id = d.id and k.state = 'active'
      and k.activated_at < now() - make_interval(days => s.rotate_days));
  end if;
  if exists (select 1 from directory.dkim_key k where k.state = 'retired' and k.retired_at < now() - make_interval(days => s.overlap_days)) then
    delete from directory.dkim_key k where k.state = 'retired' and k.retired_at < now() - make_interval(days => s.overlap_days);
  end if;
end $$;

CREATE FUNCTION logic.run_report(query text, given text[], most integer, most_bytes bigint) RETURNS SETOF text[]
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

CREATE FUNCTION logic.says_order() RETURNS text
    LANGUAGE sql STABLE
    AS $$
  select case when a.active then 'it is ordered now' else 'it is ordered as soon as the authority is switched on: Settings, Acme' end from control.acme a
$$;

CREATE FUNCTION logic.screen_snapshot() RETURNS jsonb
    LANGUAGE sql STABLE
    AS $$
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

CREATE FUNCTION logic.sender(local text, domain text) RETURNS TABLE(exists_here boolean, needs_login boolean)
    LANGUAGE sql STABLE
    AS $$
  select exists (select 1 from logic.resolve(sender.local, sender.domain, true) r where r.kind in ('account', 'remote')),
    coalesce(
      (select a.sender_needs_login from directory.account a where a.id = (logic.address_of(sender.local, sender.domain)).account_id),
      d.sender_needs_login, (select local_senders_need_login from control.smtp))
  from directory.domain d where d.id = logic.domain_of(sender.domain)
$$;

CREATE FUNCTION logic.served_names(c control.certificate) RETURNS text[]
    LANGUAGE sql STABLE
    AS $$
  select case when cardinality(c.names) > 0 then c.names else coalesce(c.own_names, '{}') end
$$;

CREATE FUNCTION logic.services_shown() RETURNS jsonb
    LANGUAGE plpgsql STABLE
    AS $$
begin
  perform logic.must_see_page('services');
  return jsonb_build_object(
    'services', (
      select jsonb_agg(jsonb_build_object('name', s.name, 'enabled', s.enabled,
        'nodes', coalesce((
          select jsonb_agg(jsonb_build_object('node', t.node, 'state', t.state, 'error', t.error, 'since', t.since) order by t.node)
          from live.service_status t where t.service = s.name), '[]'),
        'listeners', coalesce((
          select jsonb_agg(jsonb_build_object('id', l.id, 'address', l.address, 'port', l.port, 'tls', l.tls, 'mode', l.mode, 'enabled', l.enabled,
            'open', coalesce((
              select jsonb_agg(jsonb_build_object('node', o.node, 'port', o.port, 'state', o.state, 'error', o.error) order by o.node)
              from live.listener_status o where o.listener_id = l.id), '[]')) order by l.port, l.address)
          from control.listener l where l.service = s.name), '[]'),
        'sessions', coalesce(c.n, 0), 'ip_list', i.name, 'max_connections', s.max_connections,
        'max_connections_per_peer', s.max_connections_per_peer, 'max_connections_per_account', s.max_connections_per_account)
        order by s.enabled desc, s.name)
      from control.service s left join control.ip_list i on i.id = s.ip_list_id
      left join (select service, count(*) as n from live.session group by service) c on c.service = s.name),
    'sessions', coalesce((
      select jsonb_agg(to_jsonb(x)) from (
        select id, service, login, host(peer) as peer, tls, state, since, greatest(extract(epoch from now() - active_at), 0)::bigint as idle, node, client
        from live.session order by active_at desc, id limit 100) x), '[]'),
    'all_sessions', (select count(*) from live.session));
end $$;

CREATE FUNCTION logic.sessions_of_domain() RETURNS TABLE(service text, count bigint)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    AS $$
  select s.service, count(*) from live.session s join directory.account a on a.id = s.account_id
  where a.domain_id = logic.web_domain() group by s.service
$$;

CREATE FUNCTION logic.take_comments(of_view regclass, of_table regclass) RETURNS void
    LANGUAGE plpgsql
    AS $$
declare c record;
begin
  for c in
    select a.attname, col_description(of_table, b.attnum) as words
    from pg_attribute a join pg_attribute b on b.attrelid = of_table and b.attname = a.attname and b.attnum > 0 and not b.attisdropped
    where a.attrelid = of_view and a.attnum > 0 and col_description(of_view, a.attnum) is null
  loop
    execute format('comment on column %s.%I is %L', of_view, c.attname, c.words);
  end loop;
end $$;

CREATE FUNCTION logic.tell_nodes() RETURNS void
    LANGUAGE sql
    AS $$
  insert into control.touched as t (transaction, config) values (pg_current_xact_id(), true)
  on conflict (transaction) do update set config = true where not t.config
$$;

CREATE FUNCTION logic.touch() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  insert into control.touched as t (transaction, config)
  values (pg_current_xact_id(), tg_table_schema = 'control')
  on conflict (transaction) do update set config = true where excluded.config and not t.config;
  return null;
end $$;

CREATE FUNCTION logic.trace_recipient() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  if not (select l.trace from control.log l) then return null; end if;
  insert into log.trace (at, step, node, message, recipient, queue_id, reply)
  select now(), s.step::log.step, '', logic.queued_name(m.trace, m.id), n.address, m.id, s.step || ' ' || logic.by_whom()
  from new_rows n join old_rows o on o.id = n.id join queue.message m on m.id = n.message_id
  cross join lateral (select case
    when n.state = 'held' and o.state <> 'held' then 'held'
    when n.state = 'waiting' and o.state = 'held' then 'released'
    when n.state = 'waiting' and n.next_attempt_at <= now() and (n.next_attempt_at, n.state) is distinct from (o.next_attempt_at, o.state) then 'retried'
    end as step) s
  where s.step is not null order by n.id;
  return null;
end $$;

CREATE FUNCTION logic.undo_any(change bigint) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  if not logic.web_changes() then
    raise exception 'only a system administrator may take this change back' using errcode = 'insufficient_privilege';
  end if;
  return control.undo(change);
end $$;

CREATE FUNCTION logic.undo_own(change bigint) RETURNS bigint
    LANGUAGE plpgsql
    AS $_$
declare
  a log.audit;
  page regclass;
  own text[];
  columns text[];
  now_there jsonb;
  hit bigint;
  touched bigint;
begin
  select * into a from log.audit x where x.id = change and x.table_name in ('directory.account', 'directory.alias');
  if not found then
    raise exception 'there is no such change that you may take back' using errcode = 'insufficient_privilege';
  end if;
  page := replace(a.table_name, 'directory.', 'admin.')::regclass;
  own := array(
    select t.attname from pg_attribute t join pg_attribute v on v.attrelid = page and v.attname = t.attname and not v.attisdropped
    where t.attrelid = a.table_name::regclass and t.attnum > 0 and not t.attisdropped order by t.attnum);
  execute format('select to_jsonb(x) from (select %s from %s where id = $1) x', (select string_agg(quote_ident(c), ', ') from unnest(own) c), a.table_name)
    into now_there using (a.key ->> 'id')::bigint;
  perform set_config('mailwright.undoes', change::text, true);
  if a.action = 'insert' then
    execute format('delete from %s where id = $1', a.table_name) using (a.key ->> 'id')::bigint;
  elsif a.action = 'delete' then
    if now_there is not null then
      raise exception 'the row that change % deleted is there again', change;
    end if;
    execute format('insert into %1$s (%2$s) select %2$s from jsonb_populate_record(null::%1$s, $1)', a.table_name,
      (select string_agg(quote_ident(c), ', ') from unnest(own) c)) using a.old;
  else
    columns := array(select o.key from jsonb_each(a.old) o where o.value is distinct from a.new -> o.key);
    if cardinality(columns) = 0 then
      raise exception 'change % was of a secret, which the log does not keep', change;
    elsif not columns <@ own then
      raise exception 'change % is of %, which only a system administrator may change', change,
        (select string_agg(c, ', ') from unnest(columns) c where c <> all (own)) using errcode = 'insufficient_privilege';
    end if;
    select min(later.id) into hit from unnest(logic.audit_ids(a.table_name, a.key)) later (id)
    where later.id > a.id
      and exists (select 1 from unnest(columns) c where a.new -> c is distinct from now_there -> c);
    if hit is not null then
      raise exception 'this row has been changed again since (change %): undo that one first', hit;
    end if;
    execute format('update %1$s x set (%2$s) = (select %2$s from jsonb_populate_record(null::%1$s, $2)) where x.id = $1', a.table_name,
      (select string_agg(quote_ident(c), ', ') from unnest(columns) c)) using (a.key ->> 'id')::bigint, a.old;
  end if;
  get diagnostics touched = row_count;
  perform set_config('mailwright.undoes', '', true);
  if touched = 0 then
    raise exception 'the row of change % is gone, or not yours', change;
  end if;
  return (select max(x.id) from log.audit x where x.undoes = change);
end $_$;

CREATE FUNCTION logic.view_message(session bytea, account bigint, mailbox bigint, uid bigint) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    AS $$
declare found jsonb := logic.mailbox_view(session, account);
begin
  if found ->> 'until' is not null then
    perform logic.note_view(account, jsonb_build_object('reason', found ->> 'reason', 'uid', view_message.uid,
      'mailbox', (select b.name from store.mailbox b where b.account_id = account and b.id = mailbox)));
  end if;
  return found;
end $$;

CREATE FUNCTION logic.want_dns_check(domain bigint) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  if not (logic.web_changes() or coalesce(logic.web_domain() = domain, false)) then
    raise exception 'you may not do this here' using errcode = 'insufficient_privilege';
  end if;
  insert into directory.dns_check (domain_id) values (domain) on conflict (domain_id) do update set wanted_at = excluded.wanted_at;
  return 'the DNS is asked: look again in a moment';
end $$;

CREATE FUNCTION logic.web_account() RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    AS $$
  select a.id from directory.account a join directory.domain d on d.id = a.domain_id
  where logic.web_kind() = 'user' and a.id = nullif(current_setting('mailwright.account', true), '')::bigint
    and a.active and d.active and not a.public
$$;

CREATE FUNCTION logic.web_kind() RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    AS $$
  select case when session_user = pg_get_userbyid(c.relowner) and current_setting('role') = 'mailwright_web' then nullif(current_setting('mailwright.kind', true), '') end
  from pg_class c where c.oid = 'store.mailbox'::regclass
$$;

CREATE FUNCTION logic.web_changes() RETURNS boolean
    LANGUAGE sql STABLE
    RETURN COALESCE((logic.web_kind() = 'system'::text), false);

CREATE FUNCTION logic.web_domain() RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    AS $$
  select a.domain_id from directory.account a join directory.domain d on d.id = a.domain_id
  where logic.web_kind() = 'domain' and a.id = nullif(current_setting('mailwright.account', true), '')::bigint
    and a.manages_domain and a.active and d.active
$$;

CREATE FUNCTION logic.web_find(sender text, recipient text, message_id text, peer inet, since timestamp with time zone, until timestamp with time zone, most integer) RETURNS text[]
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  if logic.web_sees() then
    return logic.find_messages(sender, recipient, message_id, peer, since, until, most);
  elsif logic.web_domain() is null then
    raise exception 'you may not see what became of messages' using errcode = 'insufficient_privilege';
  elsif not (logic.web_has_address(sender) or logic.web_has_address(recipient) or message_id is not null) then
    raise exception 'give a sender or a recipient of your domain, or a Message-ID' using errcode = 'invalid_parameter_value';
  end if;
  return array(
    select n.message from unnest(logic.find_messages(sender, recipient, message_id, peer, since, until, 10 * most)) with ordinality n (message, place)
    where exists (select 1 from log.trace t where t.message = n.message and logic.web_has_trace(t.message, t.recipient, t.account_id))
    order by n.place limit most);
end $$;

CREATE FUNCTION logic.web_has_account(account bigint) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    AS $$
  select exists (select 1 from directory.account a where a.id = account and a.domain_id = logic.web_domain())
$$;

CREATE FUNCTION logic.web_has_address(address text) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    AS $_$
  select exists (
    select 1 from directory.domain_name n left join directory.domain_alias a on a.id = n.alias_id
    where n.name = lower(substring(address from '[^@]*$')) and coalesce(n.domain_id, a.domain_id) = logic.web_domain())
$_$;

CREATE FUNCTION logic.web_has_queued(message bigint) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    AS $$
  select exists (select 1 from queue.message m where m.id = message and logic.web_has_account(m.account_id))
$$;

CREATE FUNCTION logic.web_has_trace(message text, recipient text, account bigint) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    AS $$
  select coalesce(logic.web_has_account(account), false) or coalesce(logic.web_has_address(recipient), false)
    or exists (select 1 from log.trace t where t.message = web_has_trace.message and t.step = 'accepted' and logic.web_has_account(t.account_id))
$$;

CREATE FUNCTION logic.web_manages(account bigint) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    AS $$
  select exists (select 1 from directory.account a where a.id = account and a.manages_domain)
$$;

CREATE FUNCTION logic.web_sees() RETURNS boolean
    LANGUAGE sql STABLE
    RETURN COALESCE((logic.web_kind() = ANY (ARRAY['system'::text, 'auditor'::text])), false);

CREATE FUNCTION queue.cancel(message bigint) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
declare n bigint;
begin
  select count(*) into n from queue.recipient r where r.message_id = message;
  delete from queue.message m where m.id = message;
  return n;
end $$;

COMMENT ON FUNCTION queue.cancel(message bigint) IS 'Takes a message out of the queue without telling its sender; returns how many recipients';

CREATE FUNCTION queue.hold(message bigint) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
declare n bigint;
begin
  update queue.recipient r set state = 'held' where r.state = 'waiting' and r.message_id = message;
  get diagnostics n = row_count;
  return n;
end $$;

COMMENT ON FUNCTION queue.hold(message bigint) IS 'Keeps a message in the queue until it is released; returns how many recipients';

CREATE FUNCTION queue.release(message bigint) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
declare n bigint;
begin
  update queue.recipient r set state = 'waiting', next_attempt_at = now() where r.state = 'held' and r.message_id = message;
  get diagnostics n = row_count;
  return n;
end $$;

COMMENT ON FUNCTION queue.release(message bigint) IS 'Sends a held message; returns how many recipients';

CREATE FUNCTION queue.retry(message bigint DEFAULT NULL::bigint) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
declare n bigint;
begin
  update queue.recipient r set next_attempt_at = now() where r.state = 'waiting' and (message is null or r.message_id = message);
  get diagnostics n = row_count;
  return n;
end $$;

COMMENT ON FUNCTION queue.retry(message bigint) IS 'Tries a message again now, or without a number everything; returns how many recipients';

CREATE TABLE control.directory (
    only_row boolean DEFAULT true NOT NULL,
    subaddress_separator text DEFAULT '+'::text NOT NULL,
    max_login_failures integer DEFAULT 6 NOT NULL,
    lock_minutes integer DEFAULT 15 NOT NULL,
    max_peer_login_failures integer DEFAULT 30 NOT NULL,
    quota_bytes bigint,
    min_password_length integer DEFAULT 8 NOT NULL,
    unknown_user_secret control.secret DEFAULT ((gen_random_uuid())::text || (gen_random_uuid())::text) NOT NULL,
    max_messages bigint,
    CONSTRAINT "a quota is 0 (none) or more bytes" CHECK ((quota_bytes >= 0)),
    CONSTRAINT directory_only_row_check CHECK (only_row),
    CONSTRAINT "lock_minutes is from 1 to 1440" CHECK (((lock_minutes >= 1) AND (lock_minutes <= 1440))),
    CONSTRAINT "max_login_failures is from 1 to 1000" CHECK (((max_login_failures >= 1) AND (max_login_failures <= 1000))),
    CONSTRAINT "max_messages is 0 (none) or more" CHECK ((max_messages >= 0)),
    CONSTRAINT "max_peer_login_failures is from 1 to 10000" CHECK (((max_peer_login_failures >= 1) AND (max_peer_login_failures <= 10000))),
    CONSTRAINT "min_password_length is from 1 to 128" CHECK (((min_password_length >= 1) AND (min_password_length <= 128))),
    CONSTRAINT "the subaddress separator is empty or one of + - = _ ." CHECK ((subaddress_separator = ANY (ARRAY[''::text, '+'::text, '-'::text, '='::text, '_'::text, '.'::text])))
);

COMMENT ON TABLE control.directory IS 'Settings of domains, accounts and logins';

COMMENT ON COLUMN control.directory.only_row IS 'Always true: there is one row';

COMMENT ON COLUMN control.directory.subaddress_separator IS 'What separates user and detail in user+detail@domain; empty = no subaddressing';

COMMENT ON COLUMN control.directory.max_login_failures IS 'Wrong passwords in a row after which an account is locked';

COMMENT ON COLUMN control.directory.lock_minutes IS 'How long an account or peer stays locked';

COMMENT ON COLUMN control.directory.max_peer_login_failures IS 'Wrong passwords, for whatever accounts, after which a peer address (IPv6: /64) is locked';

COMMENT ON COLUMN control.directory.quota_bytes IS 'Quota of accounts whose domain and self name none; 0 or empty = no limit';

COMMENT ON COLUMN control.directory.min_password_length IS 'Shortest password that the commands and pages accept';

COMMENT ON COLUMN control.directory.unknown_user_secret IS 'Makes what SCRAM shows for unknown users look real and the same on all nodes';

COMMENT ON COLUMN control.directory.max_messages IS 'Messages that accounts may keep whose domain and self say nothing; 0 or empty = no limit';

CREATE TABLE control.imap (
    only_row boolean DEFAULT true NOT NULL,
    require_tls_for_login boolean DEFAULT true NOT NULL,
    idle_timeout_seconds control.seconds DEFAULT 1860 NOT NULL,
    login_timeout_seconds control.seconds DEFAULT 60 NOT NULL,
    max_errors integer DEFAULT 50 NOT NULL,
    max_mailboxes integer DEFAULT 10000 NOT NULL,
    admin_contact text,
    server_comment text,
    max_metadata_bytes integer DEFAULT 65536 NOT NULL,
    max_metadata_entries integer DEFAULT 100 NOT NULL,
    progress_seconds integer DEFAULT 10 NOT NULL,
    language text DEFAULT 'en'::text NOT NULL,
    refuse_8bit_headers boolean DEFAULT false NOT NULL,
    submission_accounts text[] DEFAULT '{}'::text[] NOT NULL,
    CONSTRAINT "RFC 9051 asks for at least 30 minutes of patience: 1800" CHECK (((idle_timeout_seconds)::integer >= 1800)),
    CONSTRAINT "admin_contact is a URI, such as mailto:postmaster@example.test" CHECK (((admin_contact ~ '^[a-z][a-z0-9+.-]*:[!-~]+$'::text) AND (octet_length(admin_contact) <= 1000))),
    CONSTRAINT imap_only_row_check CHECK (only_row),
    CONSTRAINT "language is one of en, de, fr and es" CHECK ((language = ANY (ARRAY['en'::text, 'de'::text, 'fr'::text, 'es'::text]))),
    CONSTRAINT "max_errors is at least 1" CHECK ((max_errors >= 1)),
    CONSTRAINT "max_mailboxes is at least 10" CHECK ((max_mailboxes >= 10)),
    CONSTRAINT "max_metadata_bytes is from 0 to 65536" CHECK (((max_metadata_bytes >= 0) AND (max_metadata_bytes <= 65536))),
    CONSTRAINT "max_metadata_entries is from 0 to 10000" CHECK (((max_metadata_entries >= 0) AND (max_metadata_entries <= 10000))),
    CONSTRAINT "progress_seconds is from 0 to 3600" CHECK (((progress_seconds >= 0) AND (progress_seconds <= 3600))),
    CONSTRAINT "server_comment has up to 1000 bytes" CHECK ((octet_length(server_comment) <= 1000))
);

COMMENT ON TABLE control.imap IS 'Settings of the IMAP service';

COMMENT ON COLUMN control.imap.only_row IS 'Always true: there is one row';

COMMENT ON COLUMN control.imap.require_tls_for_login IS 'Whether LOGIN and AUTHENTICATE PLAIN are refused without TLS (LOGINDISABLED)';

COMMENT ON COLUMN control.imap.idle_timeout_seconds IS 'How long a silent client is kept after login';

COMMENT ON COLUMN control.imap.login_timeout_seconds IS 'How long a client may take to log in';

COMMENT ON COLUMN control.imap.max_errors IS 'Commands with syntax errors after which a session is closed';

COMMENT ON COLUMN control.imap.max_mailboxes IS 'Mailboxes that one account may have';

COMMENT ON COLUMN control.imap.admin_contact IS 'How the administrator is reached, as a URI such as mailto:postmaster@example.test: mail programs read it as /shared/admin (RFC 5464). Empty = not said';

COMMENT ON COLUMN control.imap.server_comment IS 'A comment on this server that mail programs can show, read as /shared/comment (RFC 5464). Empty = none';

COMMENT ON COLUMN control.imap.max_metadata_bytes IS 'Largest value of an annotation (METADATA), bytes';

COMMENT ON COLUMN control.imap.max_metadata_entries IS 'Annotations that a mailbox may have shared, and that each user may have private on it';

COMMENT ON COLUMN control.imap.progress_seconds IS 'How often a client hears how far a long command is (RFC 9585 asks for at least 10 seconds between two); 0 = at every step';

COMMENT ON COLUMN control.imap.language IS 'Language of texts for people, for clients that ask for the one this server prefers (LANGUAGE "default", RFC 5255): en, de, fr or es';

COMMENT ON COLUMN control.imap.refuse_8bit_headers IS 'Whether APPEND refuses messages with 8-bit headers from clients that have not enabled UTF8=ACCEPT, as RFC 6855, 4 demands; off by default, because old mailboxes hold such messages and must be movable';

COMMENT ON COLUMN control.imap.submission_accounts IS 'Addresses of the accounts by which submission servers log in: they may fetch what URLs made for submission (submit+) lead to';

CREATE TABLE control.smtp (
    only_row boolean DEFAULT true NOT NULL,
    max_message_bytes control.message_size DEFAULT 52428800 NOT NULL,
    max_recipients integer DEFAULT 1000 NOT NULL,
    max_header_bytes integer DEFAULT 262144 NOT NULL,
    max_errors integer DEFAULT 20 NOT NULL,
    max_messages_per_session integer DEFAULT 100000 NOT NULL,
    max_received_headers integer DEFAULT 100 NOT NULL,
    bare_newline control.newline_policy DEFAULT 'refuse'::control.newline_policy NOT NULL,
    require_tls_for_auth boolean DEFAULT true NOT NULL,
    allow_null_sender boolean DEFAULT true NOT NULL,
    command_timeout_seconds control.seconds DEFAULT 300 NOT NULL,
    data_timeout_seconds control.seconds DEFAULT 180 NOT NULL,
    relay_ip_list_id bigint,
    xclient_ip_list_id bigint,
    mail_from_policy control.mail_from_policy DEFAULT 'any'::control.mail_from_policy NOT NULL,
    local_senders_need_login boolean DEFAULT false NOT NULL,
    refuse_unknown_local_senders boolean DEFAULT true NOT NULL,
    unresolvable_sender control.unresolvable_policy DEFAULT 'accept'::control.unresolvable_policy NOT NULL,
    max_hold_seconds integer DEFAULT 2592000 NOT NULL,
    min_deliver_by_seconds integer DEFAULT 0 NOT NULL,
    max_priority smallint DEFAULT 4 NOT NULL,
    vrfy boolean DEFAULT false NOT NULL,
    expn boolean DEFAULT false NOT NULL,
    etrn boolean DEFAULT false NOT NULL,
    CONSTRAINT "a message header is from 16 kB to 1 MB" CHECK (((max_header_bytes >= 16384) AND (max_header_bytes <= 1048576))),
    CONSTRAINT "a message may have from 100 to 50000 recipients" CHECK (((max_recipients >= 100) AND (max_recipients <= 50000))),
    CONSTRAINT "a priority is from -9 to 9" CHECK (((max_priority >= '-9'::integer) AND (max_priority <= 9))),
    CONSTRAINT "max_errors is at least 1" CHECK ((max_errors >= 1)),
    CONSTRAINT "max_hold_seconds is 0 (not offered) to 31536000 (one year)" CHECK (((max_hold_seconds >= 0) AND (max_hold_seconds <= 31536000))),
    CONSTRAINT "max_messages_per_session is at least 1" CHECK ((max_messages_per_session >= 1)),
    CONSTRAINT "max_received_headers is from 10 to 1000" CHECK (((max_received_headers >= 10) AND (max_received_headers <= 1000))),
    CONSTRAINT "min_deliver_by_seconds is from 0 to 86400" CHECK (((min_deliver_by_seconds >= 0) AND (min_deliver_by_seconds <= 86400))),
    CONSTRAINT smtp_only_row_check CHECK (only_row)
);

COMMENT ON TABLE control.smtp IS 'Settings of the SMTP service';

COMMENT ON COLUMN control.smtp.only_row IS 'Always true: there is one row';

COMMENT ON COLUMN control.smtp.max_message_bytes IS 'Largest message accepted, in bytes, 150 MB at most; a domain or account may have a lower limit';

COMMENT ON COLUMN control.smtp.max_recipients IS 'Recipients of one message; more are answered with 452, and the client sends them in a further message';

COMMENT ON COLUMN control.smtp.max_header_bytes IS 'Largest header of a message, in bytes';

COMMENT ON COLUMN control.smtp.max_errors IS 'Refused commands after which a session is closed with 421';

COMMENT ON COLUMN control.smtp.max_messages_per_session IS 'Messages in one session';

COMMENT ON COLUMN control.smtp.max_received_headers IS 'A message with more Received headers than this runs in a loop and is refused (RFC 5321, 6.3)';

COMMENT ON COLUMN control.smtp.bare_newline IS 'A message with CR or LF alone: refuse it, or normalise them to CRLF. They never end a message';

COMMENT ON COLUMN control.smtp.require_tls_for_auth IS 'Whether AUTH is offered only under TLS';

COMMENT ON COLUMN control.smtp.allow_null_sender IS 'Whether MAIL FROM:<> is accepted; bounces need it';

COMMENT ON COLUMN control.smtp.command_timeout_seconds IS 'How long a silent client is waited for between commands';

COMMENT ON COLUMN control.smtp.data_timeout_seconds IS 'How long a silent client is waited for within a message';

COMMENT ON COLUMN control.smtp.relay_ip_list_id IS 'The addresses in this IP list may send mail to other servers without a login, on submission listeners too; empty = nobody may';

COMMENT ON COLUMN control.smtp.xclient_ip_list_id IS 'The addresses in this IP list may say by XCLIENT for which client they speak; empty = nobody may';

COMMENT ON COLUMN control.smtp.mail_from_policy IS 'Senders that users may give. any: whatever they like; own: their own address, aliases that lead to them, and what directory.sender_permission allows. An account may have its own policy';

COMMENT ON COLUMN control.smtp.local_senders_need_login IS 'Whether addresses of accounts and aliases here may be given as sender only by those who have logged in, or may relay. A domain or account may differ';

COMMENT ON COLUMN control.smtp.refuse_unknown_local_senders IS 'Whether senders in your domains that do not exist are refused';

COMMENT ON COLUMN control.smtp.unresolvable_sender IS 'Senders whose domain takes no mail, for it has neither MX nor address: accept, defer (450), or refuse (550). Names that cannot be looked up now are deferred, unless all are accepted';

COMMENT ON COLUMN control.smtp.max_hold_seconds IS 'How long users may have a message held back (FUTURERELEASE, RFC 4865); 0 = not offered';

COMMENT ON COLUMN control.smtp.min_deliver_by_seconds IS 'Shortest time to deliver a message that must otherwise be returned (DELIVERBY, RFC 2852)';

COMMENT ON COLUMN control.smtp.max_priority IS 'Highest priority that users may give a message (MT-PRIORITY, RFC 6710), from -9 to 9; higher ones are lowered to it. An account may have its own';

COMMENT ON COLUMN control.smtp.vrfy IS 'Whether VRFY tells users and relaying peers which addresses exist; others are always answered 252';

COMMENT ON COLUMN control.smtp.expn IS 'Whether EXPN tells users and relaying peers who is behind an alias';

COMMENT ON COLUMN control.smtp.etrn IS 'Whether ETRN lets users and relaying peers start the queue of a domain';

CREATE TABLE log.trace (
    id bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    session_id bigint,
    account_id bigint,
    size bigint,
    mailbox_id bigint,
    uid bigint,
    queue_id bigint,
    step log.step NOT NULL,
    node text NOT NULL,
    message text NOT NULL,
    peer inet,
    command text,
    sender text,
    recipient text,
    message_id text,
    reply text
);

COMMENT ON TABLE log.trace IS 'What became of each message, up to a mailbox here or the queue; report.trace shows it together with the attempts that follow';

COMMENT ON COLUMN log.trace.id IS 'Number of the row';

COMMENT ON COLUMN log.trace.at IS 'When';

COMMENT ON COLUMN log.trace.session_id IS 'The session that brought the message, as live.session called it';

COMMENT ON COLUMN log.trace.account_id IS 'Who submitted it; where it was placed: whose mailbox it is';

COMMENT ON COLUMN log.trace.size IS 'Bytes';

COMMENT ON COLUMN log.trace.mailbox_id IS 'The mailbox it was placed in';

COMMENT ON COLUMN log.trace.uid IS 'Its UID there';

COMMENT ON COLUMN log.trace.queue_id IS 'Its number in queue.message and queue.attempt';

COMMENT ON COLUMN log.trace.step IS 'accepted: 250 was said, a row for each recipient; refused; placed: it is in a mailbox; missed: the mailbox was deleted meanwhile; queued: for another server; reported: its sender is told of what became of it; held, released, retried, cancelled: somebody did so to what is queued';

COMMENT ON COLUMN log.trace.node IS 'The node that did it';

COMMENT ON COLUMN log.trace.message IS 'What the server calls the message: the id in its Received field, also said to who sent it. For what was refused before a message began: the session';

COMMENT ON COLUMN log.trace.peer IS 'The client''s address';

COMMENT ON COLUMN log.trace.command IS 'What was refused: MAIL, RCPT or DATA';

COMMENT ON COLUMN log.trace.sender IS 'Reverse path, empty = null sender, in the first row of a message; where it is queued: if it was rewritten';

COMMENT ON COLUMN log.trace.recipient IS 'Accepted, refused: as the client said it. Placed: the account''s address. Queued: where it goes';

COMMENT ON COLUMN log.trace.message_id IS 'Its Message-ID, in the first row';

COMMENT ON COLUMN log.trace.reply IS 'What was said: the refusal, or the kind of the report; who held, released, retried or cancelled it';

CREATE TABLE store.usage (
    account_id bigint NOT NULL,
    bytes bigint DEFAULT 0 NOT NULL,
    messages bigint DEFAULT 0 NOT NULL,
    next_uid_validity bigint DEFAULT 1 NOT NULL
)
WITH (fillfactor='50');

COMMENT ON TABLE store.usage IS 'What each account keeps, counted by the statements that add or remove mail';

COMMENT ON COLUMN store.usage.account_id IS 'The account';

COMMENT ON COLUMN store.usage.bytes IS 'Sum of the sizes of its messages';

COMMENT ON COLUMN store.usage.messages IS 'Number of its messages';

COMMENT ON COLUMN store.usage.next_uid_validity IS 'Lowest UIDVALIDITY for its next mailbox, so that none is used twice';

CREATE VIEW logic.account AS
 SELECT a.id AS account_id,
    a.domain_id,
    (((a.local_part)::text || '@'::text) || d.name) AS address,
    (a.active AND d.active) AS active,
    a.password_hash,
    a.scram,
    a.forbidden_services,
    NULLIF(COALESCE((a.quota_bytes)::bigint, (d.quota_bytes)::bigint, ( SELECT directory.quota_bytes
           FROM control.directory)), 0) AS quota_bytes,
    (COALESCE(a.max_message_bytes, d.max_message_bytes, ( SELECT smtp.max_message_bytes
           FROM control.smtp)))::bigint AS max_message_bytes,
    u.bytes AS used_bytes,
    i.id AS inbox_id,
    a.forward_to,
    a.forward_keep,
    COALESCE(a.max_priority, ( SELECT smtp.max_priority
           FROM control.smtp)) AS max_priority,
    u.messages AS used_messages,
    NULLIF(COALESCE(a.max_messages, d.max_messages, ( SELECT directory.max_messages
           FROM control.directory)), 0) AS max_messages,
    (COALESCE(a.max_mailboxes, d.max_mailboxes, ( SELECT imap.max_mailboxes
           FROM control.imap)))::bigint AS max_mailboxes,
    a.manages_domain
   FROM (((directory.account a
     JOIN directory.domain d ON ((d.id = a.domain_id)))
     LEFT JOIN store.usage u ON ((u.account_id = a.id)))
     LEFT JOIN store.mailbox i ON (((i.account_id = a.id) AND (i.name = 'INBOX'::text))));

CREATE TABLE queue.attempt (
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    node text NOT NULL,
    message_id bigint NOT NULL,
    recipient text NOT NULL,
    sender text NOT NULL,
    account_id bigint,
    content_id bigint NOT NULL,
    size bigint NOT NULL,
    outcome text NOT NULL,
    attempt integer NOT NULL,
    host text,
    address inet,
    tls text,
    reply text NOT NULL,
    milliseconds integer NOT NULL,
    CONSTRAINT "this is no outcome of an attempt" CHECK ((outcome = ANY (ARRAY['delivered'::text, 'delayed'::text, 'failed'::text, 'expired'::text, 'cancelled'::text])))
);

COMMENT ON TABLE queue.attempt IS 'What became of each attempt to deliver; kept for control.relay.attempt_days';

COMMENT ON COLUMN queue.attempt.id IS 'Number of the row';

COMMENT ON COLUMN queue.attempt.at IS 'When it ended';

COMMENT ON COLUMN queue.attempt.node IS 'The node that made it';

COMMENT ON COLUMN queue.attempt.message_id IS 'The message as it was called in queue.message';

COMMENT ON COLUMN queue.attempt.recipient IS 'The recipient';

COMMENT ON COLUMN queue.attempt.sender IS 'Reverse path; empty = null sender';

COMMENT ON COLUMN queue.attempt.account_id IS 'The account that sent it';

COMMENT ON COLUMN queue.attempt.content_id IS 'Its content in store.content, if it is still there';

COMMENT ON COLUMN queue.attempt.size IS 'Bytes';

COMMENT ON COLUMN queue.attempt.outcome IS 'delivered, delayed (tried again later), failed, expired, or cancelled by an administrator';

COMMENT ON COLUMN queue.attempt.attempt IS 'The how-many-th it was';

COMMENT ON COLUMN queue.attempt.host IS 'The server it was made with, by name';

COMMENT ON COLUMN queue.attempt.address IS 'And by address';

COMMENT ON COLUMN queue.attempt.tls IS 'TLS version, cipher and how the certificate was verified; empty = not encrypted';

COMMENT ON COLUMN queue.attempt.reply IS 'What the server said, or what went wrong';

COMMENT ON COLUMN queue.attempt.milliseconds IS 'How long it took';

CREATE VIEW report.trace AS
 SELECT t.at,
    t.message,
    (t.step)::text AS step,
    t.command,
    t.sender,
    t.recipient,
    t.reply,
    host(t.peer) AS peer,
    NULL::text AS host,
    a.address AS account,
    b.name AS mailbox,
    t.uid,
    t.size,
    t.message_id AS header_message_id,
    t.queue_id,
    t.session_id,
    t.node,
    t.id AS trace_id
   FROM ((log.trace t
     LEFT JOIN logic.account a ON ((a.account_id = t.account_id)))
     LEFT JOIN store.mailbox b ON (((b.account_id = t.account_id) AND (b.id = t.mailbox_id))))
  WHERE ((t.step)::text <> 'cancelled'::text)
UNION ALL
 SELECT a.at,
    t.message,
    a.outcome AS step,
    NULL::text AS command,
    NULL::text AS sender,
    a.recipient,
    a.reply,
    host(a.address) AS peer,
    a.host,
    NULL::text AS account,
    NULL::text AS mailbox,
    NULL::bigint AS uid,
    a.size,
    NULL::text AS header_message_id,
    a.message_id AS queue_id,
    NULL::bigint AS session_id,
    a.node,
    NULL::bigint AS trace_id
   FROM (queue.attempt a
     LEFT JOIN log.trace t ON (((t.queue_id = a.message_id) AND (t.recipient = a.recipient) AND (t.step = 'queued'::log.step))));

COMMENT ON VIEW report.trace IS 'What became of messages, step by step: accepted or refused, placed in a mailbox, queued, and each attempt to deliver (delivered, delayed, failed, expired, cancelled), held, released or retried by somebody, reported to the sender. All steps of one message bear the same message; order by at, trace_id';

COMMENT ON COLUMN report.trace.at IS 'When';

COMMENT ON COLUMN report.trace.message IS 'What the server calls the message: the id in its Received field, also said to who sent it. For what was refused before a message began: the session';

COMMENT ON COLUMN report.trace.step IS 'What happened: see the table in docs/administer.md';

COMMENT ON COLUMN report.trace.command IS 'What was refused: MAIL, RCPT or DATA';

COMMENT ON COLUMN report.trace.sender IS 'Reverse path, empty = null sender, in the first row of a message; where it is queued: if it was rewritten';

COMMENT ON COLUMN report.trace.recipient IS 'For whom';

COMMENT ON COLUMN report.trace.reply IS 'What was said, here or by the other server';

COMMENT ON COLUMN report.trace.peer IS 'Address of the client, or of the server that it was delivered to';

COMMENT ON COLUMN report.trace.host IS 'Name of the server that it was delivered to';

COMMENT ON COLUMN report.trace.account IS 'Who submitted it; where it was placed: whose mailbox it is';

COMMENT ON COLUMN report.trace.mailbox IS 'The mailbox it was placed in';

COMMENT ON COLUMN report.trace.uid IS 'Its UID there';

COMMENT ON COLUMN report.trace.size IS 'Bytes';

COMMENT ON COLUMN report.trace.header_message_id IS 'Its Message-ID, in the first row';

COMMENT ON COLUMN report.trace.queue_id IS 'Its number in queue.message and queue.attempt';

COMMENT ON COLUMN report.trace.session_id IS 'The session that brought the message, as live.session called it';

COMMENT ON COLUMN report.trace.node IS 'The node that did it';

COMMENT ON COLUMN report.trace.trace_id IS 'The row of log.trace; empty = an attempt of queue.attempt';

CREATE FUNCTION report.find_trace(sender text DEFAULT NULL::text, recipient text DEFAULT NULL::text, message_id text DEFAULT NULL::text, peer inet DEFAULT NULL::inet, since timestamp with time zone DEFAULT '-infinity'::timestamp with time zone, until timestamp with time zone DEFAULT 'infinity'::timestamp with time zone, most integer DEFAULT 100) RETURNS SETOF report.trace
    LANGUAGE sql STABLE
    SET plan_cache_mode TO 'force_custom_plan'
    BEGIN ATOMIC
 SELECT r.at,
     r.message,
     r.step,
     r.command,
     r.sender,
     r.recipient,
     r.reply,
     r.peer,
     r.host,
     r.account,
     r.mailbox,
     r.uid,
     r.size,
     r.header_message_id,
     r.queue_id,
     r.session_id,
     r.node,
     r.trace_id
    FROM report.trace r
   WHERE (r.message = ANY (( SELECT logic.find_messages(find_trace.sender, find_trace.recipient, find_trace.message_id, find_trace.peer, find_trace.since, find_trace.until, find_trace.most) AS find_messages)::text[]))
   ORDER BY (min(r.at) OVER (PARTITION BY r.message)), r.message, r.at, r.trace_id;
END;

COMMENT ON FUNCTION report.find_trace(sender text, recipient text, message_id text, peer inet, since timestamp with time zone, until timestamp with time zone, most integer) IS 'What became of messages by sender, recipient, Message-ID or peer (together: all of them must be so), the newest 100 messages of that time or as many as most says; each message from its beginning to its end';

CREATE FUNCTION store.mailbox_id(account text, mailbox text) RETURNS bigint
    LANGUAGE sql STABLE
    AS $$
  select m.id from store.mailbox m join directory.account a on a.id = m.account_id join directory.domain d on d.id = a.domain_id
  where a.local_part || '@' || d.name = lower(account) and m.name = case when upper(mailbox) = 'INBOX' then 'INBOX' else mailbox end
$$;

COMMENT ON FUNCTION store.mailbox_id(account text, mailbox text) IS 'Id of a mailbox: store.mailbox_id(''alice@example.test'', ''INBOX'')';

CREATE FUNCTION store.my_account() RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    AS $$
  select logic.me()
$$;

COMMENT ON FUNCTION store.my_account() IS 'The account that this SQL login stands for (directory.sql_login)';

CREATE FUNCTION store.my_mailboxes() RETURNS TABLE(owner text, account_id bigint, mailbox_id bigint, name text, rights text)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog'
    AS $$
  select a.local_part || '@' || d.name, m.account_id, m.id, m.name, logic.ordered_rights(logic.rights(m.account_id, m.id, logic.me()))
  from logic.allowed('l') l
  join store.mailbox m on m.account_id = l.account_id and m.id = l.mailbox_id
  join directory.account a on a.id = m.account_id
  join directory.domain d on d.id = a.domain_id
  order by m.account_id <> logic.me(), 1, 4
$$;

COMMENT ON FUNCTION store.my_mailboxes() IS 'The mailboxes that this SQL login may look up, its own first, with its rights';

CREATE FUNCTION store.restore(account bigint, mailbox bigint, since timestamp with time zone DEFAULT '-infinity'::timestamp with time zone) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
declare n bigint;
begin
  create temporary table if not exists restoring on commit drop as select * from store.expunged limit 0;
  truncate restoring;
  insert into restoring
  select e.* from store.expunged e
  where e.account_id = account and e.mailbox_id = mailbox and e.expunged_at >= since
    and e.content_id is not null and exists (select 1 from store.content c where c.id = e.content_id)
  for update;
  insert into store.message (account_id, mailbox_id, uid, content_id, internal_date, modseq, size, zone_minutes,
    seen, answered, flagged, draft, keywords, prefix)
  select account_id, mailbox_id, 0, content_id, internal_date, 0, size, zone_minutes, seen, answered, flagged, draft, keywords, prefix
  from restoring order by uid;
  get diagnostics n = row_count;
  -- Under its old UID a restored message stays gone, but it cannot be restored twice.
  update store.expunged e set content_id = null from restoring r
  where e.account_id = r.account_id and e.mailbox_id = r.mailbox_id and e.uid = r.uid;
  return n;
end $$;

COMMENT ON FUNCTION store.restore(account bigint, mailbox bigint, since timestamp with time zone) IS 'Brings messages deleted from a mailbox (since a time) back into it; returns how many';

CREATE FUNCTION store.share(account text, mailbox text, who text, rights text, negative boolean DEFAULT false) RETURNS void
    LANGUAGE plpgsql
    AS $$
declare
  box bigint := store.mailbox_id(account, mailbox);
  owner bigint := (select m.account_id from store.mailbox m where m.id = box);
  g record;
begin
  if box is null then
    raise exception '% has no mailbox %', account, mailbox using errcode = 'no_data_found';
  end if;
  select * into g from logic.grantee(who, owner);
  if num_nonnulls(g.grantee_id, g.grantee_domain_id) = 0 then
    raise exception 'there is nobody called %: name an account, @domain, or anyone', who using errcode = 'no_data_found';
  end if;
  if rights = '' then
    delete from store.acl a
    where a.account_id = owner and a.mailbox_id = box and a.negative = share.negative
      and (a.grantee_id, a.grantee_domain_id) is not distinct from (g.grantee_id, g.grantee_domain_id);
  else
    insert into store.acl as a (account_id, mailbox_id, grantee_id, grantee_domain_id, negative, rights)
    values (owner, box, g.grantee_id, g.grantee_domain_id, share.negative, share.rights)
    on conflict on constraint "this account or domain has an entry for this mailbox already" do update set rights = excluded.rights;
  end if;
end $$;

COMMENT ON FUNCTION store.share(account text, mailbox text, who text, rights text, negative boolean) IS 'Shares a mailbox: store.share(''team@example.test'', ''INBOX'', ''anyone'', ''lrs''). No rights: takes the entry away';

CREATE TABLE control.acme (
    only_row boolean DEFAULT true NOT NULL,
    active boolean DEFAULT false NOT NULL,
    directory text DEFAULT 'https://acme-v02.api.letsencrypt.org/directory'::text NOT NULL,
    terms_agreed boolean DEFAULT false NOT NULL,
    contact text,
    challenge control.acme_challenge DEFAULT 'tls-alpn-01'::control.acme_challenge NOT NULL,
    renew_days integer,
    roots text,
    external_key_id text,
    external_key control.secret,
    CONSTRAINT acme_only_row_check CHECK (only_row),
    CONSTRAINT "contact is an email address" CHECK ((contact ~ '^[^@\s,?]+@[^@\s,?]+$'::text)),
    CONSTRAINT "directory is an address that begins with https://" CHECK ((directory ~ '^https://[^/\s]+(/\S*)?$'::text)),
    CONSTRAINT "external_key is base64url" CHECK (((external_key)::text ~ '^[A-Za-z0-9_-]+=*$'::text)),
    CONSTRAINT "external_key_id and external_key come together" CHECK (((external_key_id IS NULL) = (external_key IS NULL))),
    CONSTRAINT "read the authority's terms, and set terms_agreed" CHECK ((terms_agreed OR (NOT active))),
    CONSTRAINT "renew_days is from 1 to 365" CHECK (((renew_days >= 1) AND (renew_days <= 365))),
    CONSTRAINT "roots are certificates in PEM" CHECK ((roots ~~ '%-----BEGIN CERTIFICATE-----%'::text))
);

COMMENT ON TABLE control.acme IS 'The certificate authority that certificates are ordered from (ACME, RFC 8555); which ones, control.acme_certificate says';

COMMENT ON COLUMN control.acme.only_row IS 'Always true: there is one row';

COMMENT ON COLUMN control.acme.active IS 'Whether certificates are ordered and renewed';

COMMENT ON COLUMN control.acme.directory IS 'Address of the authority''s ACME directory; that of Let''s Encrypt unless another one is named';

COMMENT ON COLUMN control.acme.terms_agreed IS 'Whether you have read the authority''s terms of service and agree to them';

COMMENT ON COLUMN control.acme.contact IS 'Mail address that the authority may write to; empty = none';

COMMENT ON COLUMN control.acme.challenge IS 'How it is shown that a name is ours. tls-alpn-01: on port 443, by any listener with implicit TLS (RFC 8737); http-01: on port 80, by a page (RFC 8555 section 8.3)';

COMMENT ON COLUMN control.acme.renew_days IS 'Renewed so many days before its end, but not before two thirds of its life are over; empty = when two thirds are over';

COMMENT ON COLUMN control.acme.roots IS 'Authorities to trust besides those of the system when speaking to the directory, PEM; for an authority of your own';

COMMENT ON COLUMN control.acme.external_key_id IS 'Key identifier, from authorities that want to know their customers (external account binding)';

COMMENT ON COLUMN control.acme.external_key IS 'The key to it, base64url';

CREATE VIEW admin.acme WITH (security_invoker='true') AS
 SELECT acme.only_row,
    acme.active,
    acme.directory,
    acme.terms_agreed,
    acme.contact,
    acme.challenge,
    acme.renew_days,
    acme.roots,
    acme.external_key_id
   FROM control.acme;

COMMENT ON VIEW admin.acme IS 'Settings: ACME. The certificate authority that certificates are ordered from (ACME, RFC 8555); which ones, control.acme_certificate says';

COMMENT ON COLUMN admin.acme.only_row IS 'Always true: there is one row';

COMMENT ON COLUMN admin.acme.active IS 'Whether certificates are ordered and renewed';

COMMENT ON COLUMN admin.acme.directory IS 'Address of the authority''s ACME directory; that of Let''s Encrypt unless another one is named';

COMMENT ON COLUMN admin.acme.terms_agreed IS 'Whether you have read the authority''s terms of service and agree to them';

COMMENT ON COLUMN admin.acme.contact IS 'Mail address that the authority may write to; empty = none';

COMMENT ON COLUMN admin.acme.challenge IS 'How it is shown that a name is ours. tls-alpn-01: on port 443, by any listener with implicit TLS (RFC 8737); http-01: on port 80, by a page (RFC 8555 section 8.3)';

COMMENT ON COLUMN admin.acme.renew_days IS 'Renewed so many days before its end, but not before two thirds of its life are over; empty = when two thirds are over';

COMMENT ON COLUMN admin.acme.roots IS 'Authorities to trust besides those of the system when speaking to the directory, PEM; for an authority of your own';

COMMENT ON COLUMN admin.acme.external_key_id IS 'Key identifier, from authorities that want to know their customers (external account binding)';

CREATE TABLE control.acme_account (
    directory text NOT NULL,
    url text NOT NULL,
    key control.secret NOT NULL,
    contact text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT "a private key is PKCS #8 in PEM" CHECK (((key)::text ~~ '%-----BEGIN PRIVATE KEY-----%'::text))
);

COMMENT ON TABLE control.acme_account IS 'Accounts with authorities; the server makes one when it first needs it. To change to a new key, delete the row';

COMMENT ON COLUMN control.acme_account.directory IS 'The authority, by its directory';

COMMENT ON COLUMN control.acme_account.url IS 'The account''s name there';

COMMENT ON COLUMN control.acme_account.key IS 'The account''s key (ECDSA P-256), PKCS #8 in PEM';

COMMENT ON COLUMN control.acme_account.contact IS 'The contact that the authority knows';

COMMENT ON COLUMN control.acme_account.created_at IS 'When it was made';

CREATE VIEW admin.acme_account WITH (security_invoker='true') AS
 SELECT acme_account.directory,
    acme_account.url,
    acme_account.contact,
    acme_account.created_at
   FROM control.acme_account;

COMMENT ON VIEW admin.acme_account IS 'Server: ACME account. Accounts with authorities; the server makes one when it first needs it. To change to a new key, delete the row';

COMMENT ON COLUMN admin.acme_account.directory IS 'The authority, by its directory';

COMMENT ON COLUMN admin.acme_account.url IS 'The account''s name there';

COMMENT ON COLUMN admin.acme_account.contact IS 'The contact that the authority knows';

COMMENT ON COLUMN admin.acme_account.created_at IS 'When it was made';

CREATE TABLE control.acme_answer (
    token text NOT NULL,
    name text NOT NULL,
    challenge control.acme_challenge NOT NULL,
    key_authorization text NOT NULL,
    chain text,
    key control.secret,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT "an answer by TLS has a certificate" CHECK (((challenge <> 'tls-alpn-01'::control.acme_challenge) OR ((chain IS NOT NULL) AND (key IS NOT NULL))))
);

COMMENT ON TABLE control.acme_answer IS 'What every node shows to the authority while an order is under way, to prove that a name is ours';

COMMENT ON COLUMN control.acme_answer.token IS 'The authority''s question; at http-01 the last part of the page''s path';

COMMENT ON COLUMN control.acme_answer.name IS 'Host name that is in question';

COMMENT ON COLUMN control.acme_answer.challenge IS 'How it is answered';

COMMENT ON COLUMN control.acme_answer.key_authorization IS 'The answer: token and fingerprint of the account''s key';

COMMENT ON COLUMN control.acme_answer.chain IS 'tls-alpn-01: the certificate shown, PEM';

COMMENT ON COLUMN control.acme_answer.key IS 'tls-alpn-01: its private key, PEM';

COMMENT ON COLUMN control.acme_answer.created_at IS 'When it was asked';

CREATE VIEW admin.acme_answer WITH (security_invoker='true') AS
 SELECT acme_answer.token,
    acme_answer.name,
    acme_answer.challenge,
    acme_answer.key_authorization,
    acme_answer.chain,
    acme_answer.created_at
   FROM control.acme_answer;

COMMENT ON VIEW admin.acme_answer IS 'Server: ACME answer. What every node shows to the authority while an order is under way, to prove that a name is ours';

COMMENT ON COLUMN admin.acme_answer.token IS 'The authority''s question; at http-01 the last part of the page''s path';

COMMENT ON COLUMN admin.acme_answer.name IS 'Host name that is in question';

COMMENT ON COLUMN admin.acme_answer.challenge IS 'How it is answered';

COMMENT ON COLUMN admin.acme_answer.key_authorization IS 'The answer: token and fingerprint of the account''s key';

COMMENT ON COLUMN admin.acme_answer.chain IS 'tls-alpn-01: the certificate shown, PEM';

COMMENT ON COLUMN admin.acme_answer.created_at IS 'When it was asked';

CREATE TABLE control.acme_order (
    acme_certificate_id bigint NOT NULL,
    directory text NOT NULL,
    url text NOT NULL,
    key control.secret NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

COMMENT ON TABLE control.acme_order IS 'Orders under way; another node goes on with them should this one fall';

COMMENT ON COLUMN control.acme_order.acme_certificate_id IS 'What is ordered';

COMMENT ON COLUMN control.acme_order.directory IS 'The authority, by its directory';

COMMENT ON COLUMN control.acme_order.url IS 'The order''s name there';

COMMENT ON COLUMN control.acme_order.key IS 'Private key of the certificate to be, PEM';

COMMENT ON COLUMN control.acme_order.created_at IS 'When it was begun';

CREATE VIEW admin.acme_order WITH (security_invoker='true') AS
 SELECT acme_order.acme_certificate_id,
    acme_order.directory,
    acme_order.url,
    acme_order.created_at
   FROM control.acme_order;

COMMENT ON VIEW admin.acme_order IS 'Server: ACME order. Orders under way; another node goes on with them should this one fall';

COMMENT ON COLUMN admin.acme_order.acme_certificate_id IS 'What is ordered';

COMMENT ON COLUMN admin.acme_order.directory IS 'The authority, by its directory';

COMMENT ON COLUMN admin.acme_order.url IS 'The order''s name there';

COMMENT ON COLUMN admin.acme_order.created_at IS 'When it was begun';

CREATE TABLE directory.alias (
    id bigint NOT NULL,
    domain_id bigint NOT NULL,
    local_part directory.local_part NOT NULL,
    targets text[] NOT NULL,
    active boolean DEFAULT true NOT NULL,
    authenticated_only boolean DEFAULT false NOT NULL,
    CONSTRAINT "an alias has at least one target address" CHECK (((cardinality(targets) > 0) AND (array_position(targets, NULL::text) IS NULL)))
);

COMMENT ON TABLE directory.alias IS 'Addresses that expand to others';

COMMENT ON COLUMN directory.alias.id IS 'Number of the row';

COMMENT ON COLUMN directory.alias.domain_id IS 'The domain of the address';

COMMENT ON COLUMN directory.alias.local_part IS 'The part before @, kept in lower case';

COMMENT ON COLUMN directory.alias.targets IS 'Where the mail goes: addresses here or elsewhere';

COMMENT ON COLUMN directory.alias.active IS 'An inactive alias is an unknown address';

COMMENT ON COLUMN directory.alias.authenticated_only IS 'Whether only users who have logged in may write to it';

CREATE VIEW admin.alias WITH (security_invoker='true') AS
 SELECT alias.id,
    alias.domain_id,
    alias.local_part,
    alias.targets,
    alias.active,
    alias.authenticated_only
   FROM directory.alias;

COMMENT ON VIEW admin.alias IS 'Mail: Aliases. Addresses that expand to others';

COMMENT ON COLUMN admin.alias.id IS 'Number of the row';

COMMENT ON COLUMN admin.alias.domain_id IS 'The domain of the address';

COMMENT ON COLUMN admin.alias.local_part IS 'The part before @, kept in lower case';

COMMENT ON COLUMN admin.alias.targets IS 'Where the mail goes: addresses here or elsewhere';

COMMENT ON COLUMN admin.alias.active IS 'An inactive alias is an unknown address';

COMMENT ON COLUMN admin.alias.authenticated_only IS 'Whether only users who have logged in may write to it';

CREATE VIEW admin.attempt WITH (security_invoker='true') AS
 SELECT attempt.id,
    attempt.at,
    attempt.outcome,
    attempt.recipient,
    attempt.sender,
    attempt.host,
    host(attempt.address) AS address,
    attempt.reply,
    attempt.milliseconds,
    attempt.attempt,
    attempt.tls,
    attempt.size,
    attempt.message_id,
    attempt.node
   FROM queue.attempt;

COMMENT ON VIEW admin.attempt IS 'Running: Attempts. What became of each attempt to deliver mail to other servers';

COMMENT ON COLUMN admin.attempt.id IS 'Number of the row';

COMMENT ON COLUMN admin.attempt.at IS 'When it ended';

COMMENT ON COLUMN admin.attempt.outcome IS 'delivered, delayed (tried again later), failed, expired, or cancelled by an administrator';

COMMENT ON COLUMN admin.attempt.recipient IS 'The recipient';

COMMENT ON COLUMN admin.attempt.sender IS 'Reverse path; empty = null sender';

COMMENT ON COLUMN admin.attempt.host IS 'The server it was made with, by name';

COMMENT ON COLUMN admin.attempt.address IS 'And by address';

COMMENT ON COLUMN admin.attempt.reply IS 'What the server said, or what went wrong';

COMMENT ON COLUMN admin.attempt.milliseconds IS 'How long it took';

COMMENT ON COLUMN admin.attempt.attempt IS 'The how-many-th it was';

COMMENT ON COLUMN admin.attempt.tls IS 'TLS version, cipher and how the certificate was verified; empty = not encrypted';

COMMENT ON COLUMN admin.attempt.size IS 'Bytes';

COMMENT ON COLUMN admin.attempt.message_id IS 'The message as it was called in queue.message';

COMMENT ON COLUMN admin.attempt.node IS 'The node that made it';

CREATE TABLE control.authentication (
    only_row boolean DEFAULT true NOT NULL,
    check_incoming boolean DEFAULT true NOT NULL,
    timeout_seconds integer DEFAULT 10 NOT NULL,
    max_signatures integer DEFAULT 10 NOT NULL,
    received_spf boolean DEFAULT true NOT NULL,
    seal_forwarded boolean DEFAULT true NOT NULL,
    CONSTRAINT authentication_only_row_check CHECK (only_row),
    CONSTRAINT "from 1 to 50 signatures of a message are looked at" CHECK (((max_signatures >= 1) AND (max_signatures <= 50))),
    CONSTRAINT "the checks of a message may take from 1 to 60 seconds" CHECK (((timeout_seconds >= 1) AND (timeout_seconds <= 60)))
);

COMMENT ON TABLE control.authentication IS 'How mail from other servers is checked: iprev, SPF, DKIM, DMARC, ARC';

COMMENT ON COLUMN control.authentication.only_row IS 'Always true: there is one row';

COMMENT ON COLUMN control.authentication.check_incoming IS 'Whether mail from other servers is checked at all';

COMMENT ON COLUMN control.authentication.timeout_seconds IS 'How long all checks of one message may take; a check that is not done then counts as a temporary error';

COMMENT ON COLUMN control.authentication.max_signatures IS 'DKIM signatures of one message that are looked at; the rest is ignored';

COMMENT ON COLUMN control.authentication.received_spf IS 'Whether a Received-SPF field (RFC 7208, 9.1) is added besides Authentication-Results';

COMMENT ON COLUMN control.authentication.seal_forwarded IS 'Whether mail that an alias sends on to other servers gets an ARC seal (RFC 8617) with the active DKIM key of the alias'' domain';

CREATE VIEW admin.authentication WITH (security_invoker='true') AS
 SELECT authentication.only_row,
    authentication.check_incoming,
    authentication.timeout_seconds,
    authentication.max_signatures,
    authentication.received_spf,
    authentication.seal_forwarded
   FROM control.authentication;

COMMENT ON VIEW admin.authentication IS 'Settings: Authentication. How mail from other servers is checked: iprev, SPF, DKIM, DMARC, ARC';

COMMENT ON COLUMN admin.authentication.only_row IS 'Always true: there is one row';

COMMENT ON COLUMN admin.authentication.check_incoming IS 'Whether mail from other servers is checked at all';

COMMENT ON COLUMN admin.authentication.timeout_seconds IS 'How long all checks of one message may take; a check that is not done then counts as a temporary error';

COMMENT ON COLUMN admin.authentication.max_signatures IS 'DKIM signatures of one message that are looked at; the rest is ignored';

COMMENT ON COLUMN admin.authentication.received_spf IS 'Whether a Received-SPF field (RFC 7208, 9.1) is added besides Authentication-Results';

COMMENT ON COLUMN admin.authentication.seal_forwarded IS 'Whether mail that an alias sends on to other servers gets an ARC seal (RFC 8617) with the active DKIM key of the alias'' domain';

CREATE TABLE control.authentication_policy (
    method text NOT NULL,
    result text NOT NULL,
    action text DEFAULT 'accept'::text NOT NULL,
    CONSTRAINT "an action is accept, mark, junk or reject" CHECK ((action = ANY (ARRAY['accept'::text, 'mark'::text, 'junk'::text, 'reject'::text]))),
    CONSTRAINT "this method has no such result" CHECK (
CASE method
    WHEN 'spf'::text THEN (result = ANY (ARRAY['pass'::text, 'none'::text, 'neutral'::text, 'softfail'::text, 'fail'::text, 'temperror'::text, 'permerror'::text]))
    WHEN 'helo'::text THEN (result = ANY (ARRAY['pass'::text, 'none'::text, 'neutral'::text, 'softfail'::text, 'fail'::text, 'temperror'::text, 'permerror'::text]))
    WHEN 'dkim'::text THEN (result = ANY (ARRAY['pass'::text, 'none'::text, 'neutral'::text, 'fail'::text, 'temperror'::text, 'permerror'::text]))
    WHEN 'dmarc'::text THEN (result = ANY (ARRAY['pass'::text, 'none'::text, 'fail-none'::text, 'fail-quarantine'::text, 'fail-reject'::text, 'temperror'::text, 'permerror'::text]))
    WHEN 'arc'::text THEN (result = ANY (ARRAY['pass'::text, 'none'::text, 'fail'::text, 'temperror'::text]))
    WHEN 'iprev'::text THEN (result = ANY (ARRAY['pass'::text, 'fail'::text, 'temperror'::text, 'permerror'::text]))
    ELSE false
END)
);

COMMENT ON TABLE control.authentication_policy IS 'What becomes of mail by what a check has found; of several actions the strongest counts. What has no row is accepted';

COMMENT ON COLUMN control.authentication_policy.method IS 'spf (the sender''s domain), helo (SPF of the name a server gives itself), dkim, dmarc, arc, or iprev (reverse DNS)';

COMMENT ON COLUMN control.authentication_policy.result IS 'What the check found. For dmarc the failure and the policy that the domain has published: fail-reject, fail-quarantine, fail-none';

COMMENT ON COLUMN control.authentication_policy.action IS 'accept; mark (a field X-Mailwright-Auth is added); junk (delivered to Junk); reject (550, or 451 where the result is a temporary error)';

CREATE VIEW admin.authentication_policy WITH (security_invoker='true') AS
 SELECT authentication_policy.method,
    authentication_policy.result,
    authentication_policy.action
   FROM control.authentication_policy;

COMMENT ON VIEW admin.authentication_policy IS 'Server: Authentication policy. What becomes of mail by what a check has found; of several actions the strongest counts. What has no row is accepted';

COMMENT ON COLUMN admin.authentication_policy.method IS 'spf (the sender''s domain), helo (SPF of the name a server gives itself), dkim, dmarc, arc, or iprev (reverse DNS)';

COMMENT ON COLUMN admin.authentication_policy.result IS 'What the check found. For dmarc the failure and the policy that the domain has published: fail-reject, fail-quarantine, fail-none';

COMMENT ON COLUMN admin.authentication_policy.action IS 'accept; mark (a field X-Mailwright-Auth is added); junk (delivered to Junk); reject (550, or 451 where the result is a temporary error)';

CREATE TABLE control.connection_check (
    only_row boolean DEFAULT true NOT NULL,
    no_reverse_name control.check_action DEFAULT 'off'::control.check_action NOT NULL,
    reverse_name_unconfirmed control.check_action DEFAULT 'off'::control.check_action NOT NULL,
    helo_not_qualified control.check_action DEFAULT 'off'::control.check_action NOT NULL,
    helo_unknown control.check_action DEFAULT 'off'::control.check_action NOT NULL,
    helo_is_us control.check_action DEFAULT 'mark'::control.check_action NOT NULL,
    helo_wrong_literal control.check_action DEFAULT 'mark'::control.check_action NOT NULL,
    timeout_seconds control.seconds DEFAULT 5 NOT NULL,
    CONSTRAINT connection_check_only_row_check CHECK (only_row),
    CONSTRAINT "name lookups are waited for from 1 to 30 seconds" CHECK ((((timeout_seconds)::integer >= 1) AND ((timeout_seconds)::integer <= 30)))
);

COMMENT ON TABLE control.connection_check IS 'Checks of hosts that bring mail without logging in: off, mark (a header field X-Mailwright-Check), tempfail (451) or reject (550). DNS trouble is never held against them';

COMMENT ON COLUMN control.connection_check.only_row IS 'Always true: there is one row';

COMMENT ON COLUMN control.connection_check.no_reverse_name IS 'The address has no name in DNS (PTR)';

COMMENT ON COLUMN control.connection_check.reverse_name_unconfirmed IS 'It has one, but the name does not lead back to the address';

COMMENT ON COLUMN control.connection_check.helo_not_qualified IS 'The name in EHLO or HELO is neither a full host name nor an address literal';

COMMENT ON COLUMN control.connection_check.helo_unknown IS 'The name in EHLO or HELO has neither address nor MX in DNS';

COMMENT ON COLUMN control.connection_check.helo_is_us IS 'It is our own name (control.server.hostname)';

COMMENT ON COLUMN control.connection_check.helo_wrong_literal IS 'It is an address literal of another address';

COMMENT ON COLUMN control.connection_check.timeout_seconds IS 'How long these lookups are waited for';

CREATE VIEW admin.connection_check WITH (security_invoker='true') AS
 SELECT connection_check.only_row,
    connection_check.no_reverse_name,
    connection_check.reverse_name_unconfirmed,
    connection_check.helo_not_qualified,
    connection_check.helo_unknown,
    connection_check.helo_is_us,
    connection_check.helo_wrong_literal,
    connection_check.timeout_seconds
   FROM control.connection_check;

COMMENT ON VIEW admin.connection_check IS 'Settings: Connection check. Checks of hosts that bring mail without logging in: off, mark (a header field X-Mailwright-Check), tempfail (451) or reject (550). DNS trouble is never held against them';

COMMENT ON COLUMN admin.connection_check.only_row IS 'Always true: there is one row';

COMMENT ON COLUMN admin.connection_check.no_reverse_name IS 'The address has no name in DNS (PTR)';

COMMENT ON COLUMN admin.connection_check.reverse_name_unconfirmed IS 'It has one, but the name does not lead back to the address';

COMMENT ON COLUMN admin.connection_check.helo_not_qualified IS 'The name in EHLO or HELO is neither a full host name nor an address literal';

COMMENT ON COLUMN admin.connection_check.helo_unknown IS 'The name in EHLO or HELO has neither address nor MX in DNS';

COMMENT ON COLUMN admin.connection_check.helo_is_us IS 'It is our own name (control.server.hostname)';

COMMENT ON COLUMN admin.connection_check.helo_wrong_literal IS 'It is an address literal of another address';

COMMENT ON COLUMN admin.connection_check.timeout_seconds IS 'How long these lookups are waited for';

CREATE VIEW admin.directory WITH (security_invoker='true') AS
 SELECT directory.only_row,
    directory.subaddress_separator,
    directory.max_login_failures,
    directory.lock_minutes,
    directory.max_peer_login_failures,
    directory.quota_bytes,
    directory.min_password_length,
    directory.max_messages
   FROM control.directory;

COMMENT ON VIEW admin.directory IS 'Settings: Directory. Settings of domains, accounts and logins';

COMMENT ON COLUMN admin.directory.only_row IS 'Always true: there is one row';

COMMENT ON COLUMN admin.directory.subaddress_separator IS 'What separates user and detail in user+detail@domain; empty = no subaddressing';

COMMENT ON COLUMN admin.directory.max_login_failures IS 'Wrong passwords in a row after which an account is locked';

COMMENT ON COLUMN admin.directory.lock_minutes IS 'How long an account or peer stays locked';

COMMENT ON COLUMN admin.directory.max_peer_login_failures IS 'Wrong passwords, for whatever accounts, after which a peer address (IPv6: /64) is locked';

COMMENT ON COLUMN admin.directory.quota_bytes IS 'Quota of accounts whose domain and self name none; 0 or empty = no limit';

COMMENT ON COLUMN admin.directory.min_password_length IS 'Shortest password that the commands and pages accept';

COMMENT ON COLUMN admin.directory.max_messages IS 'Messages that accounts may keep whose domain and self say nothing; 0 or empty = no limit';

CREATE TABLE control.dkim (
    only_row boolean DEFAULT true NOT NULL,
    sign boolean DEFAULT true NOT NULL,
    rsa_bits integer DEFAULT 2048 NOT NULL,
    rotate_days integer DEFAULT 0 NOT NULL,
    overlap_days integer DEFAULT 14 NOT NULL,
    CONSTRAINT "an RSA key for DKIM has 2048, 3072 or 4096 bits" CHECK ((rsa_bits = ANY (ARRAY[2048, 3072, 4096]))),
    CONSTRAINT dkim_only_row_check CHECK (only_row),
    CONSTRAINT "overlap_days is from 1 to 365" CHECK (((overlap_days >= 1) AND (overlap_days <= 365))),
    CONSTRAINT "rotate_days is 0 (never) or from 7 to 3650" CHECK (((rotate_days = 0) OR ((rotate_days >= 7) AND (rotate_days <= 3650))))
);

COMMENT ON TABLE control.dkim IS 'How the mail of our users is signed (DKIM, RFC 6376)';

COMMENT ON COLUMN control.dkim.only_row IS 'Always true: there is one row';

COMMENT ON COLUMN control.dkim.sign IS 'Whether mail that users send is signed with the active keys of the sender''s domain';

COMMENT ON COLUMN control.dkim.rsa_bits IS 'Size of new RSA keys';

COMMENT ON COLUMN control.dkim.rotate_days IS 'A new key is made when the active one is so old, and used as soon as its DNS record is there; 0 = only when you ask for it';

COMMENT ON COLUMN control.dkim.overlap_days IS 'How long the DNS record of a retired key must stay: mail signed with it is still under way. Its row is deleted then';

CREATE VIEW admin.dkim WITH (security_invoker='true') AS
 SELECT dkim.only_row,
    dkim.sign,
    dkim.rsa_bits,
    dkim.rotate_days,
    dkim.overlap_days
   FROM control.dkim;

COMMENT ON VIEW admin.dkim IS 'Settings: DKIM. How the mail of our users is signed (DKIM, RFC 6376)';

COMMENT ON COLUMN admin.dkim.only_row IS 'Always true: there is one row';

COMMENT ON COLUMN admin.dkim.sign IS 'Whether mail that users send is signed with the active keys of the sender''s domain';

COMMENT ON COLUMN admin.dkim.rsa_bits IS 'Size of new RSA keys';

COMMENT ON COLUMN admin.dkim.rotate_days IS 'A new key is made when the active one is so old, and used as soon as its DNS record is there; 0 = only when you ask for it';

COMMENT ON COLUMN admin.dkim.overlap_days IS 'How long the DNS record of a retired key must stay: mail signed with it is still under way. Its row is deleted then';

CREATE TABLE control.dmarc (
    only_row boolean DEFAULT true NOT NULL,
    report_from text,
    organization text,
    receive_at text,
    keep_days integer DEFAULT 400 NOT NULL,
    CONSTRAINT dmarc_only_row_check CHECK (only_row),
    CONSTRAINT "keep_days is from 1 to 3650" CHECK (((keep_days >= 1) AND (keep_days <= 3650))),
    CONSTRAINT "receive_at is an address like dmarc@example.test" CHECK ((receive_at ~ '^[^@[:space:]<>]+@[^@[:space:]<>]+$'::text)),
    CONSTRAINT "report_from is an address like dmarc@example.test" CHECK ((report_from ~ '^[^@[:space:]<>]+@[^@[:space:]<>]+$'::text)),
    CONSTRAINT "the organization's name has from 1 to 200 characters" CHECK (((length(organization) >= 1) AND (length(organization) <= 200)))
);

COMMENT ON TABLE control.dmarc IS 'Aggregate reports (RFC 7489, 7.2): those that we send, and those that we receive';

COMMENT ON COLUMN control.dmarc.only_row IS 'Always true: there is one row';

COMMENT ON COLUMN control.dmarc.report_from IS 'Sender of the reports that domains ask for (rua=) and get once a day; empty = none are sent';

COMMENT ON COLUMN control.dmarc.organization IS 'Name of the organization in reports; empty = the server''s name';

COMMENT ON COLUMN control.dmarc.receive_at IS 'Local address whose mail is read for reports about your domains, besides being delivered; name it in the rua= of your DMARC records';

COMMENT ON COLUMN control.dmarc.keep_days IS 'How long received reports are kept';

CREATE VIEW admin.dmarc WITH (security_invoker='true') AS
 SELECT dmarc.only_row,
    dmarc.report_from,
    dmarc.organization,
    dmarc.receive_at,
    dmarc.keep_days
   FROM control.dmarc;

COMMENT ON VIEW admin.dmarc IS 'Settings: DMARC. Aggregate reports (RFC 7489, 7.2): those that we send, and those that we receive';

COMMENT ON COLUMN admin.dmarc.only_row IS 'Always true: there is one row';

COMMENT ON COLUMN admin.dmarc.report_from IS 'Sender of the reports that domains ask for (rua=) and get once a day; empty = none are sent';

COMMENT ON COLUMN admin.dmarc.organization IS 'Name of the organization in reports; empty = the server''s name';

COMMENT ON COLUMN admin.dmarc.receive_at IS 'Local address whose mail is read for reports about your domains, besides being delivered; name it in the rua= of your DMARC records';

COMMENT ON COLUMN admin.dmarc.keep_days IS 'How long received reports are kept';

CREATE TABLE control.dns (
    only_row boolean DEFAULT true NOT NULL,
    servers text[] DEFAULT '{}'::text[] NOT NULL,
    dnssec control.dnssec DEFAULT 'trust'::control.dnssec NOT NULL,
    timeout_milliseconds integer DEFAULT 3000 NOT NULL,
    attempts integer DEFAULT 2 NOT NULL,
    cache_entries integer DEFAULT 32768 NOT NULL,
    check_hours integer DEFAULT 6 NOT NULL,
    CONSTRAINT "attempts is from 1 to 10" CHECK (((attempts >= 1) AND (attempts <= 10))),
    CONSTRAINT "cache_entries is from 0 to 10 million" CHECK (((cache_entries >= 0) AND (cache_entries <= 10000000))),
    CONSTRAINT "check_hours is from 0 to 720" CHECK (((check_hours >= 0) AND (check_hours <= 720))),
    CONSTRAINT dns_only_row_check CHECK (only_row),
    CONSTRAINT "timeout_milliseconds is from 100 to 60000" CHECK (((timeout_milliseconds >= 100) AND (timeout_milliseconds <= 60000)))
);

COMMENT ON TABLE control.dns IS 'How names are looked up';

COMMENT ON COLUMN control.dns.only_row IS 'Always true: there is one row';

COMMENT ON COLUMN control.dns.servers IS 'Name servers, as 192.0.2.53, 127.0.0.1:5353 or [2001:db8::53]:53; empty = those of the system (/etc/resolv.conf)';

COMMENT ON COLUMN control.dns.dnssec IS 'trust: believe the name servers when they say that an answer is authentic (AD), which is right for a validating resolver on this host or network; validate: check the signatures here; off: nothing is authentic, and so DANE is not used';

COMMENT ON COLUMN control.dns.timeout_milliseconds IS 'How long one question may take';

COMMENT ON COLUMN control.dns.attempts IS 'How often a question is asked';

COMMENT ON COLUMN control.dns.cache_entries IS 'Answers kept until their time is over; counts from the next change of servers or start on';

COMMENT ON COLUMN control.dns.check_hours IS 'How often the DNS is asked for the records that the domains here need, hours; 0 = only when somebody wants it. Nothing is asked while control.server.hostname is empty';

CREATE VIEW admin.dns WITH (security_invoker='true') AS
 SELECT dns.only_row,
    dns.servers,
    dns.dnssec,
    dns.timeout_milliseconds,
    dns.attempts,
    dns.cache_entries,
    dns.check_hours
   FROM control.dns;

COMMENT ON VIEW admin.dns IS 'Settings: DNS. How names are looked up';

COMMENT ON COLUMN admin.dns.only_row IS 'Always true: there is one row';

COMMENT ON COLUMN admin.dns.servers IS 'Name servers, as 192.0.2.53, 127.0.0.1:5353 or [2001:db8::53]:53; empty = those of the system (/etc/resolv.conf)';

COMMENT ON COLUMN admin.dns.dnssec IS 'trust: believe the name servers when they say that an answer is authentic (AD), which is right for a validating resolver on this host or network; validate: check the signatures here; off: nothing is authentic, and so DANE is not used';

COMMENT ON COLUMN admin.dns.timeout_milliseconds IS 'How long one question may take';

COMMENT ON COLUMN admin.dns.attempts IS 'How often a question is asked';

COMMENT ON COLUMN admin.dns.cache_entries IS 'Answers kept until their time is over; counts from the next change of servers or start on';

COMMENT ON COLUMN admin.dns.check_hours IS 'How often the DNS is asked for the records that the domains here need, hours; 0 = only when somebody wants it. Nothing is asked while control.server.hostname is empty';

CREATE TABLE log.event (
    id bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    session_id bigint,
    level log.level NOT NULL,
    node text NOT NULL,
    service text NOT NULL,
    message text NOT NULL,
    peer inet,
    login text,
    fields jsonb
);

COMMENT ON TABLE log.event IS 'What the daemon says of itself: the same as on its standard error, as rows';

COMMENT ON COLUMN log.event.id IS 'Number of the row';

COMMENT ON COLUMN log.event.at IS 'When';

COMMENT ON COLUMN log.event.session_id IS 'The session it happened in, as live.session called it';

COMMENT ON COLUMN log.event.level IS 'trace, debug, info, warn or error; later ones are greater: level >= ''warn''';

COMMENT ON COLUMN log.event.node IS 'The node that says it';

COMMENT ON COLUMN log.event.service IS 'The service (smtp, imap, pop3), or the part of the daemon';

COMMENT ON COLUMN log.event.message IS 'What happened';

COMMENT ON COLUMN log.event.peer IS 'Address of the client or the server it is about';

COMMENT ON COLUMN log.event.login IS 'Who had logged in, or wanted to';

COMMENT ON COLUMN log.event.fields IS 'Further facts; empty = none';

CREATE VIEW admin.event WITH (security_invoker='true') AS
 SELECT event.id,
    event.at,
    event.level,
    event.service,
    event.message,
    event.login,
    host(event.peer) AS peer,
    event.node,
    event.session_id,
    event.fields
   FROM log.event;

COMMENT ON VIEW admin.event IS 'Running: Log. What the server says of itself';

COMMENT ON COLUMN admin.event.id IS 'Number of the row';

COMMENT ON COLUMN admin.event.at IS 'When';

COMMENT ON COLUMN admin.event.level IS 'trace, debug, info, warn or error; later ones are greater: level >= ''warn''';

COMMENT ON COLUMN admin.event.service IS 'The service (smtp, imap, pop3), or the part of the daemon';

COMMENT ON COLUMN admin.event.message IS 'What happened';

COMMENT ON COLUMN admin.event.login IS 'Who had logged in, or wanted to';

COMMENT ON COLUMN admin.event.peer IS 'Address of the client or the server it is about';

COMMENT ON COLUMN admin.event.node IS 'The node that says it';

COMMENT ON COLUMN admin.event.session_id IS 'The session it happened in, as live.session called it';

COMMENT ON COLUMN admin.event.fields IS 'Further facts; empty = none';

CREATE TABLE control.greylist (
    only_row boolean DEFAULT true NOT NULL,
    enabled boolean DEFAULT false NOT NULL,
    delay_seconds control.seconds DEFAULT 300 NOT NULL,
    retry_hours integer DEFAULT 24 NOT NULL,
    expire_days integer DEFAULT 36 NOT NULL,
    ipv4_prefix integer DEFAULT 24 NOT NULL,
    ipv6_prefix integer DEFAULT 64 NOT NULL,
    allow_after integer DEFAULT 5 NOT NULL,
    skip_spf_pass boolean DEFAULT true NOT NULL,
    skip_allow_listed boolean DEFAULT true NOT NULL,
    skip_confirmed_names boolean DEFAULT false NOT NULL,
    CONSTRAINT "allow_after is 0 (never) or more" CHECK ((allow_after >= 0)),
    CONSTRAINT "expire_days is from 1 to 365" CHECK (((expire_days >= 1) AND (expire_days <= 365))),
    CONSTRAINT greylist_only_row_check CHECK (only_row),
    CONSTRAINT "ipv4_prefix is from 8 to 32" CHECK (((ipv4_prefix >= 8) AND (ipv4_prefix <= 32))),
    CONSTRAINT "ipv6_prefix is from 16 to 128" CHECK (((ipv6_prefix >= 16) AND (ipv6_prefix <= 128))),
    CONSTRAINT "retry_hours is from 1 to 168" CHECK (((retry_hours >= 1) AND (retry_hours <= 168)))
);

COMMENT ON TABLE control.greylist IS 'Greylisting: mail of an unknown sender from an unknown network is refused for now, and taken when its server comes again, as honest ones do';

COMMENT ON COLUMN control.greylist.only_row IS 'Always true: there is one row';

COMMENT ON COLUMN control.greylist.enabled IS 'Whether mail is greylisted';

COMMENT ON COLUMN control.greylist.delay_seconds IS 'A second attempt is taken after this time';

COMMENT ON COLUMN control.greylist.retry_hours IS 'and no later than this; then it counts as a first one again';

COMMENT ON COLUMN control.greylist.expire_days IS 'How long a sender that has passed is remembered after its last mail';

COMMENT ON COLUMN control.greylist.ipv4_prefix IS 'Bits of an IPv4 address that make its network: a large sender comes again from a neighbour';

COMMENT ON COLUMN control.greylist.ipv6_prefix IS 'The same for IPv6';

COMMENT ON COLUMN control.greylist.allow_after IS 'Different senders and recipients that have passed after which a whole network passes at once; 0 = never';

COMMENT ON COLUMN control.greylist.skip_spf_pass IS 'Whether mail passes at once when SPF proves its sender';

COMMENT ON COLUMN control.greylist.skip_allow_listed IS 'Whether mail passes at once from hosts that a list with action allow knows (while the rbl service runs)';

COMMENT ON COLUMN control.greylist.skip_confirmed_names IS 'Whether mail passes at once from hosts whose EHLO name leads to their address and back';

CREATE VIEW admin.greylist WITH (security_invoker='true') AS
 SELECT greylist.only_row,
    greylist.enabled,
    greylist.delay_seconds,
    greylist.retry_hours,
    greylist.expire_days,
    greylist.ipv4_prefix,
    greylist.ipv6_prefix,
    greylist.allow_after,
    greylist.skip_spf_pass,
    greylist.skip_allow_listed,
    greylist.skip_confirmed_names
   FROM control.greylist;

COMMENT ON VIEW admin.greylist IS 'Settings: Greylist. Greylisting: mail of an unknown sender from an unknown network is refused for now, and taken when its server comes again, as honest ones do';

COMMENT ON COLUMN admin.greylist.only_row IS 'Always true: there is one row';

COMMENT ON COLUMN admin.greylist.enabled IS 'Whether mail is greylisted';

COMMENT ON COLUMN admin.greylist.delay_seconds IS 'A second attempt is taken after this time';

COMMENT ON COLUMN admin.greylist.retry_hours IS 'and no later than this; then it counts as a first one again';

COMMENT ON COLUMN admin.greylist.expire_days IS 'How long a sender that has passed is remembered after its last mail';

COMMENT ON COLUMN admin.greylist.ipv4_prefix IS 'Bits of an IPv4 address that make its network: a large sender comes again from a neighbour';

COMMENT ON COLUMN admin.greylist.ipv6_prefix IS 'The same for IPv6';

COMMENT ON COLUMN admin.greylist.allow_after IS 'Different senders and recipients that have passed after which a whole network passes at once; 0 = never';

COMMENT ON COLUMN admin.greylist.skip_spf_pass IS 'Whether mail passes at once when SPF proves its sender';

COMMENT ON COLUMN admin.greylist.skip_allow_listed IS 'Whether mail passes at once from hosts that a list with action allow knows (while the rbl service runs)';

COMMENT ON COLUMN admin.greylist.skip_confirmed_names IS 'Whether mail passes at once from hosts whose EHLO name leads to their address and back';

CREATE VIEW admin.imap WITH (security_invoker='true') AS
 SELECT imap.only_row,
    imap.require_tls_for_login,
    imap.idle_timeout_seconds,
    imap.login_timeout_seconds,
    imap.max_errors,
    imap.max_mailboxes,
    imap.admin_contact,
    imap.server_comment,
    imap.max_metadata_bytes,
    imap.max_metadata_entries,
    imap.progress_seconds,
    imap.language,
    imap.refuse_8bit_headers,
    imap.submission_accounts
   FROM control.imap;

COMMENT ON VIEW admin.imap IS 'Settings: IMAP. Settings of the IMAP service';

COMMENT ON COLUMN admin.imap.only_row IS 'Always true: there is one row';

COMMENT ON COLUMN admin.imap.require_tls_for_login IS 'Whether LOGIN and AUTHENTICATE PLAIN are refused without TLS (LOGINDISABLED)';

COMMENT ON COLUMN admin.imap.idle_timeout_seconds IS 'How long a silent client is kept after login';

COMMENT ON COLUMN admin.imap.login_timeout_seconds IS 'How long a client may take to log in';

COMMENT ON COLUMN admin.imap.max_errors IS 'Commands with syntax errors after which a session is closed';

COMMENT ON COLUMN admin.imap.max_mailboxes IS 'Mailboxes that one account may have';

COMMENT ON COLUMN admin.imap.admin_contact IS 'How the administrator is reached, as a URI such as mailto:postmaster@example.test: mail programs read it as /shared/admin (RFC 5464). Empty = not said';

COMMENT ON COLUMN admin.imap.server_comment IS 'A comment on this server that mail programs can show, read as /shared/comment (RFC 5464). Empty = none';

COMMENT ON COLUMN admin.imap.max_metadata_bytes IS 'Largest value of an annotation (METADATA), bytes';

COMMENT ON COLUMN admin.imap.max_metadata_entries IS 'Annotations that a mailbox may have shared, and that each user may have private on it';

COMMENT ON COLUMN admin.imap.progress_seconds IS 'How often a client hears how far a long command is (RFC 9585 asks for at least 10 seconds between two); 0 = at every step';

COMMENT ON COLUMN admin.imap.language IS 'Language of texts for people, for clients that ask for the one this server prefers (LANGUAGE "default", RFC 5255): en, de, fr or es';

COMMENT ON COLUMN admin.imap.refuse_8bit_headers IS 'Whether APPEND refuses messages with 8-bit headers from clients that have not enabled UTF8=ACCEPT, as RFC 6855, 4 demands; off by default, because old mailboxes hold such messages and must be movable';

COMMENT ON COLUMN admin.imap.submission_accounts IS 'Addresses of the accounts by which submission servers log in: they may fetch what URLs made for submission (submit+) lead to';

CREATE TABLE control.imap_capability (
    id bigint NOT NULL,
    capability text NOT NULL,
    client text DEFAULT '*'::text NOT NULL,
    account_id bigint,
    reason text DEFAULT ''::text NOT NULL,
    CONSTRAINT "IMAP4rev1 cannot be hidden" CHECK ((upper(capability) <> 'IMAP4REV1'::text)),
    CONSTRAINT "a capability is one word, such as COMPRESS=DEFLATE" CHECK ((capability ~ '^[A-Za-z][A-Za-z0-9=+._/-]{0,99}$'::text)),
    CONSTRAINT "a client is from 1 to 200 characters, * for any" CHECK (((length(client) >= 1) AND (length(client) <= 200)))
);

COMMENT ON TABLE control.imap_capability IS 'Capabilities that IMAP clients are not told of, one a row: for a client that does them wrong, or for everybody. Counts from the next command on';

COMMENT ON COLUMN control.imap_capability.id IS 'Number of the row';

COMMENT ON COLUMN control.imap_capability.capability IS 'The capability as CAPABILITY lists it, in any case, such as COMPRESS=DEFLATE';

COMMENT ON COLUMN control.imap_capability.client IS 'Which clients: "name version" as they say by the command ID, * for any characters, in any case, such as Outlook*; * = all, and those that do not say';

COMMENT ON COLUMN control.imap_capability.account_id IS 'For this account only; empty = for all';

COMMENT ON COLUMN control.imap_capability.reason IS 'Why, for other administrators';

CREATE VIEW admin.imap_capability WITH (security_invoker='true') AS
 SELECT imap_capability.id,
    imap_capability.capability,
    imap_capability.client,
    imap_capability.account_id,
    imap_capability.reason
   FROM control.imap_capability;

COMMENT ON VIEW admin.imap_capability IS 'Server: IMAP capability. Capabilities that IMAP clients are not told of, one a row: for a client that does them wrong, or for everybody. Counts from the next command on';

COMMENT ON COLUMN admin.imap_capability.id IS 'Number of the row';

COMMENT ON COLUMN admin.imap_capability.capability IS 'The capability as CAPABILITY lists it, in any case, such as COMPRESS=DEFLATE';

COMMENT ON COLUMN admin.imap_capability.client IS 'Which clients: "name version" as they say by the command ID, * for any characters, in any case, such as Outlook*; * = all, and those that do not say';

COMMENT ON COLUMN admin.imap_capability.account_id IS 'For this account only; empty = for all';

COMMENT ON COLUMN admin.imap_capability.reason IS 'Why, for other administrators';

CREATE TABLE control.ip_list (
    id bigint NOT NULL,
    name text NOT NULL,
    mode control.list_mode DEFAULT 'all except these'::control.list_mode NOT NULL,
    comment text,
    CONSTRAINT "an IP list has a name" CHECK ((name <> ''::text))
);

COMMENT ON TABLE control.ip_list IS 'Lists of addresses, used for connection control and trust';

COMMENT ON COLUMN control.ip_list.id IS 'Number of the row';

COMMENT ON COLUMN control.ip_list.name IS 'What people call the list';

COMMENT ON COLUMN control.ip_list.mode IS 'Whether only the addresses in the list are let in, or all except these';

COMMENT ON COLUMN control.ip_list.comment IS 'A note for administrators';

CREATE VIEW admin.ip_list WITH (security_invoker='true') AS
 SELECT ip_list.id,
    ip_list.name,
    ip_list.mode,
    ip_list.comment
   FROM control.ip_list;

COMMENT ON VIEW admin.ip_list IS 'Server: IP list. Lists of addresses, used for connection control and trust';

COMMENT ON COLUMN admin.ip_list.id IS 'Number of the row';

COMMENT ON COLUMN admin.ip_list.name IS 'What people call the list';

COMMENT ON COLUMN admin.ip_list.mode IS 'Whether only the addresses in the list are let in, or all except these';

COMMENT ON COLUMN admin.ip_list.comment IS 'A note for administrators';

CREATE TABLE control.ip_rule (
    id bigint NOT NULL,
    list_id bigint NOT NULL,
    pattern text NOT NULL,
    comment text,
    CONSTRAINT "a pattern is like 10.0.0.1, 10.0.0.0/8, 10.*, fe80::/10 or ::*" CHECK (control.is_ip_pattern(pattern))
);

COMMENT ON TABLE control.ip_rule IS 'The addresses in a list';

COMMENT ON COLUMN control.ip_rule.id IS 'Number of the row';

COMMENT ON COLUMN control.ip_rule.list_id IS 'The list this rule belongs to';

COMMENT ON COLUMN control.ip_rule.pattern IS 'One address, a prefix (192.168.0.1/16), or a pattern: * for trailing octets or groups, ? for one character';

COMMENT ON COLUMN control.ip_rule.comment IS 'A note for administrators';

CREATE VIEW admin.ip_rule WITH (security_invoker='true') AS
 SELECT ip_rule.id,
    ip_rule.list_id,
    ip_rule.pattern,
    ip_rule.comment
   FROM control.ip_rule;

COMMENT ON VIEW admin.ip_rule IS 'Server: IP rule. The addresses in a list';

COMMENT ON COLUMN admin.ip_rule.id IS 'Number of the row';

COMMENT ON COLUMN admin.ip_rule.list_id IS 'The list this rule belongs to';

COMMENT ON COLUMN admin.ip_rule.pattern IS 'One address, a prefix (192.168.0.1/16), or a pattern: * for trailing octets or groups, ? for one character';

COMMENT ON COLUMN admin.ip_rule.comment IS 'A note for administrators';

CREATE VIEW admin.listener WITH (security_invoker='true') AS
 SELECT listener.id,
    listener.service,
    listener.address,
    listener.port,
    listener.tls,
    listener.mode,
    listener.enabled,
    listener.proxy_ip_list_id
   FROM control.listener;

COMMENT ON VIEW admin.listener IS 'Server: Listener. Addresses and ports the services listen on; the node''s port offset is added to the port';

COMMENT ON COLUMN admin.listener.id IS 'Number of the row';

COMMENT ON COLUMN admin.listener.service IS 'The service that answers';

COMMENT ON COLUMN admin.listener.address IS '* for all addresses, or one address. The short form "192.168.0.1 25, * 587" makes one row for each';

COMMENT ON COLUMN admin.listener.port IS 'TCP port';

COMMENT ON COLUMN admin.listener.tls IS 'implicit: TLS from the first byte; starttls: the client may ask for TLS; none: no TLS';

COMMENT ON COLUMN admin.listener.mode IS 'smtp only. standard: mail from other servers; submission: mail from users, who must log in unless control.smtp.relay_ip_list_id has their address; lmtp: LMTP (RFC 2033)';

COMMENT ON COLUMN admin.listener.enabled IS 'Whether this listener is open while its service runs';

COMMENT ON COLUMN admin.listener.proxy_ip_list_id IS 'Proxies in front of this listener: the addresses in this IP list must send a PROXY protocol header (version 1 or 2) first, and are believed. Empty = none; nobody else is believed';

CREATE TABLE control.log (
    only_row boolean DEFAULT true NOT NULL,
    event_level text DEFAULT 'info'::text NOT NULL,
    event_days integer DEFAULT 30 NOT NULL,
    trace boolean DEFAULT true NOT NULL,
    trace_days integer DEFAULT 30 NOT NULL,
    minute_days integer DEFAULT 7 NOT NULL,
    count_days integer DEFAULT 1095 NOT NULL,
    CONSTRAINT "count_days is from 1 to 36500" CHECK (((count_days >= 1) AND (count_days <= 36500))),
    CONSTRAINT "event_days is from 1 to 3650" CHECK (((event_days >= 1) AND (event_days <= 3650))),
    CONSTRAINT "event_level is off, error, warn, info, debug or trace" CHECK ((event_level = ANY (ARRAY['off'::text, 'error'::text, 'warn'::text, 'info'::text, 'debug'::text, 'trace'::text]))),
    CONSTRAINT log_only_row_check CHECK (only_row),
    CONSTRAINT "minute_days is from 1 to 60" CHECK (((minute_days >= 1) AND (minute_days <= 60))),
    CONSTRAINT "trace_days is from 1 to 3650" CHECK (((trace_days >= 1) AND (trace_days <= 3650)))
);

COMMENT ON TABLE control.log IS 'Settings of what is kept of events and of the trace of messages';

COMMENT ON COLUMN control.log.only_row IS 'Always true: there is one row';

COMMENT ON COLUMN control.log.event_level IS 'Which events are kept in log.event: those of this level and graver ones, as far as control.server.log_level lets them come up at all; off = none';

COMMENT ON COLUMN control.log.event_days IS 'How long events are kept';

COMMENT ON COLUMN control.log.trace IS 'Whether log.trace is written: what became of each message. Mail is counted (log.mail_count) all the same';

COMMENT ON COLUMN control.log.trace_days IS 'How long the trace is kept; attempts to deliver to other servers are kept for control.relay.attempt_days';

COMMENT ON COLUMN control.log.minute_days IS 'How long numbers are kept that were counted by the minute';

COMMENT ON COLUMN control.log.count_days IS 'How long numbers are kept that were counted by the hour and by the day';

CREATE VIEW admin.log WITH (security_invoker='true') AS
 SELECT log.only_row,
    log.event_level,
    log.event_days,
    log.trace,
    log.trace_days,
    log.minute_days,
    log.count_days
   FROM control.log;

COMMENT ON VIEW admin.log IS 'Settings: Log. Settings of what is kept of events and of the trace of messages';

COMMENT ON COLUMN admin.log.only_row IS 'Always true: there is one row';

COMMENT ON COLUMN admin.log.event_level IS 'Which events are kept in log.event: those of this level and graver ones, as far as control.server.log_level lets them come up at all; off = none';

COMMENT ON COLUMN admin.log.event_days IS 'How long events are kept';

COMMENT ON COLUMN admin.log.trace IS 'Whether log.trace is written: what became of each message. Mail is counted (log.mail_count) all the same';

COMMENT ON COLUMN admin.log.trace_days IS 'How long the trace is kept; attempts to deliver to other servers are kept for control.relay.attempt_days';

COMMENT ON COLUMN admin.log.minute_days IS 'How long numbers are kept that were counted by the minute';

COMMENT ON COLUMN admin.log.count_days IS 'How long numbers are kept that were counted by the hour and by the day';

CREATE TABLE control.metrics_token (
    name text NOT NULL,
    token control.secret NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT "a token has a name" CHECK ((name <> ''::text))
);

COMMENT ON TABLE control.metrics_token IS 'Tokens with which monitoring may read /metrics and all of /readyz from everywhere: Authorization: Bearer';

COMMENT ON COLUMN control.metrics_token.name IS 'Who uses it';

COMMENT ON COLUMN control.metrics_token.token IS 'A long random text. Only its hash is kept, so note it';

COMMENT ON COLUMN control.metrics_token.created_at IS 'When it was made';

CREATE VIEW admin.metrics_token WITH (security_invoker='true') AS
 SELECT metrics_token.name,
    (NULL::text)::control.secret AS token,
    metrics_token.created_at
   FROM control.metrics_token;

COMMENT ON VIEW admin.metrics_token IS 'Server: Metrics tokens. With which monitoring may read /metrics: Authorization: Bearer TOKEN. Only a hash is kept';

COMMENT ON COLUMN admin.metrics_token.name IS 'Who uses it';

COMMENT ON COLUMN admin.metrics_token.token IS 'A long random text, at least 20 characters; it is never shown, so note it. Left empty, the old one stays';

COMMENT ON COLUMN admin.metrics_token.created_at IS 'When it was made';

CREATE VIEW admin.my_account WITH (security_invoker='true') AS
 SELECT account.id,
    logic.own_address() AS address,
    account.display_name,
    account.forward_to,
    account.forward_keep,
    logic.used_bytes(account.id) AS used_bytes,
    logic.own_quota() AS quota_bytes
   FROM directory.account
  WHERE (account.id = ( SELECT logic.web_account() AS web_account));

COMMENT ON VIEW admin.my_account IS 'Mine: Account. Your address, your name, and where your mail goes on to';

COMMENT ON COLUMN admin.my_account.id IS 'Number of the row';

COMMENT ON COLUMN admin.my_account.address IS 'Your address';

COMMENT ON COLUMN admin.my_account.display_name IS 'Your name';

COMMENT ON COLUMN admin.my_account.forward_to IS 'Addresses that get your mail, e.g. someone@example.net';

COMMENT ON COLUMN admin.my_account.forward_keep IS 'Whether forwarded mail is kept in your mailbox as well';

COMMENT ON COLUMN admin.my_account.used_bytes IS 'Bytes of mail that you keep';

COMMENT ON COLUMN admin.my_account.quota_bytes IS 'Bytes of mail that you may keep; empty = no limit';

CREATE VIEW admin.my_alias WITH (security_invoker='true') AS
 SELECT own_aliases.id,
    own_aliases.address,
    own_aliases.active
   FROM logic.own_aliases() own_aliases(id, address, active);

COMMENT ON VIEW admin.my_alias IS 'Mine: Aliases. Further addresses whose mail comes to you';

COMMENT ON COLUMN admin.my_alias.id IS 'Number of the row';

COMMENT ON COLUMN admin.my_alias.address IS 'The address';

COMMENT ON COLUMN admin.my_alias.active IS 'An inactive alias is an unknown address';

CREATE VIEW admin.my_mailbox_view WITH (security_invoker='true') AS
 SELECT own_views.id,
    own_views.at,
    own_views.actor,
    own_views.reason,
    own_views.mailbox,
    own_views.uid
   FROM logic.own_views() own_views(id, at, actor, reason, mailbox, uid);

COMMENT ON VIEW admin.my_mailbox_view IS 'Mine: Looks into your mailbox. Which administrator has looked into your mailbox, when, and the reason given; a line with a folder is a message that was opened';

COMMENT ON COLUMN admin.my_mailbox_view.id IS 'Number of the row';

COMMENT ON COLUMN admin.my_mailbox_view.at IS 'When';

COMMENT ON COLUMN admin.my_mailbox_view.actor IS 'The administrator';

COMMENT ON COLUMN admin.my_mailbox_view.reason IS 'The reason that the administrator gave';

COMMENT ON COLUMN admin.my_mailbox_view.mailbox IS 'The folder of a message that was opened';

COMMENT ON COLUMN admin.my_mailbox_view.uid IS 'The number of that message in its folder (UID)';

CREATE TABLE control.oidc_issuer (
    id bigint NOT NULL,
    issuer text NOT NULL,
    audience text NOT NULL,
    jwks_url text,
    username_claim text DEFAULT 'email'::text NOT NULL,
    algorithms text[] DEFAULT '{RS256,RS384,RS512,PS256,PS384,PS512,ES256,ES384,EdDSA}'::text[] NOT NULL,
    roots text,
    active boolean DEFAULT true NOT NULL,
    CONSTRAINT "algorithms are RS256 to ES384 or EdDSA, see the default" CHECK (((cardinality(algorithms) > 0) AND (algorithms <@ ARRAY['RS256'::text, 'RS384'::text, 'RS512'::text, 'PS256'::text, 'PS384'::text, 'PS512'::text, 'ES256'::text, 'ES384'::text, 'EdDSA'::text]))),
    CONSTRAINT "an audience is not empty" CHECK ((audience <> ''::text)),
    CONSTRAINT "an issuer is an https:// address" CHECK ((issuer ~ '^https://[^[:space:]]+$'::text)),
    CONSTRAINT "jwks_url is an https:// address" CHECK ((jwks_url ~ '^https://[^[:space:]]+$'::text)),
    CONSTRAINT "roots are certificates in PEM" CHECK ((roots ~~ '%-----BEGIN CERTIFICATE-----%'::text)),
    CONSTRAINT "username_claim is not empty" CHECK ((username_claim <> ''::text))
);

COMMENT ON TABLE control.oidc_issuer IS 'OpenID Connect providers whose access tokens log users in (OAUTHBEARER, XOAUTH2), over TLS only';

COMMENT ON COLUMN control.oidc_issuer.id IS 'Number of the row';

COMMENT ON COLUMN control.oidc_issuer.issuer IS 'The issuer as tokens name it (iss)';

COMMENT ON COLUMN control.oidc_issuer.audience IS 'What tokens for this server have in aud';

COMMENT ON COLUMN control.oidc_issuer.jwks_url IS 'Where the issuer''s keys are; empty = found by issuer/.well-known/openid-configuration';

COMMENT ON COLUMN control.oidc_issuer.username_claim IS 'The claim that holds the address of the account. Choose one that users cannot set themselves';

COMMENT ON COLUMN control.oidc_issuer.algorithms IS 'Signatures that are accepted';

COMMENT ON COLUMN control.oidc_issuer.roots IS 'Certificates (PEM) trusted for the issuer''s web server besides those of the system';

COMMENT ON COLUMN control.oidc_issuer.active IS 'Whether its tokens are accepted';

CREATE VIEW admin.oidc_issuer WITH (security_invoker='true') AS
 SELECT oidc_issuer.id,
    oidc_issuer.issuer,
    oidc_issuer.audience,
    oidc_issuer.jwks_url,
    oidc_issuer.username_claim,
    oidc_issuer.algorithms,
    oidc_issuer.roots,
    oidc_issuer.active
   FROM control.oidc_issuer;

COMMENT ON VIEW admin.oidc_issuer IS 'Server: OIDC issuer. OpenID Connect providers whose access tokens log users in (OAUTHBEARER, XOAUTH2), over TLS only';

COMMENT ON COLUMN admin.oidc_issuer.id IS 'Number of the row';

COMMENT ON COLUMN admin.oidc_issuer.issuer IS 'The issuer as tokens name it (iss)';

COMMENT ON COLUMN admin.oidc_issuer.audience IS 'What tokens for this server have in aud';

COMMENT ON COLUMN admin.oidc_issuer.jwks_url IS 'Where the issuer''s keys are; empty = found by issuer/.well-known/openid-configuration';

COMMENT ON COLUMN admin.oidc_issuer.username_claim IS 'The claim that holds the address of the account. Choose one that users cannot set themselves';

COMMENT ON COLUMN admin.oidc_issuer.algorithms IS 'Signatures that are accepted';

COMMENT ON COLUMN admin.oidc_issuer.roots IS 'Certificates (PEM) trusted for the issuer''s web server besides those of the system';

COMMENT ON COLUMN admin.oidc_issuer.active IS 'Whether its tokens are accepted';

CREATE TABLE control.pop3 (
    only_row boolean DEFAULT true NOT NULL,
    require_tls_for_login boolean DEFAULT true NOT NULL,
    idle_timeout_seconds control.seconds DEFAULT 600 NOT NULL,
    login_timeout_seconds control.seconds DEFAULT 60 NOT NULL,
    login_delay_seconds control."limit" DEFAULT 0 NOT NULL,
    max_errors integer DEFAULT 20 NOT NULL,
    CONSTRAINT "RFC 1939 asks for at least 10 minutes of patience: 600" CHECK (((idle_timeout_seconds)::integer >= 600)),
    CONSTRAINT "max_errors is at least 1" CHECK ((max_errors >= 1)),
    CONSTRAINT pop3_only_row_check CHECK (only_row)
);

COMMENT ON TABLE control.pop3 IS 'Settings of the POP3 service';

COMMENT ON COLUMN control.pop3.only_row IS 'Always true: there is one row';

COMMENT ON COLUMN control.pop3.require_tls_for_login IS 'Whether USER, PASS and AUTH PLAIN are refused without TLS';

COMMENT ON COLUMN control.pop3.idle_timeout_seconds IS 'How long a silent client is kept after login';

COMMENT ON COLUMN control.pop3.login_timeout_seconds IS 'How long a client may take to log in';

COMMENT ON COLUMN control.pop3.login_delay_seconds IS 'Shortest time between two logins of one account (LOGIN-DELAY, RFC 2449); 0 = none';

COMMENT ON COLUMN control.pop3.max_errors IS 'Refused commands after which a session is closed';

CREATE VIEW admin.pop3 WITH (security_invoker='true') AS
 SELECT pop3.only_row,
    pop3.require_tls_for_login,
    pop3.idle_timeout_seconds,
    pop3.login_timeout_seconds,
    pop3.login_delay_seconds,
    pop3.max_errors
   FROM control.pop3;

COMMENT ON VIEW admin.pop3 IS 'Settings: POP3. Settings of the POP3 service';

COMMENT ON COLUMN admin.pop3.only_row IS 'Always true: there is one row';

COMMENT ON COLUMN admin.pop3.require_tls_for_login IS 'Whether USER, PASS and AUTH PLAIN are refused without TLS';

COMMENT ON COLUMN admin.pop3.idle_timeout_seconds IS 'How long a silent client is kept after login';

COMMENT ON COLUMN admin.pop3.login_timeout_seconds IS 'How long a client may take to log in';

COMMENT ON COLUMN admin.pop3.login_delay_seconds IS 'Shortest time between two logins of one account (LOGIN-DELAY, RFC 2449); 0 = none';

COMMENT ON COLUMN admin.pop3.max_errors IS 'Refused commands after which a session is closed';

CREATE TABLE control.rbl (
    id bigint NOT NULL,
    zone control.hostname NOT NULL,
    kind control.rbl_kind DEFAULT 'ip'::control.rbl_kind NOT NULL,
    answers text[] DEFAULT '{127.0.0.2-254}'::text[] NOT NULL,
    action control.rbl_action DEFAULT 'reject'::control.rbl_action NOT NULL,
    weight integer DEFAULT 0 NOT NULL,
    active boolean DEFAULT true NOT NULL,
    comment text,
    CONSTRAINT "a weight is from -1000 to 1000" CHECK (((weight >= '-1000'::integer) AND (weight <= 1000)))
);

COMMENT ON TABLE control.rbl IS 'DNS lists (RBL, DNSBL, DNSWL) that the rbl service asks about senders; all active ones are asked at the same time';

COMMENT ON COLUMN control.rbl.id IS 'Number of the row';

COMMENT ON COLUMN control.rbl.zone IS 'The list''s domain, e.g. zen.spamhaus.org';

COMMENT ON COLUMN control.rbl.kind IS 'ip: it lists addresses of connecting hosts; domain: it lists domains, and is asked for those of MAIL FROM and HELO';

COMMENT ON COLUMN control.rbl.answers IS 'Which answers count, e.g. {127.0.0.2-11,127.0.*.3}. Answers in 127.255.255.* never do: the list says with them that it won''t answer you';

COMMENT ON COLUMN control.rbl.action IS 'What follows for those listed. reject: 550; tempfail: 451; mark: a header field X-Mailwright-RBL; score: only the weight counts; allow: a list of good senders, who pass whatever the other lists say';

COMMENT ON COLUMN control.rbl.weight IS 'Adds to the score, whatever the action; negative for lists of good senders. control.rbl_settings says what follows from the score';

COMMENT ON COLUMN control.rbl.active IS 'Whether it is asked';

COMMENT ON COLUMN control.rbl.comment IS 'A note for administrators';

CREATE VIEW admin.rbl WITH (security_invoker='true') AS
 SELECT rbl.id,
    rbl.zone,
    rbl.kind,
    rbl.answers,
    rbl.action,
    rbl.weight,
    rbl.active,
    rbl.comment
   FROM control.rbl;

COMMENT ON VIEW admin.rbl IS 'Server: RBL. DNS lists (RBL, DNSBL, DNSWL) that the rbl service asks about senders; all active ones are asked at the same time';

COMMENT ON COLUMN admin.rbl.id IS 'Number of the row';

COMMENT ON COLUMN admin.rbl.zone IS 'The list''s domain, e.g. zen.spamhaus.org';

COMMENT ON COLUMN admin.rbl.kind IS 'ip: it lists addresses of connecting hosts; domain: it lists domains, and is asked for those of MAIL FROM and HELO';

COMMENT ON COLUMN admin.rbl.answers IS 'Which answers count, e.g. {127.0.0.2-11,127.0.*.3}. Answers in 127.255.255.* never do: the list says with them that it won''t answer you';

COMMENT ON COLUMN admin.rbl.action IS 'What follows for those listed. reject: 550; tempfail: 451; mark: a header field X-Mailwright-RBL; score: only the weight counts; allow: a list of good senders, who pass whatever the other lists say';

COMMENT ON COLUMN admin.rbl.weight IS 'Adds to the score, whatever the action; negative for lists of good senders. control.rbl_settings says what follows from the score';

COMMENT ON COLUMN admin.rbl.active IS 'Whether it is asked';

COMMENT ON COLUMN admin.rbl.comment IS 'A note for administrators';

CREATE TABLE control.rbl_settings (
    only_row boolean DEFAULT true NOT NULL,
    timeout_seconds control.seconds DEFAULT 5 NOT NULL,
    mark_score integer DEFAULT 5 NOT NULL,
    reject_score integer DEFAULT 10 NOT NULL,
    trusted_ip_list_id bigint,
    exempt_postmaster boolean DEFAULT true NOT NULL,
    CONSTRAINT "DNS lists are waited for from 1 to 30 seconds" CHECK ((((timeout_seconds)::integer >= 1) AND ((timeout_seconds)::integer <= 30))),
    CONSTRAINT "mark_score is 0 (never) or more" CHECK ((mark_score >= 0)),
    CONSTRAINT rbl_settings_only_row_check CHECK (only_row),
    CONSTRAINT "reject_score is 0 (never) or more" CHECK ((reject_score >= 0))
);

COMMENT ON TABLE control.rbl_settings IS 'Settings of the rbl service; the lists are in control.rbl. Users who have logged in are never looked up';

COMMENT ON COLUMN control.rbl_settings.only_row IS 'Always true: there is one row';

COMMENT ON COLUMN control.rbl_settings.timeout_seconds IS 'How long all lists together are waited for; one that has not answered by then counts as not listing the sender';

COMMENT ON COLUMN control.rbl_settings.mark_score IS 'Mail of senders whose lists'' weights sum up to this is marked; 0 = never';

COMMENT ON COLUMN control.rbl_settings.reject_score IS 'Mail of senders whose lists'' weights sum up to this is refused; 0 = never';

COMMENT ON COLUMN control.rbl_settings.trusted_ip_list_id IS 'Addresses that are on this IP list (whatever its mode) are not screened at all: no DNS lists, greylisting, checks and limits';

COMMENT ON COLUMN control.rbl_settings.exempt_postmaster IS 'Whether mail to postmaster@ and abuse@ is taken from listed senders too, so that they can ask why they are listed';

CREATE VIEW admin.rbl_settings WITH (security_invoker='true') AS
 SELECT rbl_settings.only_row,
    rbl_settings.timeout_seconds,
    rbl_settings.mark_score,
    rbl_settings.reject_score,
    rbl_settings.trusted_ip_list_id,
    rbl_settings.exempt_postmaster
   FROM control.rbl_settings;

COMMENT ON VIEW admin.rbl_settings IS 'Settings: RBL settings. Settings of the rbl service; the lists are in control.rbl. Users who have logged in are never looked up';

COMMENT ON COLUMN admin.rbl_settings.only_row IS 'Always true: there is one row';

COMMENT ON COLUMN admin.rbl_settings.timeout_seconds IS 'How long all lists together are waited for; one that has not answered by then counts as not listing the sender';

COMMENT ON COLUMN admin.rbl_settings.mark_score IS 'Mail of senders whose lists'' weights sum up to this is marked; 0 = never';

COMMENT ON COLUMN admin.rbl_settings.reject_score IS 'Mail of senders whose lists'' weights sum up to this is refused; 0 = never';

COMMENT ON COLUMN admin.rbl_settings.trusted_ip_list_id IS 'Addresses that are on this IP list (whatever its mode) are not screened at all: no DNS lists, greylisting, checks and limits';

COMMENT ON COLUMN admin.rbl_settings.exempt_postmaster IS 'Whether mail to postmaster@ and abuse@ is taken from listed senders too, so that they can ask why they are listed';

CREATE TABLE control.relay (
    only_row boolean DEFAULT true NOT NULL,
    enabled boolean DEFAULT true NOT NULL,
    port control.port DEFAULT 25 NOT NULL,
    helo_name control.hostname,
    source_ipv4 text,
    source_ipv6 text,
    ip_preference control.ip_preference DEFAULT 'ipv6 first'::control.ip_preference NOT NULL,
    max_connections integer DEFAULT 100 NOT NULL,
    max_connections_per_destination integer DEFAULT 20 NOT NULL,
    max_messages_per_connection integer DEFAULT 200 NOT NULL,
    max_recipients_per_message integer DEFAULT 100 NOT NULL,
    idle_seconds control.seconds DEFAULT 5 NOT NULL,
    connect_timeout_seconds control.seconds DEFAULT 30 NOT NULL,
    reply_timeout_seconds control.seconds DEFAULT 300 NOT NULL,
    data_timeout_seconds control.seconds DEFAULT 180 NOT NULL,
    end_timeout_seconds control.seconds DEFAULT 600 NOT NULL,
    expire_hours integer DEFAULT 120 NOT NULL,
    bounce_expire_hours integer DEFAULT 24 NOT NULL,
    delay_warning_hours integer DEFAULT 4 NOT NULL,
    max_returned_bytes bigint DEFAULT 1048576 NOT NULL,
    attempt_days integer DEFAULT 30 NOT NULL,
    extra_roots text,
    CONSTRAINT "attempt_days is from 1 to 3650" CHECK (((attempt_days >= 1) AND (attempt_days <= 3650))),
    CONSTRAINT "bounce_expire_hours is from 1 to 1000" CHECK (((bounce_expire_hours >= 1) AND (bounce_expire_hours <= 1000))),
    CONSTRAINT "delay_warning_hours is from 0 to 1000" CHECK (((delay_warning_hours >= 0) AND (delay_warning_hours <= 1000))),
    CONSTRAINT "expire_hours is from 1 to 1000" CHECK (((expire_hours >= 1) AND (expire_hours <= 1000))),
    CONSTRAINT "extra_roots are certificates in PEM" CHECK ((extra_roots ~~ '%-----BEGIN CERTIFICATE-----%'::text)),
    CONSTRAINT "max_connections is from 1 to 5000" CHECK (((max_connections >= 1) AND (max_connections <= 5000))),
    CONSTRAINT "max_connections_per_destination is from 1 to 1000" CHECK (((max_connections_per_destination >= 1) AND (max_connections_per_destination <= 1000))),
    CONSTRAINT "max_messages_per_connection is at least 1" CHECK ((max_messages_per_connection >= 1)),
    CONSTRAINT "max_recipients_per_message is from 1 to 1000" CHECK (((max_recipients_per_message >= 1) AND (max_recipients_per_message <= 1000))),
    CONSTRAINT "max_returned_bytes is from 0 to 50 MB" CHECK (((max_returned_bytes >= 0) AND (max_returned_bytes <= 52428800))),
    CONSTRAINT relay_only_row_check CHECK (only_row),
    CONSTRAINT "source_ipv4 is one IPv4 address of this host" CHECK (((source_ipv4 !~ ':'::text) AND control.is_ip_address(source_ipv4))),
    CONSTRAINT "source_ipv6 is one IPv6 address of this host" CHECK (((source_ipv6 ~ ':'::text) AND control.is_ip_address(source_ipv6)))
);

COMMENT ON TABLE control.relay IS 'Settings of sending mail to other servers';

COMMENT ON COLUMN control.relay.only_row IS 'Always true: there is one row';

COMMENT ON COLUMN control.relay.enabled IS 'Whether mail for other servers is sent; false keeps all of it in the queue';

COMMENT ON COLUMN control.relay.port IS 'Port of other servers, where no route says another: 25';

COMMENT ON COLUMN control.relay.helo_name IS 'The name given to other servers in EHLO; empty = the server''s own name';

COMMENT ON COLUMN control.relay.source_ipv4 IS 'The IPv4 address of this host from which mail is sent; empty = as the system chooses';

COMMENT ON COLUMN control.relay.source_ipv6 IS 'The IPv6 address of this host from which mail is sent; empty = as the system chooses';

COMMENT ON COLUMN control.relay.ip_preference IS 'Which addresses of another server are tried, and which first';

COMMENT ON COLUMN control.relay.max_connections IS 'Connections to other servers at one time on one node';

COMMENT ON COLUMN control.relay.max_connections_per_destination IS 'Of these, connections for one domain or route';

COMMENT ON COLUMN control.relay.max_messages_per_connection IS 'Messages sent over one connection before it is closed';

COMMENT ON COLUMN control.relay.max_recipients_per_message IS 'Recipients to whom a message is sent at once; for more it is sent again';

COMMENT ON COLUMN control.relay.idle_seconds IS 'How long a connection is kept for the next message to the same destination';

COMMENT ON COLUMN control.relay.connect_timeout_seconds IS 'How long a connection, and each TLS handshake, may take';

COMMENT ON COLUMN control.relay.reply_timeout_seconds IS 'How long a reply is waited for (RFC 5321, 4.5.3.2: 5 minutes)';

COMMENT ON COLUMN control.relay.data_timeout_seconds IS 'How long the other server may take to accept the next piece of a message (RFC 5321, 4.5.3.2: 3 minutes)';

COMMENT ON COLUMN control.relay.end_timeout_seconds IS 'How long the reply to the end of a message is waited for (RFC 5321, 4.5.3.2: 10 minutes)';

COMMENT ON COLUMN control.relay.expire_hours IS 'How long delivery is tried before the message is returned to its sender';

COMMENT ON COLUMN control.relay.bounce_expire_hours IS 'The same for messages without a sender, such as reports';

COMMENT ON COLUMN control.relay.delay_warning_hours IS 'After how long the sender is told that a message is delayed; 0 = never';

COMMENT ON COLUMN control.relay.max_returned_bytes IS 'Largest message that is returned whole with a report when the sender asked for it; of larger ones the header is';

COMMENT ON COLUMN control.relay.attempt_days IS 'How long the outcomes of attempts are kept in queue.attempt';

COMMENT ON COLUMN control.relay.extra_roots IS 'Certificates (PEM) of authorities that are trusted besides those of the system, for routes and policies that ask for verified TLS';

CREATE VIEW admin.relay WITH (security_invoker='true') AS
 SELECT relay.only_row,
    relay.enabled,
    relay.port,
    relay.helo_name,
    relay.source_ipv4,
    relay.source_ipv6,
    relay.ip_preference,
    relay.max_connections,
    relay.max_connections_per_destination,
    relay.max_messages_per_connection,
    relay.max_recipients_per_message,
    relay.idle_seconds,
    relay.connect_timeout_seconds,
    relay.reply_timeout_seconds,
    relay.data_timeout_seconds,
    relay.end_timeout_seconds,
    relay.expire_hours,
    relay.bounce_expire_hours,
    relay.delay_warning_hours,
    relay.max_returned_bytes,
    relay.attempt_days,
    relay.extra_roots
   FROM control.relay;

COMMENT ON VIEW admin.relay IS 'Settings: Relay. Settings of sending mail to other servers';

COMMENT ON COLUMN admin.relay.only_row IS 'Always true: there is one row';

COMMENT ON COLUMN admin.relay.enabled IS 'Whether mail for other servers is sent; false keeps all of it in the queue';

COMMENT ON COLUMN admin.relay.port IS 'Port of other servers, where no route says another: 25';

COMMENT ON COLUMN admin.relay.helo_name IS 'The name given to other servers in EHLO; empty = the server''s own name';

COMMENT ON COLUMN admin.relay.source_ipv4 IS 'The IPv4 address of this host from which mail is sent; empty = as the system chooses';

COMMENT ON COLUMN admin.relay.source_ipv6 IS 'The IPv6 address of this host from which mail is sent; empty = as the system chooses';

COMMENT ON COLUMN admin.relay.ip_preference IS 'Which addresses of another server are tried, and which first';

COMMENT ON COLUMN admin.relay.max_connections IS 'Connections to other servers at one time on one node';

COMMENT ON COLUMN admin.relay.max_connections_per_destination IS 'Of these, connections for one domain or route';

COMMENT ON COLUMN admin.relay.max_messages_per_connection IS 'Messages sent over one connection before it is closed';

COMMENT ON COLUMN admin.relay.max_recipients_per_message IS 'Recipients to whom a message is sent at once; for more it is sent again';

COMMENT ON COLUMN admin.relay.idle_seconds IS 'How long a connection is kept for the next message to the same destination';

COMMENT ON COLUMN admin.relay.connect_timeout_seconds IS 'How long a connection, and each TLS handshake, may take';

COMMENT ON COLUMN admin.relay.reply_timeout_seconds IS 'How long a reply is waited for (RFC 5321, 4.5.3.2: 5 minutes)';

COMMENT ON COLUMN admin.relay.data_timeout_seconds IS 'How long the other server may take to accept the next piece of a message (RFC 5321, 4.5.3.2: 3 minutes)';

COMMENT ON COLUMN admin.relay.end_timeout_seconds IS 'How long the reply to the end of a message is waited for (RFC 5321, 4.5.3.2: 10 minutes)';

COMMENT ON COLUMN admin.relay.expire_hours IS 'How long delivery is tried before the message is returned to its sender';

COMMENT ON COLUMN admin.relay.bounce_expire_hours IS 'The same for messages without a sender, such as reports';

COMMENT ON COLUMN admin.relay.delay_warning_hours IS 'After how long the sender is told that a message is delayed; 0 = never';

COMMENT ON COLUMN admin.relay.max_returned_bytes IS 'Largest message that is returned whole with a report when the sender asked for it; of larger ones the header is';

COMMENT ON COLUMN admin.relay.attempt_days IS 'How long the outcomes of attempts are kept in queue.attempt';

COMMENT ON COLUMN admin.relay.extra_roots IS 'Certificates (PEM) of authorities that are trusted besides those of the system, for routes and policies that ask for verified TLS';

CREATE TABLE control.relay_tls (
    only_row boolean DEFAULT true NOT NULL,
    dane boolean DEFAULT true NOT NULL,
    mta_sts boolean DEFAULT true NOT NULL,
    mta_sts_port control.port DEFAULT 443 NOT NULL,
    report_from text,
    report_organization text,
    CONSTRAINT relay_tls_only_row_check CHECK (only_row),
    CONSTRAINT "report_from is an address like tls-reports@example.test" CHECK ((report_from ~ '^[^@[:space:]<>]+@[^@[:space:]<>]+$'::text)),
    CONSTRAINT "report_organization is from 1 to 200 characters" CHECK (((length(report_organization) >= 1) AND (length(report_organization) <= 200)))
);

COMMENT ON TABLE control.relay_tls IS 'Which statements of other domains about their mail servers'' TLS are obeyed';

COMMENT ON COLUMN control.relay_tls.only_row IS 'Always true: there is one row';

COMMENT ON COLUMN control.relay_tls.dane IS 'Whether TLSA records are obeyed (DANE, RFC 7672) where DNSSEC vouches for them; see control.dns.dnssec';

COMMENT ON COLUMN control.relay_tls.mta_sts IS 'Whether MTA-STS policies (RFC 8461) are fetched and obeyed, where there is no DANE';

COMMENT ON COLUMN control.relay_tls.mta_sts_port IS 'Port on which policies are fetched: 443, unless a proxy stands elsewhere';

COMMENT ON COLUMN control.relay_tls.report_from IS 'Sender of the reports about their TLS that domains ask for (_smtp._tls) and get once a day; empty = none are sent';

COMMENT ON COLUMN control.relay_tls.report_organization IS 'Who sends these reports; empty = the server''s name';

CREATE VIEW admin.relay_tls WITH (security_invoker='true') AS
 SELECT relay_tls.only_row,
    relay_tls.dane,
    relay_tls.mta_sts,
    relay_tls.mta_sts_port,
    relay_tls.report_from,
    relay_tls.report_organization
   FROM control.relay_tls;

COMMENT ON VIEW admin.relay_tls IS 'Settings: Relay TLS. Which statements of other domains about their mail servers'' TLS are obeyed';

COMMENT ON COLUMN admin.relay_tls.only_row IS 'Always true: there is one row';

COMMENT ON COLUMN admin.relay_tls.dane IS 'Whether TLSA records are obeyed (DANE, RFC 7672) where DNSSEC vouches for them; see control.dns.dnssec';

COMMENT ON COLUMN admin.relay_tls.mta_sts IS 'Whether MTA-STS policies (RFC 8461) are fetched and obeyed, where there is no DANE';

COMMENT ON COLUMN admin.relay_tls.mta_sts_port IS 'Port on which policies are fetched: 443, unless a proxy stands elsewhere';

COMMENT ON COLUMN admin.relay_tls.report_from IS 'Sender of the reports about their TLS that domains ask for (_smtp._tls) and get once a day; empty = none are sent';

COMMENT ON COLUMN admin.relay_tls.report_organization IS 'Who sends these reports; empty = the server''s name';

CREATE TABLE control.report (
    name text NOT NULL,
    description text,
    active boolean DEFAULT true NOT NULL,
    query control.query NOT NULL,
    parameters text[] DEFAULT '{}'::text[] NOT NULL,
    chart control.chart DEFAULT 'none'::control.chart NOT NULL,
    chart_name text,
    chart_values text[] DEFAULT '{}'::text[] NOT NULL,
    max_rows integer DEFAULT 1000 NOT NULL,
    timeout_seconds integer DEFAULT 10 NOT NULL,
    CONSTRAINT "a chart has the column that names, and those that are drawn" CHECK (((chart = 'none'::control.chart) OR ((chart_name IS NOT NULL) AND (cardinality(chart_values) > 0)))),
    CONSTRAINT "a chart shows 6 columns at most" CHECK (((cardinality(chart_values) <= 6) AND (array_position(chart_values, NULL::text) IS NULL))),
    CONSTRAINT "a parameter is like days=30: a word, its preset; 5 at most" CHECK (((cardinality(parameters) <= 5) AND (array_position(parameters, NULL::text) IS NULL) AND (array_to_string(parameters, '
'::text) ~ '^([a-z][a-z0-9_]{0,30}=[^\n]{0,200}(\n|$))*$'::text))),
    CONSTRAINT "a report has a name of 1 to 80 characters, without a line end" CHECK (((name ~ '^\S([^\n]*\S)?$'::text) AND (length(name) <= 80))),
    CONSTRAINT "a report has from 1 to 10000 rows" CHECK (((max_rows >= 1) AND (max_rows <= 10000))),
    CONSTRAINT "a report may take from 1 to 300 seconds" CHECK (((timeout_seconds >= 1) AND (timeout_seconds <= 300)))
);

COMMENT ON TABLE control.report IS 'Queries that system administrators and auditors run on the page Reports; only system administrators write them';

COMMENT ON COLUMN control.report.name IS 'What it is called';

COMMENT ON COLUMN control.report.description IS 'What it says, and what the parameters are';

COMMENT ON COLUMN control.report.active IS 'Whether it is on the page Reports';

COMMENT ON COLUMN control.report.query IS 'One SELECT. It runs under the role mailwright_report, which reads the views of schema report and the tables of control, directory, queue, live, log and screen, but no secrets and no mail. Names are written with their schema; $1, $2 … are the parameters, as text: $1::integer';

COMMENT ON COLUMN control.report.parameters IS 'Names and what they are if nothing is given: days=30';

COMMENT ON COLUMN control.report.chart IS 'line: values over time; bars: one bar for each row';

COMMENT ON COLUMN control.report.chart_name IS 'The column with the time of each point, or the name of each bar';

COMMENT ON COLUMN control.report.chart_values IS 'The columns that are drawn: up to 6 lines, or the length of the bars. Columns whose names end with bytes or seconds are shown as such';

COMMENT ON COLUMN control.report.max_rows IS 'Rows at most; that there are more is said';

COMMENT ON COLUMN control.report.timeout_seconds IS 'Seconds that it may take before it is stopped';

CREATE VIEW admin.report WITH (security_invoker='true') AS
 SELECT report.name,
    report.description,
    report.active,
    report.query,
    report.parameters,
    report.chart,
    report.chart_name,
    report.chart_values,
    report.max_rows,
    report.timeout_seconds
   FROM control.report;

COMMENT ON VIEW admin.report IS 'Server: Report queries. What the page Reports offers: SQL that is kept';

COMMENT ON COLUMN admin.report.name IS 'What it is called';

COMMENT ON COLUMN admin.report.description IS 'What it says, and what the parameters are';

COMMENT ON COLUMN admin.report.active IS 'Whether it is on the page Reports';

COMMENT ON COLUMN admin.report.query IS 'One SELECT. It runs under the role mailwright_report, which reads the views of schema report and the tables of control, directory, queue, live, log and screen, but no secrets and no mail. Names are written with their schema; $1, $2 … are the parameters, as text: $1::integer';

COMMENT ON COLUMN admin.report.parameters IS 'Names and what they are if nothing is given: days=30';

COMMENT ON COLUMN admin.report.chart IS 'line: values over time; bars: one bar for each row';

COMMENT ON COLUMN admin.report.chart_name IS 'The column with the time of each point, or the name of each bar';

COMMENT ON COLUMN admin.report.chart_values IS 'The columns that are drawn: up to 6 lines, or the length of the bars. Columns whose names end with bytes or seconds are shown as such';

COMMENT ON COLUMN admin.report.max_rows IS 'Rows at most; that there are more is said';

COMMENT ON COLUMN admin.report.timeout_seconds IS 'Seconds that it may take before it is stopped';

CREATE TABLE control.retry (
    attempt integer NOT NULL,
    after_seconds integer NOT NULL,
    CONSTRAINT "after_seconds is from 1 to 604800 (7 days)" CHECK (((after_seconds >= 1) AND (after_seconds <= 604800))),
    CONSTRAINT "attempts are counted from 1" CHECK ((attempt >= 1))
);

COMMENT ON TABLE control.retry IS 'When a delivery that failed for now is tried again. After the last row its time repeats until the message expires';

COMMENT ON COLUMN control.retry.attempt IS 'After the how-many-th attempt';

COMMENT ON COLUMN control.retry.after_seconds IS 'Seconds until the next one; a tenth more or less is added at random';

CREATE VIEW admin.retry WITH (security_invoker='true') AS
 SELECT retry.attempt,
    retry.after_seconds
   FROM control.retry;

COMMENT ON VIEW admin.retry IS 'Server: Retry. When a delivery that failed for now is tried again. After the last row its time repeats until the message expires';

COMMENT ON COLUMN admin.retry.attempt IS 'After the how-many-th attempt';

COMMENT ON COLUMN admin.retry.after_seconds IS 'Seconds until the next one; a tenth more or less is added at random';

CREATE TABLE control.route (
    id bigint NOT NULL,
    pattern text NOT NULL,
    active boolean DEFAULT true NOT NULL,
    host text,
    port control.port,
    tls control.route_tls DEFAULT 'opportunistic'::control.route_tls NOT NULL,
    username text,
    password control.secret,
    helo_name control.hostname,
    source_ipv4 text,
    source_ipv6 text,
    max_connections control."limit" DEFAULT 0 NOT NULL,
    max_messages_per_minute control."limit" DEFAULT 0 NOT NULL,
    comment text,
    CONSTRAINT "a host is a name, or an IP address" CHECK (((host IS NULL) OR control.is_ip_address(host) OR ((host)::control.hostname IS NOT NULL))),
    CONSTRAINT "a login needs TLS: set tls to required, verified or implicit" CHECK (((username IS NULL) OR (tls = ANY (ARRAY['required'::control.route_tls, 'verified'::control.route_tls, 'implicit'::control.route_tls])))),
    CONSTRAINT "a pattern is *, example.org or *.example.org" CHECK (((pattern = '*'::text) OR ((
CASE
    WHEN (pattern ~~ '*.%'::text) THEN substr(pattern, 3)
    ELSE pattern
END)::control.hostname IS NOT NULL))),
    CONSTRAINT "a user name needs a password, and a password a user name" CHECK (((username IS NULL) = (password IS NULL))),
    CONSTRAINT "source_ipv4 is one IPv4 address of this host" CHECK (((source_ipv4 !~ ':'::text) AND control.is_ip_address(source_ipv4))),
    CONSTRAINT "source_ipv6 is one IPv6 address of this host" CHECK (((source_ipv6 ~ ':'::text) AND control.is_ip_address(source_ipv6)))
);

COMMENT ON TABLE control.route IS 'Smart hosts and other exceptions from sending by DNS. The most specific pattern wins: example.org before *.example.org before *.org before *';

COMMENT ON COLUMN control.route.id IS 'Number of the row';

COMMENT ON COLUMN control.route.pattern IS 'Recipients'' domain; *.example.org for all below it; * for everything: the smart host';

COMMENT ON COLUMN control.route.active IS 'Whether the route is used';

COMMENT ON COLUMN control.route.host IS 'Host that takes the mail: a name (its addresses are used, not its MX) or an IP address; empty = by DNS as usual';

COMMENT ON COLUMN control.route.port IS 'Its port; empty = 25, or 465 with implicit TLS';

COMMENT ON COLUMN control.route.tls IS 'none; opportunistic: if the server offers it; required: encrypted, whatever the certificate; verified: with a valid certificate for the host; implicit: verified, TLS from the first byte';

COMMENT ON COLUMN control.route.username IS 'Login at that host (AUTH)';

COMMENT ON COLUMN control.route.password IS 'Its password';

COMMENT ON COLUMN control.route.helo_name IS 'The name given in EHLO; empty = as the sender''s domain or control.relay says';

COMMENT ON COLUMN control.route.source_ipv4 IS 'IPv4 address of this host to send from; empty = as the sender''s domain or control.relay says';

COMMENT ON COLUMN control.route.source_ipv6 IS 'IPv6 address of this host to send from; empty = as the sender''s domain or control.relay says';

COMMENT ON COLUMN control.route.max_connections IS 'Connections at one time on one node; 0 = as control.relay says';

COMMENT ON COLUMN control.route.max_messages_per_minute IS 'Messages sent in a minute by one node; 0 = no limit';

COMMENT ON COLUMN control.route.comment IS 'A note for administrators';

CREATE VIEW admin.route WITH (security_invoker='true') AS
 SELECT route.id,
    route.pattern,
    route.active,
    route.host,
    route.port,
    route.tls,
    route.username,
    route.helo_name,
    route.source_ipv4,
    route.source_ipv6,
    route.max_connections,
    route.max_messages_per_minute,
    route.comment
   FROM control.route;

COMMENT ON VIEW admin.route IS 'Server: Route. Smart hosts and other exceptions from sending by DNS. The most specific pattern wins: example.org before *.example.org before *.org before *';

COMMENT ON COLUMN admin.route.id IS 'Number of the row';

COMMENT ON COLUMN admin.route.pattern IS 'Recipients'' domain; *.example.org for all below it; * for everything: the smart host';

COMMENT ON COLUMN admin.route.active IS 'Whether the route is used';

COMMENT ON COLUMN admin.route.host IS 'Host that takes the mail: a name (its addresses are used, not its MX) or an IP address; empty = by DNS as usual';

COMMENT ON COLUMN admin.route.port IS 'Its port; empty = 25, or 465 with implicit TLS';

COMMENT ON COLUMN admin.route.tls IS 'none; opportunistic: if the server offers it; required: encrypted, whatever the certificate; verified: with a valid certificate for the host; implicit: verified, TLS from the first byte';

COMMENT ON COLUMN admin.route.username IS 'Login at that host (AUTH)';

COMMENT ON COLUMN admin.route.helo_name IS 'The name given in EHLO; empty = as the sender''s domain or control.relay says';

COMMENT ON COLUMN admin.route.source_ipv4 IS 'IPv4 address of this host to send from; empty = as the sender''s domain or control.relay says';

COMMENT ON COLUMN admin.route.source_ipv6 IS 'IPv6 address of this host to send from; empty = as the sender''s domain or control.relay says';

COMMENT ON COLUMN admin.route.max_connections IS 'Connections at one time on one node; 0 = as control.relay says';

COMMENT ON COLUMN admin.route.max_messages_per_minute IS 'Messages sent in a minute by one node; 0 = no limit';

COMMENT ON COLUMN admin.route.comment IS 'A note for administrators';

CREATE TABLE control.server (
    only_row boolean DEFAULT true NOT NULL,
    hostname control.hostname,
    stop_grace_seconds control.seconds DEFAULT 30 NOT NULL,
    log_level text DEFAULT 'info'::text NOT NULL,
    CONSTRAINT server_only_row_check CHECK (only_row),
    CONSTRAINT "the log level is error, warn, info, debug or trace" CHECK ((log_level = ANY (ARRAY['error'::text, 'warn'::text, 'info'::text, 'debug'::text, 'trace'::text])))
);

COMMENT ON TABLE control.server IS 'Settings of the whole server';

COMMENT ON COLUMN control.server.only_row IS 'Always true: there is one row';

COMMENT ON COLUMN control.server.hostname IS 'The server''s name in greetings and trace headers; empty = the host''s own name';

COMMENT ON COLUMN control.server.stop_grace_seconds IS 'How long a stopping service waits for messages that are just coming in';

COMMENT ON COLUMN control.server.log_level IS 'How much is logged: error, warn, info, debug, trace';

CREATE VIEW admin.server WITH (security_invoker='true') AS
 SELECT server.only_row,
    server.hostname,
    server.stop_grace_seconds,
    server.log_level
   FROM control.server;

COMMENT ON VIEW admin.server IS 'Settings: Server. Settings of the whole server';

COMMENT ON COLUMN admin.server.only_row IS 'Always true: there is one row';

COMMENT ON COLUMN admin.server.hostname IS 'The server''s name in greetings and trace headers; empty = the host''s own name';

COMMENT ON COLUMN admin.server.stop_grace_seconds IS 'How long a stopping service waits for messages that are just coming in';

COMMENT ON COLUMN admin.server.log_level IS 'How much is logged: error, warn, info, debug, trace';

CREATE VIEW admin.smtp WITH (security_invoker='true') AS
 SELECT smtp.only_row,
    smtp.max_message_bytes,
    smtp.max_recipients,
    smtp.max_header_bytes,
    smtp.max_errors,
    smtp.max_messages_per_session,
    smtp.max_received_headers,
    smtp.bare_newline,
    smtp.require_tls_for_auth,
    smtp.allow_null_sender,
    smtp.command_timeout_seconds,
    smtp.data_timeout_seconds,
    smtp.relay_ip_list_id,
    smtp.xclient_ip_list_id,
    smtp.mail_from_policy,
    smtp.local_senders_need_login,
    smtp.refuse_unknown_local_senders,
    smtp.unresolvable_sender,
    smtp.max_hold_seconds,
    smtp.min_deliver_by_seconds,
    smtp.max_priority,
    smtp.vrfy,
    smtp.expn,
    smtp.etrn
   FROM control.smtp;

COMMENT ON VIEW admin.smtp IS 'Settings: SMTP. Settings of the SMTP service';

COMMENT ON COLUMN admin.smtp.only_row IS 'Always true: there is one row';

COMMENT ON COLUMN admin.smtp.max_message_bytes IS 'Largest message accepted, in bytes, 150 MB at most; a domain or account may have a lower limit';

COMMENT ON COLUMN admin.smtp.max_recipients IS 'Recipients of one message; more are answered with 452, and the client sends them in a further message';

COMMENT ON COLUMN admin.smtp.max_header_bytes IS 'Largest header of a message, in bytes';

COMMENT ON COLUMN admin.smtp.max_errors IS 'Refused commands after which a session is closed with 421';

COMMENT ON COLUMN admin.smtp.max_messages_per_session IS 'Messages in one session';

COMMENT ON COLUMN admin.smtp.max_received_headers IS 'A message with more Received headers than this runs in a loop and is refused (RFC 5321, 6.3)';

COMMENT ON COLUMN admin.smtp.bare_newline IS 'A message with CR or LF alone: refuse it, or normalise them to CRLF. They never end a message';

COMMENT ON COLUMN admin.smtp.require_tls_for_auth IS 'Whether AUTH is offered only under TLS';

COMMENT ON COLUMN admin.smtp.allow_null_sender IS 'Whether MAIL FROM:<> is accepted; bounces need it';

COMMENT ON COLUMN admin.smtp.command_timeout_seconds IS 'How long a silent client is waited for between commands';

COMMENT ON COLUMN admin.smtp.data_timeout_seconds IS 'How long a silent client is waited for within a message';

COMMENT ON COLUMN admin.smtp.relay_ip_list_id IS 'The addresses in this IP list may send mail to other servers without a login, on submission listeners too; empty = nobody may';

COMMENT ON COLUMN admin.smtp.xclient_ip_list_id IS 'The addresses in this IP list may say by XCLIENT for which client they speak; empty = nobody may';

COMMENT ON COLUMN admin.smtp.mail_from_policy IS 'Senders that users may give. any: whatever they like; own: their own address, aliases that lead to them, and what directory.sender_permission allows. An account may have its own policy';

COMMENT ON COLUMN admin.smtp.local_senders_need_login IS 'Whether addresses of accounts and aliases here may be given as sender only by those who have logged in, or may relay. A domain or account may differ';

COMMENT ON COLUMN admin.smtp.refuse_unknown_local_senders IS 'Whether senders in your domains that do not exist are refused';

COMMENT ON COLUMN admin.smtp.unresolvable_sender IS 'Senders whose domain takes no mail, for it has neither MX nor address: accept, defer (450), or refuse (550). Names that cannot be looked up now are deferred, unless all are accepted';

COMMENT ON COLUMN admin.smtp.max_hold_seconds IS 'How long users may have a message held back (FUTURERELEASE, RFC 4865); 0 = not offered';

COMMENT ON COLUMN admin.smtp.min_deliver_by_seconds IS 'Shortest time to deliver a message that must otherwise be returned (DELIVERBY, RFC 2852)';

COMMENT ON COLUMN admin.smtp.max_priority IS 'Highest priority that users may give a message (MT-PRIORITY, RFC 6710), from -9 to 9; higher ones are lowered to it. An account may have its own';

COMMENT ON COLUMN admin.smtp.vrfy IS 'Whether VRFY tells users and relaying peers which addresses exist; others are always answered 252';

COMMENT ON COLUMN admin.smtp.expn IS 'Whether EXPN tells users and relaying peers who is behind an alias';

COMMENT ON COLUMN admin.smtp.etrn IS 'Whether ETRN lets users and relaying peers start the queue of a domain';

CREATE TABLE control.smtp_limit (
    only_row boolean DEFAULT true NOT NULL,
    account_messages_per_minute control."limit" DEFAULT 0 NOT NULL,
    account_messages_per_hour control."limit" DEFAULT 0 NOT NULL,
    account_recipients_per_hour control."limit" DEFAULT 10000 NOT NULL,
    peer_connections_per_minute control."limit" DEFAULT 0 NOT NULL,
    peer_messages_per_minute control."limit" DEFAULT 0 NOT NULL,
    peer_recipients_per_minute control."limit" DEFAULT 0 NOT NULL,
    peer_unknown_recipients_per_hour control."limit" DEFAULT 500 NOT NULL,
    tarpit_after_errors control."limit" DEFAULT 5 NOT NULL,
    tarpit_seconds integer DEFAULT 0 NOT NULL,
    CONSTRAINT smtp_limit_only_row_check CHECK (only_row),
    CONSTRAINT "tarpit_seconds is from 0 (off) to 60" CHECK (((tarpit_seconds >= 0) AND (tarpit_seconds <= 60)))
);

COMMENT ON TABLE control.smtp_limit IS 'How much a host or an account may do in a time, on all nodes together; 0 = no limit. Windows are fixed: they begin with each full minute or hour';

COMMENT ON COLUMN control.smtp_limit.only_row IS 'Always true: there is one row';

COMMENT ON COLUMN control.smtp_limit.account_messages_per_minute IS 'Messages that one account may send in a minute';

COMMENT ON COLUMN control.smtp_limit.account_messages_per_hour IS 'Messages that one account may send in an hour; domains and accounts may have limits of their own';

COMMENT ON COLUMN control.smtp_limit.account_recipients_per_hour IS 'Recipients that one account may send to in an hour; domains and accounts may have limits of their own';

COMMENT ON COLUMN control.smtp_limit.peer_connections_per_minute IS 'SMTP connections from one address (IPv6: /64) in a minute; more are answered with 421';

COMMENT ON COLUMN control.smtp_limit.peer_messages_per_minute IS 'Messages from one address that has not logged in, in a minute';

COMMENT ON COLUMN control.smtp_limit.peer_recipients_per_minute IS 'Recipients from one address that has not logged in, in a minute';

COMMENT ON COLUMN control.smtp_limit.peer_unknown_recipients_per_hour IS 'Recipients unknown here that one address may try in an hour: who tries more guesses addresses, and is sent away with 421 until the hour is over';

COMMENT ON COLUMN control.smtp_limit.tarpit_after_errors IS 'Refused commands in one session after which further refusals are answered slowly';

COMMENT ON COLUMN control.smtp_limit.tarpit_seconds IS 'How slowly; 0 = at once';

CREATE VIEW admin.smtp_limit WITH (security_invoker='true') AS
 SELECT smtp_limit.only_row,
    smtp_limit.account_messages_per_minute,
    smtp_limit.account_messages_per_hour,
    smtp_limit.account_recipients_per_hour,
    smtp_limit.peer_connections_per_minute,
    smtp_limit.peer_messages_per_minute,
    smtp_limit.peer_recipients_per_minute,
    smtp_limit.peer_unknown_recipients_per_hour,
    smtp_limit.tarpit_after_errors,
    smtp_limit.tarpit_seconds
   FROM control.smtp_limit;

COMMENT ON VIEW admin.smtp_limit IS 'Settings: SMTP limit. How much a host or an account may do in a time, on all nodes together; 0 = no limit. Windows are fixed: they begin with each full minute or hour';

COMMENT ON COLUMN admin.smtp_limit.only_row IS 'Always true: there is one row';

COMMENT ON COLUMN admin.smtp_limit.account_messages_per_minute IS 'Messages that one account may send in a minute';

COMMENT ON COLUMN admin.smtp_limit.account_messages_per_hour IS 'Messages that one account may send in an hour; domains and accounts may have limits of their own';

COMMENT ON COLUMN admin.smtp_limit.account_recipients_per_hour IS 'Recipients that one account may send to in an hour; domains and accounts may have limits of their own';

COMMENT ON COLUMN admin.smtp_limit.peer_connections_per_minute IS 'SMTP connections from one address (IPv6: /64) in a minute; more are answered with 421';

COMMENT ON COLUMN admin.smtp_limit.peer_messages_per_minute IS 'Messages from one address that has not logged in, in a minute';

COMMENT ON COLUMN admin.smtp_limit.peer_recipients_per_minute IS 'Recipients from one address that has not logged in, in a minute';

COMMENT ON COLUMN admin.smtp_limit.peer_unknown_recipients_per_hour IS 'Recipients unknown here that one address may try in an hour: who tries more guesses addresses, and is sent away with 421 until the hour is over';

COMMENT ON COLUMN admin.smtp_limit.tarpit_after_errors IS 'Refused commands in one session after which further refusals are answered slowly';

COMMENT ON COLUMN admin.smtp_limit.tarpit_seconds IS 'How slowly; 0 = at once';

CREATE TABLE control.srs (
    only_row boolean DEFAULT true NOT NULL,
    enabled boolean DEFAULT true NOT NULL,
    secret control.secret DEFAULT ((gen_random_uuid())::text || (gen_random_uuid())::text) NOT NULL,
    max_age_days integer DEFAULT 21 NOT NULL,
    any_sender boolean DEFAULT false NOT NULL,
    CONSTRAINT "forwarded senders are valid for 1 to 365 days" CHECK (((max_age_days >= 1) AND (max_age_days <= 365))),
    CONSTRAINT srs_only_row_check CHECK (only_row),
    CONSTRAINT "the secret has at least 16 characters" CHECK ((length((secret)::text) >= 16))
);

COMMENT ON TABLE control.srs IS 'The Sender Rewriting Scheme: forwarded mail of other people gets a sender of the forwarding domain, so that the receiver''s SPF check passes and bounces find their way back';

COMMENT ON COLUMN control.srs.only_row IS 'There is one row';

COMMENT ON COLUMN control.srs.enabled IS 'Whether senders are rewritten. Addresses that were rewritten before are then unknown';

COMMENT ON COLUMN control.srs.secret IS 'What proves that a rewritten sender is ours; a new secret makes all earlier ones invalid';

COMMENT ON COLUMN control.srs.max_age_days IS 'Days for which bounces to a rewritten sender are taken';

COMMENT ON COLUMN control.srs.any_sender IS 'Whether a rewritten sender takes mail from everybody; otherwise bounces only';

CREATE VIEW admin.srs WITH (security_invoker='true') AS
 SELECT srs.only_row,
    srs.enabled,
    srs.max_age_days,
    srs.any_sender
   FROM control.srs;

COMMENT ON VIEW admin.srs IS 'Settings: SRS. The Sender Rewriting Scheme: forwarded mail of other people gets a sender of the forwarding domain, so that the receiver''s SPF check passes and bounces find their way back';

COMMENT ON COLUMN admin.srs.only_row IS 'There is one row';

COMMENT ON COLUMN admin.srs.enabled IS 'Whether senders are rewritten. Addresses that were rewritten before are then unknown';

COMMENT ON COLUMN admin.srs.max_age_days IS 'Days for which bounces to a rewritten sender are taken';

COMMENT ON COLUMN admin.srs.any_sender IS 'Whether a rewritten sender takes mail from everybody; otherwise bounces only';

CREATE TABLE control.store (
    only_row boolean DEFAULT true NOT NULL,
    message_bytes_in_flight bigint DEFAULT 67108864 NOT NULL,
    compress boolean DEFAULT true NOT NULL,
    expunged_retention_days integer DEFAULT 14 NOT NULL,
    content_grace_hours integer DEFAULT 24 NOT NULL,
    index_text boolean DEFAULT true NOT NULL,
    index_text_max_bytes integer DEFAULT 1048576 NOT NULL,
    cache_bytes bigint DEFAULT 67108864 NOT NULL,
    CONSTRAINT "cache_bytes is 0 (nothing is remembered) to 1 TiB" CHECK (((cache_bytes >= 0) AND (cache_bytes <= '1099511627776'::bigint))),
    CONSTRAINT "content_grace_hours is from 1 to 8760" CHECK (((content_grace_hours >= 1) AND (content_grace_hours <= 8760))),
    CONSTRAINT "expunged_retention_days is from 0 to 3650" CHECK (((expunged_retention_days >= 0) AND (expunged_retention_days <= 3650))),
    CONSTRAINT "index_text_max_bytes is from 65536 to 16777216" CHECK (((index_text_max_bytes >= 65536) AND (index_text_max_bytes <= 16777216))),
    CONSTRAINT "message_bytes_in_flight is from 4 MB to 64 GB" CHECK (((message_bytes_in_flight >= 4194304) AND (message_bytes_in_flight <= '68719476736'::bigint))),
    CONSTRAINT store_only_row_check CHECK (only_row)
);

COMMENT ON TABLE control.store IS 'Settings of the message store';

COMMENT ON COLUMN control.store.only_row IS 'Always true: there is one row';

COMMENT ON COLUMN control.store.message_bytes_in_flight IS 'Memory for messages that are just coming in, in bytes and per node; when it is spent, senders wait';

COMMENT ON COLUMN control.store.compress IS 'Whether message bodies are compressed (zstd); off lets people read raw mail in SQL. Mail already stored stays as it is';

COMMENT ON COLUMN control.store.expunged_retention_days IS 'How long deleted mail can be restored, and mail clients can be told what has gone';

COMMENT ON COLUMN control.store.content_grace_hours IS 'How long content that nothing refers to is kept before it is removed';

COMMENT ON COLUMN control.store.index_text IS 'Whether the text of mail is indexed in the background, so that searches in large mailboxes are fast. Search finds the same without';

COMMENT ON COLUMN control.store.index_text_max_bytes IS 'Messages with more text than this are not indexed, but read by each search; bytes of header and text parts';

COMMENT ON COLUMN control.store.cache_bytes IS 'Memory in which a node keeps what it has read of messages, bytes; 0 = none. PostgreSQL has its own cache besides';

CREATE VIEW admin.store WITH (security_invoker='true') AS
 SELECT store.only_row,
    store.message_bytes_in_flight,
    store.compress,
    store.expunged_retention_days,
    store.content_grace_hours,
    store.index_text,
    store.index_text_max_bytes,
    store.cache_bytes
   FROM control.store;

COMMENT ON VIEW admin.store IS 'Settings: Store. Settings of the message store';

COMMENT ON COLUMN admin.store.only_row IS 'Always true: there is one row';

COMMENT ON COLUMN admin.store.message_bytes_in_flight IS 'Memory for messages that are just coming in, in bytes and per node; when it is spent, senders wait';

COMMENT ON COLUMN admin.store.compress IS 'Whether message bodies are compressed (zstd); off lets people read raw mail in SQL. Mail already stored stays as it is';

COMMENT ON COLUMN admin.store.expunged_retention_days IS 'How long deleted mail can be restored, and mail clients can be told what has gone';

COMMENT ON COLUMN admin.store.content_grace_hours IS 'How long content that nothing refers to is kept before it is removed';

COMMENT ON COLUMN admin.store.index_text IS 'Whether the text of mail is indexed in the background, so that searches in large mailboxes are fast. Search finds the same without';

COMMENT ON COLUMN admin.store.index_text_max_bytes IS 'Messages with more text than this are not indexed, but read by each search; bytes of header and text parts';

COMMENT ON COLUMN admin.store.cache_bytes IS 'Memory in which a node keeps what it has read of messages, bytes; 0 = none. PostgreSQL has its own cache besides';

CREATE TABLE control.template (
    id bigint NOT NULL,
    name text NOT NULL,
    domain_id bigint,
    subject text NOT NULL,
    body text NOT NULL,
    CONSTRAINT "a subject is one line of 1 to 200 characters" CHECK ((((length(subject) >= 1) AND (length(subject) <= 200)) AND (subject !~ '[[:cntrl:]]'::text))),
    CONSTRAINT "a template is for failed, delayed, delivered or relayed" CHECK ((name = ANY (ARRAY['failed'::text, 'delayed'::text, 'delivered'::text, 'relayed'::text]))),
    CONSTRAINT "a text has 1 to 20000 characters" CHECK (((length(body) >= 1) AND (length(body) <= 20000)))
);

COMMENT ON TABLE control.template IS 'Texts of the reports that senders get. {hostname} {sender} {subject} {received} {recipients} {reasons} {expires} stand for what they say';

COMMENT ON COLUMN control.template.id IS 'Number of the row';

COMMENT ON COLUMN control.template.name IS 'When it is sent: failed, delayed, delivered (when asked for), relayed (delivered to a server that sends no reports)';

COMMENT ON COLUMN control.template.domain_id IS 'For senders of this domain; empty = for all others';

COMMENT ON COLUMN control.template.subject IS 'Subject of the report';

COMMENT ON COLUMN control.template.body IS 'Text of the report';

CREATE VIEW admin.template WITH (security_invoker='true') AS
 SELECT template.id,
    template.name,
    template.domain_id,
    template.subject,
    template.body
   FROM control.template;

COMMENT ON VIEW admin.template IS 'Server: Template. Texts of the reports that senders get. {hostname} {sender} {subject} {received} {recipients} {reasons} {expires} stand for what they say';

COMMENT ON COLUMN admin.template.id IS 'Number of the row';

COMMENT ON COLUMN admin.template.name IS 'When it is sent: failed, delayed, delivered (when asked for), relayed (delivered to a server that sends no reports)';

COMMENT ON COLUMN admin.template.domain_id IS 'For senders of this domain; empty = for all others';

COMMENT ON COLUMN admin.template.subject IS 'Subject of the report';

COMMENT ON COLUMN admin.template.body IS 'Text of the report';

CREATE VIEW admin.trace WITH (security_invoker='true') AS
 SELECT trace.id,
    trace.at,
    trace.step,
    trace.sender,
    trace.recipient,
    trace.reply,
    host(trace.peer) AS peer,
    trace.message,
    trace.command,
    trace.size,
    trace.message_id,
    trace.queue_id,
    trace.session_id,
    trace.node
   FROM log.trace;

COMMENT ON VIEW admin.trace IS 'Running: Trace. What became of messages, one line for each step; all steps of one message bear the same message';

COMMENT ON COLUMN admin.trace.id IS 'Number of the row';

COMMENT ON COLUMN admin.trace.at IS 'When';

COMMENT ON COLUMN admin.trace.step IS 'accepted: 250 was said, a row for each recipient; refused; placed: it is in a mailbox; missed: the mailbox was deleted meanwhile; queued: for another server; reported: its sender is told of what became of it; held, released, retried, cancelled: somebody did so to what is queued';

COMMENT ON COLUMN admin.trace.sender IS 'Reverse path, empty = null sender, in the first row of a message; where it is queued: if it was rewritten';

COMMENT ON COLUMN admin.trace.recipient IS 'Accepted, refused: as the client said it. Placed: the account''s address. Queued: where it goes';

COMMENT ON COLUMN admin.trace.reply IS 'What was said: the refusal, or the kind of the report; who held, released, retried or cancelled it';

COMMENT ON COLUMN admin.trace.peer IS 'The client''s address';

COMMENT ON COLUMN admin.trace.message IS 'What the server calls the message: the id in its Received field, also said to who sent it. For what was refused before a message began: the session';

COMMENT ON COLUMN admin.trace.command IS 'What was refused: MAIL, RCPT or DATA';

COMMENT ON COLUMN admin.trace.size IS 'Bytes';

COMMENT ON COLUMN admin.trace.message_id IS 'Its Message-ID, in the first row';

COMMENT ON COLUMN admin.trace.queue_id IS 'Its number in queue.message and queue.attempt';

COMMENT ON COLUMN admin.trace.session_id IS 'The session that brought the message, as live.session called it';

COMMENT ON COLUMN admin.trace.node IS 'The node that did it';

CREATE TABLE control.traffic (
    only_row boolean DEFAULT true NOT NULL,
    interval_minutes integer DEFAULT 15 NOT NULL,
    history_days integer DEFAULT 30 NOT NULL,
    CONSTRAINT "history_days is from 0 to 3650" CHECK (((history_days >= 0) AND (history_days <= 3650))),
    CONSTRAINT "interval_minutes is from 1 to 1440 (one day)" CHECK (((interval_minutes >= 1) AND (interval_minutes <= 1440))),
    CONSTRAINT traffic_only_row_check CHECK (only_row)
);

COMMENT ON TABLE control.traffic IS 'Settings of the traffic service; its rules are in control.traffic_rule';

COMMENT ON COLUMN control.traffic.only_row IS 'Always true: there is one row';

COMMENT ON COLUMN control.traffic.interval_minutes IS 'The interval that rules speak of; each begins when the one before ends, at the same moment on all nodes';

COMMENT ON COLUMN control.traffic.history_days IS 'How long the counts of past intervals are kept in log.traffic';

CREATE VIEW admin.traffic WITH (security_invoker='true') AS
 SELECT traffic.only_row,
    traffic.interval_minutes,
    traffic.history_days
   FROM control.traffic;

COMMENT ON VIEW admin.traffic IS 'Settings: Traffic. Settings of the traffic service; its rules are in control.traffic_rule';

COMMENT ON COLUMN admin.traffic.only_row IS 'Always true: there is one row';

COMMENT ON COLUMN admin.traffic.interval_minutes IS 'The interval that rules speak of; each begins when the one before ends, at the same moment on all nodes';

COMMENT ON COLUMN admin.traffic.history_days IS 'How long the counts of past intervals are kept in log.traffic';

CREATE VIEW admin.traffic_rule WITH (security_invoker='true') AS
 SELECT traffic_rule.id,
    traffic_rule.direction,
    traffic_rule.pattern,
    traffic_rule.max_messages,
    traffic_rule.max_megabytes
   FROM control.traffic_rule;

COMMENT ON VIEW admin.traffic_rule IS 'Server: Traffic rule. How much mail may pass in one interval; of the rules that match, only the most specific one counts';

COMMENT ON COLUMN admin.traffic_rule.id IS 'Number of the row';

COMMENT ON COLUMN admin.traffic_rule.direction IS 'incoming: mail from hosts that have not logged in; outgoing: mail of users to other servers';

COMMENT ON COLUMN admin.traffic_rule.pattern IS 'incoming: an IP pattern. outgoing: user@domain or *, counted for each user; or a domain, counted for all of its users together; * and ? are wildcards';

COMMENT ON COLUMN admin.traffic_rule.max_messages IS 'Messages in one interval, counted for each recipient; 0 = no limit';

COMMENT ON COLUMN admin.traffic_rule.max_megabytes IS 'Megabytes in one interval, counted for each recipient; 0 = no limit';

CREATE TABLE control.trusted_sealer (
    domain control.hostname NOT NULL,
    comment text
);

COMMENT ON TABLE control.trusted_sealer IS 'Forwarders and mailing lists whose ARC seal is believed: mail that failed DMARC on the way is accepted when the last seal is theirs and says that it had passed there';

COMMENT ON COLUMN control.trusted_sealer.domain IS 'The domain that seals (d= of ARC-Seal)';

COMMENT ON COLUMN control.trusted_sealer.comment IS 'A note for administrators';

CREATE VIEW admin.trusted_sealer WITH (security_invoker='true') AS
 SELECT trusted_sealer.domain,
    trusted_sealer.comment
   FROM control.trusted_sealer;

COMMENT ON VIEW admin.trusted_sealer IS 'Server: Trusted sealer. Forwarders and mailing lists whose ARC seal is believed: mail that failed DMARC on the way is accepted when the last seal is theirs and says that it had passed there';

COMMENT ON COLUMN admin.trusted_sealer.domain IS 'The domain that seals (d= of ARC-Seal)';

COMMENT ON COLUMN admin.trusted_sealer.comment IS 'A note for administrators';

CREATE TABLE control.trusted_sender_domain (
    domain control.hostname NOT NULL,
    comment text
);

COMMENT ON TABLE control.trusted_sender_domain IS 'Domains whose mail no DNS list and no greylisting holds up, where the connecting host is proven to be theirs: by A, AAAA, MX or SPF of the domain';

COMMENT ON COLUMN control.trusted_sender_domain.domain IS 'The domain of MAIL FROM, exactly';

COMMENT ON COLUMN control.trusted_sender_domain.comment IS 'A note for administrators';

CREATE VIEW admin.trusted_sender_domain WITH (security_invoker='true') AS
 SELECT trusted_sender_domain.domain,
    trusted_sender_domain.comment
   FROM control.trusted_sender_domain;

COMMENT ON VIEW admin.trusted_sender_domain IS 'Server: Trusted sender domain. Domains whose mail no DNS list and no greylisting holds up, where the connecting host is proven to be theirs: by A, AAAA, MX or SPF of the domain';

COMMENT ON COLUMN admin.trusted_sender_domain.domain IS 'The domain of MAIL FROM, exactly';

COMMENT ON COLUMN admin.trusted_sender_domain.comment IS 'A note for administrators';

CREATE TABLE control.web (
    only_row boolean DEFAULT true NOT NULL,
    require_tls boolean DEFAULT true NOT NULL,
    idle_minutes integer DEFAULT 30 NOT NULL,
    session_hours integer DEFAULT 12 NOT NULL,
    monitor_ip_list_id bigint,
    require_second_factor control.second_factor_rule DEFAULT 'none'::control.second_factor_rule NOT NULL,
    mailbox_view_minutes integer DEFAULT 15 NOT NULL,
    search_seconds integer DEFAULT 20 NOT NULL,
    CONSTRAINT "a page may search for 1 to 300 seconds" CHECK (((search_seconds >= 1) AND (search_seconds <= 300))),
    CONSTRAINT "a session lasts from 1 to 720 hours" CHECK (((session_hours >= 1) AND (session_hours <= 720))),
    CONSTRAINT "a session may be idle for 1 to 1440 minutes" CHECK (((idle_minutes >= 1) AND (idle_minutes <= 1440))),
    CONSTRAINT "a view of a mailbox lasts from 1 to 240 minutes" CHECK (((mailbox_view_minutes >= 1) AND (mailbox_view_minutes <= 240))),
    CONSTRAINT web_only_row_check CHECK (only_row)
);

COMMENT ON TABLE control.web IS 'Settings of the web pages';

COMMENT ON COLUMN control.web.only_row IS 'Always true: there is one row';

COMMENT ON COLUMN control.web.require_tls IS 'Whether passwords are taken over HTTPS only. From this host itself (127.0.0.1, ::1) HTTP will always do';

COMMENT ON COLUMN control.web.idle_minutes IS 'After so long without a click an administrator has to log in again';

COMMENT ON COLUMN control.web.session_hours IS 'After so long an administrator has to log in again, whatever he did';

COMMENT ON COLUMN control.web.monitor_ip_list_id IS 'The IP list of those who may read /metrics and all of /readyz without a token; none = this host (127.0.0.1, ::1) only';

COMMENT ON COLUMN control.web.require_second_factor IS 'Who needs a second factor (codes of an app) to log in to these pages: none, system administrators, or everybody. Who has none yet is led to its enrolment before anything else';

COMMENT ON COLUMN control.web.mailbox_view_minutes IS 'After so long an administrator who looks into a user''s mailbox has to give his reason again';

COMMENT ON COLUMN control.web.search_seconds IS 'How long a page may search or work in the database; then it is given up, and says so';

CREATE VIEW admin.web WITH (security_invoker='true') AS
 SELECT web.only_row,
    web.require_tls,
    web.idle_minutes,
    web.session_hours,
    web.monitor_ip_list_id,
    web.require_second_factor,
    web.mailbox_view_minutes,
    web.search_seconds
   FROM control.web;

COMMENT ON VIEW admin.web IS 'Settings: Web. Settings of the web pages';

COMMENT ON COLUMN admin.web.only_row IS 'Always true: there is one row';

COMMENT ON COLUMN admin.web.require_tls IS 'Whether passwords are taken over HTTPS only. From this host itself (127.0.0.1, ::1) HTTP will always do';

COMMENT ON COLUMN admin.web.idle_minutes IS 'After so long without a click an administrator has to log in again';

COMMENT ON COLUMN admin.web.session_hours IS 'After so long an administrator has to log in again, whatever he did';

COMMENT ON COLUMN admin.web.monitor_ip_list_id IS 'The IP list of those who may read /metrics and all of /readyz without a token; none = this host (127.0.0.1, ::1) only';

COMMENT ON COLUMN admin.web.require_second_factor IS 'Who needs a second factor (codes of an app) to log in to these pages: none, system administrators, or everybody. Who has none yet is led to its enrolment before anything else';

COMMENT ON COLUMN admin.web.mailbox_view_minutes IS 'After so long an administrator who looks into a user''s mailbox has to give his reason again';

COMMENT ON COLUMN admin.web.search_seconds IS 'How long a page may search or work in the database; then it is given up, and says so';

ALTER TABLE control.acme_certificate ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME control.acme_certificate_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE control.certificate ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME control.certificate_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE control.generation (
    only_row boolean DEFAULT true NOT NULL,
    value bigint DEFAULT 1 NOT NULL,
    config bigint DEFAULT 1 NOT NULL,
    changed_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT generation_only_row_check CHECK (only_row)
);

COMMENT ON TABLE control.generation IS 'Counts committed changes of settings and directory; nodes report in live.node how far they have come';

COMMENT ON COLUMN control.generation.only_row IS 'Always true: there is one row';

COMMENT ON COLUMN control.generation.value IS 'Number of the last change, whatever it was';

COMMENT ON COLUMN control.generation.config IS 'Number of the last change that touched schema control';

COMMENT ON COLUMN control.generation.changed_at IS 'When the last change was committed';

ALTER TABLE control.imap_capability ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME control.imap_capability_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE control.ip_list ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME control.ip_list_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE control.ip_rule ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME control.ip_rule_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE control.lease (
    name text NOT NULL,
    node text NOT NULL,
    until timestamp with time zone NOT NULL
);

COMMENT ON TABLE control.lease IS 'Work that only one node does at a time, and who has it until when';

COMMENT ON COLUMN control.lease.name IS 'What work it is';

COMMENT ON COLUMN control.lease.node IS 'The node that does it';

COMMENT ON COLUMN control.lease.until IS 'From then on another node may take it over';

ALTER TABLE control.listener ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME control.listener_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE control.logic (
    only_row boolean DEFAULT true NOT NULL,
    version integer[] NOT NULL,
    digest text NOT NULL,
    built_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT logic_only_row_check CHECK (only_row)
);

COMMENT ON TABLE control.logic IS 'Which daemon''s functions, triggers and views are in place; an older daemon leaves them alone';

COMMENT ON COLUMN control.logic.only_row IS 'Always true: there is one row';

COMMENT ON COLUMN control.logic.version IS 'Version of that daemon, in numbers';

COMMENT ON COLUMN control.logic.digest IS 'BLAKE3 of their text: another text is built anew';

COMMENT ON COLUMN control.logic.built_at IS 'When they were built';

ALTER TABLE control.oidc_issuer ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME control.oidc_issuer_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE control.rbl ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME control.rbl_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE control.route ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME control.route_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE control.template ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME control.template_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE control.touched (
    transaction xid8 NOT NULL,
    config boolean NOT NULL
);

COMMENT ON TABLE control.touched IS 'Transactions that have changed something and not yet committed; empty otherwise';

COMMENT ON COLUMN control.touched.transaction IS 'The transaction';

COMMENT ON COLUMN control.touched.config IS 'Whether it has changed schema control, and not only the directory';

ALTER TABLE control.traffic_rule ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME control.traffic_rule_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE directory.account ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME directory.account_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE directory.alias ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME directory.alias_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE directory.dkim_key ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME directory.dkim_key_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE directory.dns_check (
    domain_id bigint NOT NULL,
    wanted_at timestamp with time zone DEFAULT now() NOT NULL,
    checked_at timestamp with time zone
);

COMMENT ON TABLE directory.dns_check IS 'When the DNS records of a domain were looked for';

COMMENT ON COLUMN directory.dns_check.domain_id IS 'The domain';

COMMENT ON COLUMN directory.dns_check.wanted_at IS 'When somebody wanted it last; setting now() has them looked for at once';

COMMENT ON COLUMN directory.dns_check.checked_at IS 'When it was done last';

CREATE TABLE directory.domain_alias (
    id bigint NOT NULL,
    name text NOT NULL,
    domain_id bigint NOT NULL,
    CONSTRAINT "a domain name has letters, digits, hyphens and dots" CHECK (((name)::control.hostname IS NOT NULL))
);

COMMENT ON TABLE directory.domain_alias IS 'Other names of domains: mail for someone@name goes to the same local part in the domain';

COMMENT ON COLUMN directory.domain_alias.id IS 'Number of the row';

COMMENT ON COLUMN directory.domain_alias.name IS 'Name in lower case; international names in their ASCII form (xn--…)';

COMMENT ON COLUMN directory.domain_alias.domain_id IS 'The domain that it is another name of';

ALTER TABLE directory.domain_alias ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME directory.domain_alias_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE directory.domain ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME directory.domain_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE directory.domain_name (
    name text NOT NULL,
    domain_id bigint,
    alias_id bigint,
    remote_id bigint,
    CONSTRAINT domain_name_check CHECK ((num_nonnulls(domain_id, alias_id, remote_id) = 1))
);

COMMENT ON TABLE directory.domain_name IS 'Every domain that mail is taken for, once, and what it is. Kept by the server: change domain, domain_alias or remote_domain instead';

COMMENT ON COLUMN directory.domain_name.name IS 'The name';

COMMENT ON COLUMN directory.domain_name.domain_id IS 'The domain with this name';

COMMENT ON COLUMN directory.domain_name.alias_id IS 'The other name of a domain';

COMMENT ON COLUMN directory.domain_name.remote_id IS 'The remote domain with this name';

CREATE TABLE directory.recovery_code (
    id bigint NOT NULL,
    second_factor_id bigint NOT NULL,
    code_hash control.secret NOT NULL,
    used_at timestamp with time zone
);

COMMENT ON TABLE directory.recovery_code IS 'Codes for a login without the app, each good for once';

COMMENT ON COLUMN directory.recovery_code.id IS 'Number';

COMMENT ON COLUMN directory.recovery_code.second_factor_id IS 'The second factor that it stands in for';

COMMENT ON COLUMN directory.recovery_code.code_hash IS 'SHA-256 of the code, which has 80 random bits, in hexadecimal';

COMMENT ON COLUMN directory.recovery_code.used_at IS 'When it was used; empty = it is still good';

ALTER TABLE directory.recovery_code ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME directory.recovery_code_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE directory.remote_domain (
    id bigint NOT NULL,
    name text NOT NULL,
    active boolean DEFAULT true NOT NULL,
    forward directory.passing_on DEFAULT 'remote host'::directory.passing_on NOT NULL,
    local_domain_id bigint,
    address text,
    host text,
    port control.port,
    CONSTRAINT "a domain name has letters, digits, hyphens and dots" CHECK (((name)::control.hostname IS NOT NULL)),
    CONSTRAINT "a host is a name like mail.example.test or an IP address" CHECK ((control.is_ip_address(host) OR ((host)::control.hostname IS NOT NULL))),
    CONSTRAINT "one address needs address" CHECK (((forward <> 'one address'::directory.passing_on) OR (address IS NOT NULL))),
    CONSTRAINT "the one address looks like someone@example.test" CHECK (((address ~ '^[^@[:space:][:cntrl:]]+@[^@[:space:][:cntrl:]]+$'::text) AND (octet_length(address) <= 320))),
    CONSTRAINT "the same user in a local domain needs local_domain_id" CHECK (((forward <> 'same user in a local domain'::directory.passing_on) OR (local_domain_id IS NOT NULL)))
);

COMMENT ON TABLE directory.remote_domain IS 'Domains without accounts here, whose mail is taken from everybody and passed on';

COMMENT ON COLUMN directory.remote_domain.id IS 'Number of the row';

COMMENT ON COLUMN directory.remote_domain.name IS 'Name in lower case; international names in their ASCII form (xn--…)';

COMMENT ON COLUMN directory.remote_domain.active IS 'An inactive domain receives nothing';

COMMENT ON COLUMN directory.remote_domain.forward IS 'Where its mail goes: to the same user in a local domain, to one address, or to a remote host';

COMMENT ON COLUMN directory.remote_domain.local_domain_id IS 'The local domain, where mail goes to the same user there';

COMMENT ON COLUMN directory.remote_domain.address IS 'The address, where all mail goes to one';

COMMENT ON COLUMN directory.remote_domain.host IS 'The remote host; empty = the one that the DNS names';

COMMENT ON COLUMN directory.remote_domain.port IS 'Its port; empty = 25';

ALTER TABLE directory.remote_domain ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME directory.remote_domain_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE directory.remote_recipient (
    domain_id bigint NOT NULL,
    local_part directory.local_part NOT NULL
);

COMMENT ON TABLE directory.remote_recipient IS 'Who exists in a remote domain. Where a domain has any, mail for others is refused; where it has none, all mail is taken';

COMMENT ON COLUMN directory.remote_recipient.domain_id IS 'The remote domain';

COMMENT ON COLUMN directory.remote_recipient.local_part IS 'The part before @, kept in lower case';

ALTER TABLE directory.second_factor ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME directory.second_factor_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE directory.sender_permission (
    id bigint NOT NULL,
    account_id bigint NOT NULL,
    pattern text NOT NULL,
    CONSTRAINT "a sender is like someone@example.test or *@example.test" CHECK (((pattern ~ '^[^@[:space:][:cntrl:]]+@[^@[:space:][:cntrl:]*]+$'::text) AND (octet_length(pattern) <= 320)))
);

COMMENT ON TABLE directory.sender_permission IS 'Further senders that accounts with the policy own may give in MAIL FROM';

COMMENT ON COLUMN directory.sender_permission.id IS 'Number of the row';

COMMENT ON COLUMN directory.sender_permission.account_id IS 'The account';

COMMENT ON COLUMN directory.sender_permission.pattern IS 'An address, or *@domain for all of a domain; the domain in its ASCII form';

ALTER TABLE directory.sender_permission ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME directory.sender_permission_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE directory.sql_login (
    role_name name NOT NULL,
    account_id bigint NOT NULL
);

COMMENT ON TABLE directory.sql_login IS 'SQL login roles of people: what they see and change in schema store is what their account may. The role must be a member of mailwright_user';

COMMENT ON COLUMN directory.sql_login.role_name IS 'Name of the login role';

COMMENT ON COLUMN directory.sql_login.account_id IS 'The account that it stands for';

CREATE UNLOGGED TABLE live.counter (
    kind text NOT NULL,
    key text NOT NULL,
    window_start timestamp with time zone NOT NULL,
    ends_at timestamp with time zone NOT NULL,
    amount bigint DEFAULT 0 NOT NULL,
    bytes bigint DEFAULT 0 NOT NULL
)
WITH (fillfactor='70', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='10000');

COMMENT ON TABLE live.counter IS 'What all nodes have counted in windows of time that are still open; deleting a row begins its count anew';

COMMENT ON COLUMN live.counter.kind IS 'incoming and outgoing: the traffic service; others: the limits of control.smtp_limit';

COMMENT ON COLUMN live.counter.key IS 'Whom it counts: an address or network, a user, a domain, an account''s id';

COMMENT ON COLUMN live.counter.window_start IS 'Beginning of the window';

COMMENT ON COLUMN live.counter.ends_at IS 'Its end';

COMMENT ON COLUMN live.counter.amount IS 'Messages, recipients or connections';

COMMENT ON COLUMN live.counter.bytes IS 'Bytes of mail, where they are counted';

CREATE UNLOGGED TABLE live.listener_status (
    node text NOT NULL,
    listener_id bigint NOT NULL,
    service text NOT NULL,
    address text NOT NULL,
    port integer NOT NULL,
    state text NOT NULL,
    error text
);

COMMENT ON TABLE live.listener_status IS 'How each listener is on each node';

COMMENT ON COLUMN live.listener_status.node IS 'The node';

COMMENT ON COLUMN live.listener_status.listener_id IS 'The row of control.listener';

COMMENT ON COLUMN live.listener_status.service IS 'The service that answers';

COMMENT ON COLUMN live.listener_status.address IS '* for all addresses, or one address';

COMMENT ON COLUMN live.listener_status.port IS 'The port really bound: the listener''s port and the node''s offset';

COMMENT ON COLUMN live.listener_status.state IS 'open or failed';

COMMENT ON COLUMN live.listener_status.error IS 'Why it is not open; it is tried again every few seconds';

CREATE UNLOGGED TABLE live.mailbox_view (
    session_id bigint NOT NULL,
    account_id bigint NOT NULL,
    reason text NOT NULL,
    since timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT "a reason has 3 to 500 characters" CHECK (((char_length(btrim(reason)) >= 3) AND (char_length(btrim(reason)) <= 500)))
);

COMMENT ON TABLE live.mailbox_view IS 'Mailboxes that administrators look into; deleting a row ends the view';

COMMENT ON COLUMN live.mailbox_view.session_id IS 'The login that looks';

COMMENT ON COLUMN live.mailbox_view.account_id IS 'Whose mailbox';

COMMENT ON COLUMN live.mailbox_view.reason IS 'Why';

COMMENT ON COLUMN live.mailbox_view.since IS 'Since when';

CREATE UNLOGGED TABLE live.node (
    name text NOT NULL,
    boot uuid NOT NULL,
    version text NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    seen_at timestamp with time zone DEFAULT now() NOT NULL,
    applied_generation bigint DEFAULT 0 NOT NULL,
    error text
);

COMMENT ON TABLE live.node IS 'Nodes (daemons) on this database';

COMMENT ON COLUMN live.node.name IS 'Name of the node, as --node says';

COMMENT ON COLUMN live.node.boot IS 'Changes with every start';

COMMENT ON COLUMN live.node.version IS 'Version of the daemon';

COMMENT ON COLUMN live.node.started_at IS 'When it was started';

COMMENT ON COLUMN live.node.seen_at IS 'Last sign of life';

COMMENT ON COLUMN live.node.applied_generation IS 'The last change (control.generation) that this node obeys';

COMMENT ON COLUMN live.node.error IS 'Why it does not obey a later one';

CREATE UNLOGGED TABLE live.rbl_status (
    node text NOT NULL,
    zone text NOT NULL,
    asked bigint NOT NULL,
    listed bigint NOT NULL,
    failed bigint NOT NULL,
    error text,
    failed_at timestamp with time zone
);

COMMENT ON TABLE live.rbl_status IS 'How each DNS list answers each node, since the node was started';

COMMENT ON COLUMN live.rbl_status.node IS 'The node';

COMMENT ON COLUMN live.rbl_status.zone IS 'The list';

COMMENT ON COLUMN live.rbl_status.asked IS 'Questions';

COMMENT ON COLUMN live.rbl_status.listed IS 'Answers that counted';

COMMENT ON COLUMN live.rbl_status.failed IS 'Questions without a usable answer';

COMMENT ON COLUMN live.rbl_status.error IS 'What was wrong the last time; a list that does not answer is left alone for a minute';

COMMENT ON COLUMN live.rbl_status.failed_at IS 'When that was';

CREATE SEQUENCE live.session_id
    START WITH 1
    INCREMENT BY 1048576
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

COMMENT ON SEQUENCE live.session_id IS 'Each node takes 1048576 session ids at a time';

CREATE UNLOGGED TABLE live.user_import (
    session_id bigint NOT NULL,
    state live.import_state DEFAULT 'checked'::live.import_state NOT NULL,
    sealed bytea,
    report jsonb NOT NULL,
    total integer NOT NULL,
    hashed integer DEFAULT 0 NOT NULL,
    said text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    touched_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT "what is to be imported has at most 32 MiB" CHECK ((octet_length(sealed) <= (32 << 20)))
);

COMMENT ON TABLE live.user_import IS 'Files with users that somebody is importing in the browser; gone with his login, and after an hour';

COMMENT ON COLUMN live.user_import.session_id IS 'The login that brought it: nobody else imports it';

COMMENT ON COLUMN live.user_import.state IS 'checked, importing, done or failed';

COMMENT ON COLUMN live.user_import.sealed IS 'The users, passwords included, encrypted with a key that only the cookie of that login knows; empty when it is over';

COMMENT ON COLUMN live.user_import.report IS 'What was found when it was checked, without passwords';

COMMENT ON COLUMN live.user_import.total IS 'Passwords to be hashed';

COMMENT ON COLUMN live.user_import.hashed IS 'Passwords that are';

COMMENT ON COLUMN live.user_import.said IS 'What came of it';

COMMENT ON COLUMN live.user_import.created_at IS 'When it was brought';

COMMENT ON COLUMN live.user_import.touched_at IS 'Last sign of life of the node that imports it';

ALTER TABLE live.web_session ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME live.web_session_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE log.audit ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME log.audit_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE log.destination_count (
    span log.span NOT NULL,
    at timestamp with time zone NOT NULL,
    domain text NOT NULL,
    node text NOT NULL,
    attempts bigint NOT NULL,
    delivered bigint NOT NULL,
    delayed bigint NOT NULL,
    failed bigint NOT NULL,
    milliseconds bigint NOT NULL,
    longest integer NOT NULL,
    CONSTRAINT destination_count_span_check CHECK (((span)::text <> 'minute'::text))
)
WITH (fillfactor='50');

COMMENT ON TABLE log.destination_count IS 'How mail for other domains went, by hour and day (UTC)';

COMMENT ON COLUMN log.destination_count.span IS 'hour or day';

COMMENT ON COLUMN log.destination_count.at IS 'When it began';

COMMENT ON COLUMN log.destination_count.domain IS 'Domain of the recipients';

COMMENT ON COLUMN log.destination_count.node IS 'The node that counted';

COMMENT ON COLUMN log.destination_count.attempts IS 'Attempts to deliver';

COMMENT ON COLUMN log.destination_count.delivered IS 'Of these: the other server took it';

COMMENT ON COLUMN log.destination_count.delayed IS 'Of these: it is tried again later';

COMMENT ON COLUMN log.destination_count.failed IS 'Of these: it never will be, or was tried for too long';

COMMENT ON COLUMN log.destination_count.milliseconds IS 'How long the attempts took, all together';

COMMENT ON COLUMN log.destination_count.longest IS 'How long the longest of them took, milliseconds';

CREATE TABLE log.dmarc_count (
    day date NOT NULL,
    domain text NOT NULL,
    policy_domain text NOT NULL,
    rua text[] NOT NULL,
    policy jsonb NOT NULL,
    peer inet NOT NULL,
    disposition text NOT NULL,
    overridden boolean NOT NULL,
    dkim_aligned text NOT NULL,
    spf_aligned text NOT NULL,
    envelope_from text NOT NULL,
    spf text NOT NULL,
    dkim jsonb NOT NULL,
    messages bigint NOT NULL
);

COMMENT ON TABLE log.dmarc_count IS 'Mail seen from domains that ask for DMARC reports, counted until the report of its day is sent';

COMMENT ON COLUMN log.dmarc_count.day IS 'The day, UTC';

COMMENT ON COLUMN log.dmarc_count.domain IS 'Domain in From';

COMMENT ON COLUMN log.dmarc_count.policy_domain IS 'Domain whose DMARC record applies';

COMMENT ON COLUMN log.dmarc_count.rua IS 'Where its record wants reports';

COMMENT ON COLUMN log.dmarc_count.policy IS 'What its record says: policies and alignment';

COMMENT ON COLUMN log.dmarc_count.peer IS 'Server that sent the mail';

COMMENT ON COLUMN log.dmarc_count.disposition IS 'What was done: none, quarantine or reject';

COMMENT ON COLUMN log.dmarc_count.overridden IS 'Whether less was done than the policy asks for';

COMMENT ON COLUMN log.dmarc_count.dkim_aligned IS 'pass or fail: DKIM, with alignment';

COMMENT ON COLUMN log.dmarc_count.spf_aligned IS 'pass or fail: SPF, with alignment';

COMMENT ON COLUMN log.dmarc_count.envelope_from IS 'Domain of the envelope sender';

COMMENT ON COLUMN log.dmarc_count.spf IS 'Result of SPF';

COMMENT ON COLUMN log.dmarc_count.dkim IS 'Signatures: domain, selector, result';

COMMENT ON COLUMN log.dmarc_count.messages IS 'How many messages';

CREATE TABLE log.dmarc_report (
    id bigint NOT NULL,
    received_at timestamp with time zone DEFAULT now() NOT NULL,
    organization text NOT NULL,
    email text,
    report_id text NOT NULL,
    domain text NOT NULL,
    begins timestamp with time zone NOT NULL,
    ends timestamp with time zone NOT NULL,
    policy text NOT NULL
);

COMMENT ON TABLE log.dmarc_report IS 'DMARC aggregate reports about your domains, from those who received their mail';

COMMENT ON COLUMN log.dmarc_report.id IS 'Number of the row';

COMMENT ON COLUMN log.dmarc_report.received_at IS 'When it came in';

COMMENT ON COLUMN log.dmarc_report.organization IS 'Who reports';

COMMENT ON COLUMN log.dmarc_report.email IS 'Whom to ask there';

COMMENT ON COLUMN log.dmarc_report.report_id IS 'What the reporter calls it';

COMMENT ON COLUMN log.dmarc_report.domain IS 'Which domain it is about';

COMMENT ON COLUMN log.dmarc_report.begins IS 'First moment it covers';

COMMENT ON COLUMN log.dmarc_report.ends IS 'Last moment it covers';

COMMENT ON COLUMN log.dmarc_report.policy IS 'Policy that the reporter found: none, quarantine or reject';

ALTER TABLE log.dmarc_report ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME log.dmarc_report_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE log.dmarc_report_row (
    report_id bigint NOT NULL,
    number integer NOT NULL,
    peer inet,
    messages bigint NOT NULL,
    disposition text NOT NULL,
    dkim_aligned text NOT NULL,
    spf_aligned text NOT NULL,
    header_from text NOT NULL,
    envelope_from text
);

COMMENT ON TABLE log.dmarc_report_row IS 'The rows of DMARC aggregate reports: which server sent how much, and whether it passed';

COMMENT ON COLUMN log.dmarc_report_row.report_id IS 'The report';

COMMENT ON COLUMN log.dmarc_report_row.number IS 'Place in the report';

COMMENT ON COLUMN log.dmarc_report_row.peer IS 'Server that sent the mail';

COMMENT ON COLUMN log.dmarc_report_row.messages IS 'How many messages';

COMMENT ON COLUMN log.dmarc_report_row.disposition IS 'What was done with them: none, quarantine or reject';

COMMENT ON COLUMN log.dmarc_report_row.dkim_aligned IS 'pass or fail: DKIM, with alignment';

COMMENT ON COLUMN log.dmarc_report_row.spf_aligned IS 'pass or fail: SPF, with alignment';

COMMENT ON COLUMN log.dmarc_report_row.header_from IS 'Domain in From';

COMMENT ON COLUMN log.dmarc_report_row.envelope_from IS 'Domain of the envelope sender';

CREATE TABLE log.domain_count (
    day date NOT NULL,
    domain_id bigint NOT NULL,
    node text NOT NULL,
    step text NOT NULL,
    count bigint NOT NULL,
    bytes bigint DEFAULT 0 NOT NULL,
    CONSTRAINT domain_count_step_check CHECK ((step = ANY (ARRAY['placed'::text, 'submitted'::text])))
)
WITH (fillfactor='50');

COMMENT ON TABLE log.domain_count IS 'How much mail the users of each domain got and sent, by day (UTC)';

COMMENT ON COLUMN log.domain_count.day IS 'The day';

COMMENT ON COLUMN log.domain_count.domain_id IS 'The domain, as directory.domain called it';

COMMENT ON COLUMN log.domain_count.node IS 'The node that counted';

COMMENT ON COLUMN log.domain_count.step IS 'placed: put into a mailbox of the domain; submitted: sent by a user of the domain';

COMMENT ON COLUMN log.domain_count.count IS 'How many messages';

COMMENT ON COLUMN log.domain_count.bytes IS 'Bytes of what was submitted';

CREATE TABLE log.domain_storage (
    day date NOT NULL,
    domain_id bigint NOT NULL,
    accounts bigint NOT NULL,
    messages bigint NOT NULL,
    bytes bigint NOT NULL,
    looked_at timestamp with time zone DEFAULT now() NOT NULL
)
WITH (fillfactor='50');

COMMENT ON TABLE log.domain_storage IS 'What the mailboxes of each domain keep, a row for each day; that of today is renewed every few minutes';

COMMENT ON COLUMN log.domain_storage.day IS 'The day (UTC)';

COMMENT ON COLUMN log.domain_storage.domain_id IS 'The domain, as directory.domain called it';

COMMENT ON COLUMN log.domain_storage.accounts IS 'Accounts in the domain';

COMMENT ON COLUMN log.domain_storage.messages IS 'Messages in their mailboxes';

COMMENT ON COLUMN log.domain_storage.bytes IS 'Bytes of these';

COMMENT ON COLUMN log.domain_storage.looked_at IS 'When this was counted last';

ALTER TABLE log.event ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME log.event_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE log.gauge (
    span log.span NOT NULL,
    at timestamp with time zone NOT NULL,
    name text NOT NULL,
    value double precision NOT NULL
)
WITH (fillfactor='50');

COMMENT ON TABLE log.gauge IS 'How long the queue was and how many sessions there were, looked at each minute; for hours and days the highest of these';

COMMENT ON COLUMN log.gauge.span IS 'minute, hour or day';

COMMENT ON COLUMN log.gauge.at IS 'When it began';

COMMENT ON COLUMN log.gauge.name IS 'queue.waiting and queue.held: recipients; queue.oldest_seconds: age of the oldest message; sessions.smtp, sessions.imap …';

COMMENT ON COLUMN log.gauge.value IS 'The number';

CREATE TABLE log.mail_count (
    span log.span NOT NULL,
    at timestamp with time zone NOT NULL,
    node text NOT NULL,
    step text NOT NULL,
    count bigint NOT NULL,
    messages bigint DEFAULT 0 NOT NULL,
    submitted bigint DEFAULT 0 NOT NULL,
    bytes bigint DEFAULT 0 NOT NULL,
    milliseconds bigint DEFAULT 0 NOT NULL
)
WITH (fillfactor='50');

COMMENT ON TABLE log.mail_count IS 'How much mail there was, by minute, hour and day (UTC); the sums of log.trace and queue.attempt, kept for longer than these. What people do to the queue by SQL is not counted';

COMMENT ON COLUMN log.mail_count.span IS 'minute, hour or day; each line of the trace is counted in all three';

COMMENT ON COLUMN log.mail_count.at IS 'When it began';

COMMENT ON COLUMN log.mail_count.node IS 'The node that counted';

COMMENT ON COLUMN log.mail_count.step IS 'What happened, as log.trace.step or queue.attempt.outcome calls it';

COMMENT ON COLUMN log.mail_count.count IS 'How often: for each recipient once';

COMMENT ON COLUMN log.mail_count.messages IS 'Of accepted: how many messages that were';

COMMENT ON COLUMN log.mail_count.submitted IS 'Of these messages: how many were sent by users of ours who had logged in';

COMMENT ON COLUMN log.mail_count.bytes IS 'Bytes: of accepted, those of the messages; of attempts, once for each recipient';

COMMENT ON COLUMN log.mail_count.milliseconds IS 'How long attempts to deliver took, all together';

CREATE TABLE log.tls_count (
    day date NOT NULL,
    domain text NOT NULL,
    policy_type text NOT NULL,
    policy text NOT NULL,
    policy_digest text GENERATED ALWAYS AS (md5(policy)) STORED NOT NULL,
    host text NOT NULL,
    address text NOT NULL,
    result text NOT NULL,
    reason text NOT NULL,
    sessions bigint NOT NULL,
    CONSTRAINT "a policy is of type tlsa, sts or no-policy-found" CHECK ((policy_type = ANY (ARRAY['tlsa'::text, 'sts'::text, 'no-policy-found'::text])))
);

COMMENT ON TABLE log.tls_count IS 'Connections to mail servers of domains that ask for TLS reports, counted until the report of their day is sent';

COMMENT ON COLUMN log.tls_count.day IS 'The day, UTC';

COMMENT ON COLUMN log.tls_count.domain IS 'Domain that mail was for';

COMMENT ON COLUMN log.tls_count.policy_type IS 'What was obeyed: tlsa (DANE), sts (MTA-STS), or no-policy-found';

COMMENT ON COLUMN log.tls_count.policy IS 'TLSA records, or the policy, line by line';

COMMENT ON COLUMN log.tls_count.policy_digest IS 'MD5 of policy';

COMMENT ON COLUMN log.tls_count.host IS 'Mail server';

COMMENT ON COLUMN log.tls_count.address IS 'Its address; empty = there was no connection';

COMMENT ON COLUMN log.tls_count.result IS 'success, or a result type of RFC 8460, 4.3';

COMMENT ON COLUMN log.tls_count.reason IS 'What was wrong, in words; empty on success';

COMMENT ON COLUMN log.tls_count.sessions IS 'How many connections';

ALTER TABLE log.trace ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME log.trace_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE log.traffic (
    window_start timestamp with time zone NOT NULL,
    direction control.traffic_direction NOT NULL,
    key text NOT NULL,
    ends_at timestamp with time zone NOT NULL,
    messages bigint NOT NULL,
    bytes bigint NOT NULL
);

COMMENT ON TABLE log.traffic IS 'Mail that passed in past intervals of the traffic service';

COMMENT ON COLUMN log.traffic.window_start IS 'Beginning of the interval';

COMMENT ON COLUMN log.traffic.direction IS 'incoming: from other hosts; outgoing: from users to other servers';

COMMENT ON COLUMN log.traffic.key IS 'The host, the user or the domain';

COMMENT ON COLUMN log.traffic.ends_at IS 'End of the interval';

COMMENT ON COLUMN log.traffic.messages IS 'Messages, counted for each recipient';

COMMENT ON COLUMN log.traffic.bytes IS 'Bytes, counted for each recipient';

CREATE VIEW logic.acme_due AS
 SELECT a.id,
    a.names,
    a.certificate_id,
    GREATEST(a.next_attempt_at, LEAST(a.renew_at,
        CASE
            WHEN ((c.id IS NULL) OR (c.error IS NOT NULL) OR (NOT ((c.names @> a.names) AND (c.names <@ a.names)))) THEN '-infinity'::timestamp with time zone
            WHEN (c.not_after IS NULL) THEN 'infinity'::timestamp with time zone
            ELSE (c.not_after - LEAST(((c.not_after - c.not_before) / (3)::double precision), make_interval(days => s.renew_days)))
        END)) AS due_at
   FROM ((control.acme_certificate a
     CROSS JOIN control.acme s)
     LEFT JOIN control.certificate c ON ((c.id = a.certificate_id)))
  WHERE (a.active AND s.active);

CREATE TABLE logic.page (
    name text NOT NULL,
    of_table regclass,
    menu text NOT NULL,
    title text NOT NULL,
    help text,
    kinds text[] NOT NULL,
    place integer NOT NULL
);

COMMENT ON TABLE logic.page IS 'The pages of the administration; filled when the functions are built';

COMMENT ON COLUMN logic.page.name IS 'The view in schema admin; without a table, what the daemon shows at /admin/NAME';

COMMENT ON COLUMN logic.page.of_table IS 'The table that it is about: its key and its history are those of the page';

COMMENT ON COLUMN logic.page.menu IS 'The part of the menu that has it';

COMMENT ON COLUMN logic.page.title IS 'What it is called';

COMMENT ON COLUMN logic.page.help IS 'What it is for';

COMMENT ON COLUMN logic.page.kinds IS 'The kinds of logins that find it in their menu: system, auditor, domain, user';

COMMENT ON COLUMN logic.page.place IS 'Order in the menu';

ALTER TABLE logic.page ALTER COLUMN place ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME logic.page_place_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE queue.attempt ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME queue.attempt_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE queue.destination (
    domain text NOT NULL,
    look_at timestamp with time zone NOT NULL,
    down_until timestamp with time zone,
    failures integer DEFAULT 0 NOT NULL,
    down_reason text
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0.0', autovacuum_vacuum_threshold='500', autovacuum_vacuum_cost_delay='0');

COMMENT ON TABLE queue.destination IS 'Domains with waiting mail, so that finding what is due costs the same however much waits. Kept by the server';

COMMENT ON COLUMN queue.destination.domain IS 'The recipients'' domain';

COMMENT ON COLUMN queue.destination.look_at IS 'When something for it is due next, or earlier';

COMMENT ON COLUMN queue.destination.down_until IS 'None of its servers could be reached: all of its mail waits until then';

COMMENT ON COLUMN queue.destination.failures IS 'How often in a row none could be reached';

COMMENT ON COLUMN queue.destination.down_reason IS 'Why';

ALTER TABLE queue.message ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME queue.message_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE queue.recipient ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME queue.recipient_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE queue.sts_policy (
    domain text NOT NULL,
    policy_id text NOT NULL,
    mode text NOT NULL,
    mx text[] NOT NULL,
    max_age integer NOT NULL,
    fetched_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT "an MTA-STS mode is enforce, testing or none" CHECK ((mode = ANY (ARRAY['enforce'::text, 'testing'::text, 'none'::text]))),
    CONSTRAINT "max_age is from 0 to 31557600 seconds" CHECK (((max_age >= 0) AND (max_age <= 31557600)))
);

COMMENT ON TABLE queue.sts_policy IS 'MTA-STS policies of other domains as last fetched. One that has not expired is obeyed even while its web server is away';

COMMENT ON COLUMN queue.sts_policy.domain IS 'The domain that mail is for';

COMMENT ON COLUMN queue.sts_policy.policy_id IS 'The id in its _mta-sts TXT record when the policy was fetched; another one there says that the policy is new';

COMMENT ON COLUMN queue.sts_policy.mode IS 'enforce: mail waits rather than go to a server that does not comply; testing: it goes all the same; none: the domain has no policy any more';

COMMENT ON COLUMN queue.sts_policy.mx IS 'Names that the domain''s mail servers may have; *. stands for one label';

COMMENT ON COLUMN queue.sts_policy.max_age IS 'How long the policy holds from fetched_at on, in seconds';

COMMENT ON COLUMN queue.sts_policy.fetched_at IS 'When it was fetched';

CREATE VIEW report.account AS
 SELECT a.address,
    a.active,
    a.used_bytes,
    u.messages,
    a.quota_bytes,
    round(((100.0 * (a.used_bytes)::numeric) / (NULLIF(a.quota_bytes, 0))::numeric), 1) AS used_percent,
    a.max_messages
   FROM (logic.account a
     LEFT JOIN store.usage u ON ((u.account_id = a.account_id)));

COMMENT ON VIEW report.account IS 'Accounts and what they keep';

COMMENT ON COLUMN report.account.address IS 'Its address';

COMMENT ON COLUMN report.account.active IS 'Whether it takes mail and may log in';

COMMENT ON COLUMN report.account.used_bytes IS 'Bytes of mail that it keeps';

COMMENT ON COLUMN report.account.messages IS 'Messages that it keeps';

COMMENT ON COLUMN report.account.quota_bytes IS 'Bytes that it may keep; empty = no limit';

COMMENT ON COLUMN report.account.used_percent IS 'How much of that is used';

COMMENT ON COLUMN report.account.max_messages IS 'Messages that it may keep; empty = no limit';

CREATE TABLE store.content (
    id bigint NOT NULL,
    digest bytea NOT NULL,
    size bigint NOT NULL,
    header_size integer NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    used_at timestamp with time zone DEFAULT now() NOT NULL,
    sent_at timestamp with time zone,
    structure_version smallint NOT NULL,
    subject text,
    from_address text,
    message_id text,
    to_addresses text[],
    attachments text[],
    header bytea NOT NULL,
    envelope bytea NOT NULL,
    structure bytea NOT NULL,
    thread_id text,
    preview text,
    CONSTRAINT content_digest_check CHECK ((octet_length(digest) = 32))
)
WITH (toast_tuple_target='8160');
ALTER TABLE ONLY store.content ALTER COLUMN header SET STORAGE EXTERNAL;
ALTER TABLE ONLY store.content ALTER COLUMN envelope SET STORAGE EXTERNAL;
ALTER TABLE ONLY store.content ALTER COLUMN structure SET STORAGE EXTERNAL;

COMMENT ON TABLE store.content IS 'Each distinct message once, however many mailboxes it is in; its bytes are in store.content_chunk';

COMMENT ON COLUMN store.content.id IS 'Number of the row';

COMMENT ON COLUMN store.content.digest IS 'BLAKE3 of the exact bytes';

COMMENT ON COLUMN store.content.size IS 'Bytes, header and body';

COMMENT ON COLUMN store.content.header_size IS 'Bytes of the header, the empty line included';

COMMENT ON COLUMN store.content.created_at IS 'When it was first stored';

COMMENT ON COLUMN store.content.used_at IS 'When it was last stored again';

COMMENT ON COLUMN store.content.sent_at IS 'Date of the header';

COMMENT ON COLUMN store.content.structure_version IS 'Version of envelope and structure, so that they can be rebuilt';

COMMENT ON COLUMN store.content.subject IS 'Subject, decoded';

COMMENT ON COLUMN store.content.from_address IS 'First address of From';

COMMENT ON COLUMN store.content.message_id IS 'Message-ID, without angle brackets';

COMMENT ON COLUMN store.content.to_addresses IS 'Addresses of To and Cc';

COMMENT ON COLUMN store.content.attachments IS 'File names of attachments';

COMMENT ON COLUMN store.content.header IS 'A copy of the header, so that listing mail reads no chunks';

COMMENT ON COLUMN store.content.envelope IS 'ENVELOPE as IMAP shows it (RFC 9051, 7.5.2)';

COMMENT ON COLUMN store.content.structure IS 'MIME structure with offsets, in the daemon''s own form';

COMMENT ON COLUMN store.content.thread_id IS 'The conversation it belongs to (THREADID, RFC 8474), made of the first message-id of References, In-Reply-To or Message-ID; '''' = none, empty = not worked out when it was stored';

COMMENT ON COLUMN store.content.preview IS 'Beginning of its text, at most 200 characters (PREVIEW, RFC 8970); empty until somebody has asked for it';

CREATE VIEW report.attempt AS
 SELECT a.at,
    a.message_id,
    a.sender,
    a.recipient,
    a.outcome,
    a.attempt,
    a.host,
    host(a.address) AS address,
    a.tls,
    a.reply,
    a.milliseconds,
    a.size,
    c.subject,
    c.message_id AS header_message_id,
    a.node
   FROM (queue.attempt a
     LEFT JOIN store.content c ON ((c.id = a.content_id)));

COMMENT ON VIEW report.attempt IS 'What became of each attempt to deliver mail to other servers';

COMMENT ON COLUMN report.attempt.at IS 'When it ended';

COMMENT ON COLUMN report.attempt.message_id IS 'The message as it was called in queue.message';

COMMENT ON COLUMN report.attempt.sender IS 'Reverse path; empty = null sender';

COMMENT ON COLUMN report.attempt.recipient IS 'The recipient';

COMMENT ON COLUMN report.attempt.outcome IS 'delivered, delayed (tried again later), failed, expired, or cancelled by an administrator';

COMMENT ON COLUMN report.attempt.attempt IS 'The how-many-th it was';

COMMENT ON COLUMN report.attempt.host IS 'The server it was made with, by name';

COMMENT ON COLUMN report.attempt.address IS 'And by address';

COMMENT ON COLUMN report.attempt.tls IS 'TLS version, cipher and how the certificate was verified; empty = not encrypted';

COMMENT ON COLUMN report.attempt.reply IS 'What the server said, or what went wrong';

COMMENT ON COLUMN report.attempt.milliseconds IS 'How long it took';

COMMENT ON COLUMN report.attempt.size IS 'Bytes';

COMMENT ON COLUMN report.attempt.subject IS 'Subject, decoded';

COMMENT ON COLUMN report.attempt.header_message_id IS 'Message-ID, without angle brackets';

COMMENT ON COLUMN report.attempt.node IS 'The node that made it';

CREATE VIEW report.certificate AS
 SELECT c.id,
    logic.served_names(c.*) AS names,
    c.source,
    c.active,
    c.not_before,
    c.not_after,
    (floor((EXTRACT(epoch FROM (c.not_after - now())) / (86400)::numeric)))::integer AS days_left,
        CASE
            WHEN (c.error IS NOT NULL) THEN 'unusable'::text
            WHEN (c.not_after IS NULL) THEN 'not read yet'::text
            WHEN (c.not_after < now()) THEN 'expired'::text
            WHEN (c.not_before > now()) THEN 'not valid yet'::text
            WHEN ((c.not_after - now()) < LEAST(((c.not_after - c.not_before) / (4)::double precision), '21 days'::interval)) THEN 'expires soon'::text
            ELSE 'valid'::text
        END AS state,
    c.error,
    a.id AS acme_certificate_id,
    a.last_error AS renewal_error,
    d.due_at AS renewal_at,
    c.created_at
   FROM ((control.certificate c
     LEFT JOIN control.acme_certificate a ON ((a.certificate_id = c.id)))
     LEFT JOIN logic.acme_due d ON ((d.id = a.id)));

COMMENT ON VIEW report.certificate IS 'Certificates and how long they are valid';

COMMENT ON COLUMN report.certificate.id IS 'Number of the row';

COMMENT ON COLUMN report.certificate.names IS 'Host names it is served for';

COMMENT ON COLUMN report.certificate.source IS 'Where it came from: uploaded, self-signed, acme';

COMMENT ON COLUMN report.certificate.active IS 'Whether it is used. Without a matching name the active uploaded or ACME one with the lowest id is served, else the self-signed one';

COMMENT ON COLUMN report.certificate.not_before IS 'Beginning of its validity; the server reads it';

COMMENT ON COLUMN report.certificate.not_after IS 'End of its validity; the server reads it';

COMMENT ON COLUMN report.certificate.days_left IS 'Whole days until it expires; negative when it has';

COMMENT ON COLUMN report.certificate.state IS 'valid, expires soon (a quarter of its life or 21 days are left), expired, not valid yet, unusable (see error), not read yet (by a running server)';

COMMENT ON COLUMN report.certificate.error IS 'Why it can''t be served; the server says so';

COMMENT ON COLUMN report.certificate.acme_certificate_id IS 'Row of control.acme_certificate that renews it';

COMMENT ON COLUMN report.certificate.renewal_error IS 'Why its last renewal failed';

COMMENT ON COLUMN report.certificate.renewal_at IS 'When it is renewed';

COMMENT ON COLUMN report.certificate.created_at IS 'When the row was made';

CREATE VIEW report.dkim_record AS
 SELECT ((k.selector || '._domainkey.'::text) || d.name) AS name,
    ((('v=DKIM1; '::text ||
        CASE
            WHEN (k.algorithm = 'ed25519-sha256'::text) THEN 'k=ed25519; '::text
            ELSE 'k=rsa; '::text
        END) || 'p='::text) || k.public_key) AS value,
    k.state,
        CASE
            WHEN (k.state = 'retired'::text) THEN (k.retired_at + make_interval(days => s.overlap_days))
            ELSE NULL::timestamp with time zone
        END AS remove_at,
    k.id AS key_id
   FROM (directory.dkim_key k
     JOIN directory.domain d ON ((d.id = k.domain_id))),
    control.dkim s
  WHERE (k.public_key IS NOT NULL);

COMMENT ON VIEW report.dkim_record IS 'DNS records (TXT) to publish for DKIM';

COMMENT ON COLUMN report.dkim_record.name IS 'Name of the record';

COMMENT ON COLUMN report.dkim_record.value IS 'Its text; longer than 255 bytes it is split into several strings, as most DNS servers do for you';

COMMENT ON COLUMN report.dkim_record.state IS 'State of the key: a ready one is waiting for its record';

COMMENT ON COLUMN report.dkim_record.remove_at IS 'When the record of a retired key may go';

COMMENT ON COLUMN report.dkim_record.key_id IS 'The key, for directory.activate_dkim_key';

CREATE VIEW report.dns_record AS
 SELECT d.name AS domain,
    r.name,
    r.type,
    r.content,
    (r.need)::text AS need,
    (r.state)::text AS state,
    r.found,
    r.checked_at
   FROM (directory.dns_record r
     JOIN directory.domain d ON ((d.id = r.domain_id)));

COMMENT ON VIEW report.dns_record IS 'The DNS records that each domain needs, and which of them are there';

COMMENT ON COLUMN report.dns_record.domain IS 'The domain';

COMMENT ON COLUMN report.dns_record.name IS 'Name of the record';

COMMENT ON COLUMN report.dns_record.type IS 'Type of the record; A for A, AAAA or both';

COMMENT ON COLUMN report.dns_record.content IS 'What should stand there';

COMMENT ON COLUMN report.dns_record.need IS 'required: mail does not work without it; recommended: others may take mail for spam without it; optional';

COMMENT ON COLUMN report.dns_record.state IS 'ok, missing, differs (there is another one, perhaps on purpose), unknown (the DNS did not answer)';

COMMENT ON COLUMN report.dns_record.found IS 'What stands there instead, or why that is not known';

COMMENT ON COLUMN report.dns_record.checked_at IS 'When the DNS was asked';

CREATE VIEW report.gauge AS
 SELECT g.span,
    g.at,
    g.name,
    g.value
   FROM log.gauge g;

COMMENT ON VIEW report.gauge IS 'How long the queue was and how many sessions there were, each minute; for hours and days the highest of these';

COMMENT ON COLUMN report.gauge.span IS 'minute, hour or day';

COMMENT ON COLUMN report.gauge.at IS 'When it began';

COMMENT ON COLUMN report.gauge.name IS 'queue.waiting and queue.held: recipients; queue.oldest_seconds: age of the oldest message; sessions.smtp, sessions.imap …';

COMMENT ON COLUMN report.gauge.value IS 'The number';

CREATE TABLE screen.greylist (
    network cidr NOT NULL,
    sender text NOT NULL,
    recipient text NOT NULL,
    first_at timestamp with time zone NOT NULL,
    last_at timestamp with time zone NOT NULL,
    passed_at timestamp with time zone
)
WITH (fillfactor='80');

COMMENT ON TABLE screen.greylist IS 'Who has tried to send to whom from where; deleting a row makes it unknown again';

COMMENT ON COLUMN screen.greylist.network IS 'Network of the sending host';

COMMENT ON COLUMN screen.greylist.sender IS 'MAIL FROM; empty = the null sender';

COMMENT ON COLUMN screen.greylist.recipient IS 'RCPT TO';

COMMENT ON COLUMN screen.greylist.first_at IS 'The first attempt; a repeated one counts from here';

COMMENT ON COLUMN screen.greylist.last_at IS 'The last attempt that was noted';

COMMENT ON COLUMN screen.greylist.passed_at IS 'When it was first let through; empty = not yet';

CREATE VIEW report.greylist AS
 SELECT greylist.network,
    greylist.sender,
    greylist.recipient,
    greylist.first_at,
    greylist.last_at,
    (greylist.passed_at IS NOT NULL) AS passed,
    greylist.passed_at
   FROM screen.greylist;

COMMENT ON VIEW report.greylist IS 'Senders that greylisting knows';

COMMENT ON COLUMN report.greylist.network IS 'Network of the sending host';

COMMENT ON COLUMN report.greylist.sender IS 'MAIL FROM; empty = the null sender';

COMMENT ON COLUMN report.greylist.recipient IS 'RCPT TO';

COMMENT ON COLUMN report.greylist.first_at IS 'The first attempt; a repeated one counts from here';

COMMENT ON COLUMN report.greylist.last_at IS 'The last attempt that was noted';

COMMENT ON COLUMN report.greylist.passed IS 'Whether it has come a second time in time';

COMMENT ON COLUMN report.greylist.passed_at IS 'When it was first let through; empty = not yet';

CREATE VIEW report.mail_count AS
 SELECT t.span,
    t.at,
    t.node,
    t.step,
    t.count,
    t.messages,
    t.submitted,
    t.bytes,
    t.milliseconds
   FROM log.mail_count t;

COMMENT ON VIEW report.mail_count IS 'How much mail there was, by minute, hour and day (UTC), node and step, as it was counted';

COMMENT ON COLUMN report.mail_count.span IS 'minute, hour or day; each line of the trace is counted in all three';

COMMENT ON COLUMN report.mail_count.at IS 'When it began';

COMMENT ON COLUMN report.mail_count.node IS 'The node that counted';

COMMENT ON COLUMN report.mail_count.step IS 'What happened, as log.trace.step or queue.attempt.outcome calls it';

COMMENT ON COLUMN report.mail_count.count IS 'How often: for each recipient once';

COMMENT ON COLUMN report.mail_count.messages IS 'Of accepted: how many messages that were';

COMMENT ON COLUMN report.mail_count.submitted IS 'Of these messages: how many were sent by users of ours who had logged in';

COMMENT ON COLUMN report.mail_count.bytes IS 'Bytes: of accepted, those of the messages; of attempts, once for each recipient';

COMMENT ON COLUMN report.mail_count.milliseconds IS 'How long attempts to deliver took, all together';

CREATE TABLE store.message (
    account_id bigint NOT NULL,
    mailbox_id bigint NOT NULL,
    uid bigint NOT NULL,
    content_id bigint NOT NULL,
    internal_date timestamp with time zone DEFAULT now() NOT NULL,
    modseq bigint NOT NULL,
    size bigint NOT NULL,
    zone_minutes smallint DEFAULT 0 NOT NULL,
    seen boolean DEFAULT false NOT NULL,
    answered boolean DEFAULT false NOT NULL,
    flagged boolean DEFAULT false NOT NULL,
    deleted boolean DEFAULT false NOT NULL,
    draft boolean DEFAULT false NOT NULL,
    keywords text[],
    prefix bytea,
    pop3_uidl text,
    saved_at timestamp with time zone DEFAULT now()
)
WITH (fillfactor='90');

COMMENT ON TABLE store.message IS 'One row for each message in a mailbox. Flags can be set, and messages moved (mailbox_id) or deleted, by SQL: clients see it at once';

COMMENT ON COLUMN store.message.account_id IS 'The account';

COMMENT ON COLUMN store.message.mailbox_id IS 'The mailbox';

COMMENT ON COLUMN store.message.uid IS 'UID (RFC 9051, 2.3.1.1); given by the server';

COMMENT ON COLUMN store.message.content_id IS 'Its content in store.content';

COMMENT ON COLUMN store.message.internal_date IS 'When it was received (INTERNALDATE)';

COMMENT ON COLUMN store.message.modseq IS 'Number of its last change in this mailbox (RFC 7162); given by the server';

COMMENT ON COLUMN store.message.size IS 'Bytes, prefix included (RFC822.SIZE)';

COMMENT ON COLUMN store.message.zone_minutes IS 'Time zone of internal_date, in minutes east of UTC';

COMMENT ON COLUMN store.message.seen IS 'Read (\Seen)';

COMMENT ON COLUMN store.message.answered IS 'Answered (\Answered)';

COMMENT ON COLUMN store.message.flagged IS 'Marked as important (\Flagged)';

COMMENT ON COLUMN store.message.deleted IS 'Marked for deletion (\Deleted)';

COMMENT ON COLUMN store.message.draft IS 'Not finished (\Draft)';

COMMENT ON COLUMN store.message.keywords IS 'Further flags that clients have set, such as $Forwarded';

COMMENT ON COLUMN store.message.prefix IS 'Header lines of this copy (Return-Path, Delivered-To, Received) that stand before the content';

COMMENT ON COLUMN store.message.pop3_uidl IS 'POP3 unique id brought along from another server; empty = made of UIDVALIDITY and UID';

COMMENT ON COLUMN store.message.saved_at IS 'When it was put into this mailbox (SAVEDATE, RFC 8514); empty where that was not noted';

CREATE VIEW report.mailbox AS
 SELECT l.address,
    m.name AS mailbox,
    m.special_use,
    n.messages,
    n.unseen,
    n.bytes,
    m.account_id,
    m.id AS mailbox_id
   FROM ((store.mailbox m
     JOIN logic.account l ON ((l.account_id = m.account_id)))
     CROSS JOIN LATERAL ( SELECT count(*) AS messages,
            count(*) FILTER (WHERE (NOT x.seen)) AS unseen,
            (COALESCE(sum(x.size), (0)::numeric))::bigint AS bytes
           FROM store.message x
          WHERE ((x.account_id = m.account_id) AND (x.mailbox_id = m.id))) n);

COMMENT ON VIEW report.mailbox IS 'Mailboxes with their number of messages';

COMMENT ON COLUMN report.mailbox.address IS 'Whose it is';

COMMENT ON COLUMN report.mailbox.mailbox IS 'Its name';

COMMENT ON COLUMN report.mailbox.special_use IS 'What the mailbox is for (RFC 6154)';

COMMENT ON COLUMN report.mailbox.messages IS 'Messages in it';

COMMENT ON COLUMN report.mailbox.unseen IS 'Those that have not been read';

COMMENT ON COLUMN report.mailbox.bytes IS 'Bytes in it';

COMMENT ON COLUMN report.mailbox.account_id IS 'The owner';

COMMENT ON COLUMN report.mailbox.mailbox_id IS 'Number of the mailbox';

CREATE VIEW report.message AS
 SELECT l.address,
    b.name AS mailbox,
    m.uid,
    m.internal_date,
    c.from_address,
    c.subject,
    c.sent_at,
    m.size,
    m.seen,
    m.answered,
    m.flagged,
    m.deleted,
    m.draft,
    m.keywords,
    c.to_addresses,
    c.attachments,
    c.message_id,
    m.account_id,
    m.mailbox_id,
    m.content_id
   FROM (((store.message m
     JOIN store.mailbox b ON (((b.account_id = m.account_id) AND (b.id = m.mailbox_id))))
     JOIN store.content c ON ((c.id = m.content_id)))
     JOIN logic.account l ON ((l.account_id = m.account_id)));

COMMENT ON VIEW report.message IS 'Messages as people look for them';

COMMENT ON COLUMN report.message.address IS 'Whose it is';

COMMENT ON COLUMN report.message.mailbox IS 'Name of the mailbox';

COMMENT ON COLUMN report.message.uid IS 'UID (RFC 9051, 2.3.1.1); given by the server';

COMMENT ON COLUMN report.message.internal_date IS 'When it was received (INTERNALDATE)';

COMMENT ON COLUMN report.message.from_address IS 'First address of From';

COMMENT ON COLUMN report.message.subject IS 'Subject, decoded';

COMMENT ON COLUMN report.message.sent_at IS 'Date of the header';

COMMENT ON COLUMN report.message.size IS 'Bytes, prefix included (RFC822.SIZE)';

COMMENT ON COLUMN report.message.seen IS 'Read (\Seen)';

COMMENT ON COLUMN report.message.answered IS 'Answered (\Answered)';

COMMENT ON COLUMN report.message.flagged IS 'Marked as important (\Flagged)';

COMMENT ON COLUMN report.message.deleted IS 'Marked for deletion (\Deleted)';

COMMENT ON COLUMN report.message.draft IS 'Not finished (\Draft)';

COMMENT ON COLUMN report.message.keywords IS 'Further flags that clients have set, such as $Forwarded';

COMMENT ON COLUMN report.message.to_addresses IS 'Addresses of To and Cc';

COMMENT ON COLUMN report.message.attachments IS 'File names of attachments';

COMMENT ON COLUMN report.message.message_id IS 'Message-ID, without angle brackets';

COMMENT ON COLUMN report.message.account_id IS 'The account';

COMMENT ON COLUMN report.message.mailbox_id IS 'The mailbox';

COMMENT ON COLUMN report.message.content_id IS 'Its content in store.content';

CREATE VIEW report.queue AS
 SELECT q.id AS message_id,
    r.id AS recipient_id,
    q.sender,
    r.address AS recipient,
    r.state,
    r.attempts,
    r.next_attempt_at,
    q.received_at,
    q.size,
    c.subject,
    r.domain,
    r.last_attempt_at,
    r.last_reply,
    d.down_until,
    d.down_reason,
        CASE
            WHEN (r.leased_until > now()) THEN r.leased_by
            ELSE NULL::text
        END AS being_sent_by
   FROM (((queue.message q
     JOIN queue.recipient r ON ((r.message_id = q.id)))
     LEFT JOIN store.content c ON ((c.id = q.content_id)))
     LEFT JOIN queue.destination d ON ((d.domain = r.domain)));

COMMENT ON VIEW report.queue IS 'Mail on its way to other servers';

COMMENT ON COLUMN report.queue.message_id IS 'The message, a row of queue.message';

COMMENT ON COLUMN report.queue.recipient_id IS 'Number of the recipient in the queue';

COMMENT ON COLUMN report.queue.sender IS 'Reverse path; empty = null sender';

COMMENT ON COLUMN report.queue.recipient IS 'Where it goes';

COMMENT ON COLUMN report.queue.state IS 'waiting, held, delivered or failed';

COMMENT ON COLUMN report.queue.attempts IS 'Delivery attempts so far';

COMMENT ON COLUMN report.queue.next_attempt_at IS 'When delivery is tried next; setting now() retries at once';

COMMENT ON COLUMN report.queue.received_at IS 'When it was accepted';

COMMENT ON COLUMN report.queue.size IS 'Bytes, prefix included';

COMMENT ON COLUMN report.queue.subject IS 'Subject, decoded';

COMMENT ON COLUMN report.queue.domain IS 'Domain of the address, in lower case and ASCII';

COMMENT ON COLUMN report.queue.last_attempt_at IS 'When delivery was tried last';

COMMENT ON COLUMN report.queue.last_reply IS 'What was said about it then';

COMMENT ON COLUMN report.queue.down_until IS 'None of its servers could be reached: all of its mail waits until then';

COMMENT ON COLUMN report.queue.down_reason IS 'Why';

COMMENT ON COLUMN report.queue.being_sent_by IS 'The node that is sending it now; empty = none';

CREATE VIEW report.quota_drift AS
 SELECT u.account_id,
    u.bytes AS counted_bytes,
    COALESCE(s.bytes, (0)::bigint) AS real_bytes,
    u.messages AS counted_messages,
    COALESCE(s.messages, (0)::bigint) AS real_messages
   FROM (store.usage u
     LEFT JOIN ( SELECT message.account_id,
            (sum(message.size))::bigint AS bytes,
            count(*) AS messages
           FROM store.message
          GROUP BY message.account_id) s ON ((s.account_id = u.account_id)))
  WHERE ((u.bytes IS DISTINCT FROM COALESCE(s.bytes, (0)::bigint)) OR (u.messages IS DISTINCT FROM COALESCE(s.messages, (0)::bigint)));

COMMENT ON VIEW report.quota_drift IS 'Accounts whose counted usage differs from what they keep; always empty';

COMMENT ON COLUMN report.quota_drift.account_id IS 'The account';

COMMENT ON COLUMN report.quota_drift.counted_bytes IS 'Bytes by the count that is kept';

COMMENT ON COLUMN report.quota_drift.real_bytes IS 'Bytes by its messages';

COMMENT ON COLUMN report.quota_drift.counted_messages IS 'Messages by the count that is kept';

COMMENT ON COLUMN report.quota_drift.real_messages IS 'Messages that there are';

CREATE VIEW report.rate AS
 SELECT counter.kind,
    counter.key,
    counter.window_start,
    counter.ends_at,
    counter.amount
   FROM live.counter
  WHERE (counter.kind <> ALL (ARRAY['incoming'::text, 'outgoing'::text]));

COMMENT ON VIEW report.rate IS 'What hosts and accounts have done in the running minute or hour, as far as control.smtp_limit limits it';

COMMENT ON COLUMN report.rate.kind IS 'incoming and outgoing: the traffic service; others: the limits of control.smtp_limit';

COMMENT ON COLUMN report.rate.key IS 'Whom it counts: an address or network, a user, a domain, an account''s id';

COMMENT ON COLUMN report.rate.window_start IS 'Beginning of the window';

COMMENT ON COLUMN report.rate.ends_at IS 'Its end';

COMMENT ON COLUMN report.rate.amount IS 'Messages, recipients or connections';

CREATE VIEW report.rbl AS
 SELECT r.zone,
    r.kind,
    r.action,
    r.active,
    s.node,
    s.asked,
    s.listed,
    s.failed,
    s.error,
    s.failed_at
   FROM (control.rbl r
     LEFT JOIN live.rbl_status s ON ((s.zone = (r.zone)::text)));

COMMENT ON VIEW report.rbl IS 'DNS lists, and how they answer';

COMMENT ON COLUMN report.rbl.zone IS 'The list''s domain, e.g. zen.spamhaus.org';

COMMENT ON COLUMN report.rbl.kind IS 'ip: it lists addresses of connecting hosts; domain: it lists domains, and is asked for those of MAIL FROM and HELO';

COMMENT ON COLUMN report.rbl.action IS 'What follows for those listed. reject: 550; tempfail: 451; mark: a header field X-Mailwright-RBL; score: only the weight counts; allow: a list of good senders, who pass whatever the other lists say';

COMMENT ON COLUMN report.rbl.active IS 'Whether it is asked';

COMMENT ON COLUMN report.rbl.node IS 'The node';

COMMENT ON COLUMN report.rbl.asked IS 'Questions';

COMMENT ON COLUMN report.rbl.listed IS 'Answers that counted';

COMMENT ON COLUMN report.rbl.failed IS 'Questions without a usable answer';

COMMENT ON COLUMN report.rbl.error IS 'What was wrong the last time; a list that does not answer is left alone for a minute';

COMMENT ON COLUMN report.rbl.failed_at IS 'When that was';

CREATE VIEW report.slowest_destination AS
 SELECT t.domain,
    (sum(t.attempts))::bigint AS attempts,
    (sum(t.delivered))::bigint AS delivered,
    (sum(t.delayed))::bigint AS delayed,
    (sum(t.failed))::bigint AS failed,
    round(((sum(t.milliseconds) / sum(t.attempts)) / 1000.0), 3) AS mean_seconds,
    round(((max(t.longest))::numeric / 1000.0), 3) AS longest_seconds
   FROM log.destination_count t
  WHERE (((t.span)::text = 'hour'::text) AND (t.at > (now() - '25:00:00'::interval)))
  GROUP BY t.domain
  ORDER BY (round(((sum(t.milliseconds) / sum(t.attempts)) / 1000.0), 3)) DESC;

COMMENT ON VIEW report.slowest_destination IS 'Other domains, of the last day, those first that took longest to take mail';

COMMENT ON COLUMN report.slowest_destination.domain IS 'Domain of the recipients';

COMMENT ON COLUMN report.slowest_destination.attempts IS 'Attempts to deliver';

COMMENT ON COLUMN report.slowest_destination.delivered IS 'Of these: the other server took it';

COMMENT ON COLUMN report.slowest_destination.delayed IS 'Of these: it is tried again later';

COMMENT ON COLUMN report.slowest_destination.failed IS 'Of these: it never will be, or was tried for too long';

COMMENT ON COLUMN report.slowest_destination.mean_seconds IS 'How long an attempt took, on average';

COMMENT ON COLUMN report.slowest_destination.longest_seconds IS 'How long the longest took';

CREATE VIEW report.storage_by_day AS
 SELECT s.day,
    d.name AS domain,
    s.accounts,
    s.messages,
    s.bytes,
    s.domain_id
   FROM (log.domain_storage s
     LEFT JOIN directory.domain d ON ((d.id = s.domain_id)));

COMMENT ON VIEW report.storage_by_day IS 'What the mailboxes of each domain kept at the end of each day (UTC); today: some minutes ago';

COMMENT ON COLUMN report.storage_by_day.day IS 'The day (UTC)';

COMMENT ON COLUMN report.storage_by_day.domain IS 'The domain; empty = it has been removed';

COMMENT ON COLUMN report.storage_by_day.accounts IS 'Accounts in the domain';

COMMENT ON COLUMN report.storage_by_day.messages IS 'Messages in their mailboxes';

COMMENT ON COLUMN report.storage_by_day.bytes IS 'Bytes of these';

COMMENT ON COLUMN report.storage_by_day.domain_id IS 'The domain, as directory.domain called it';

CREATE VIEW report.storage_by_domain AS
SELECT
    NULL::text AS domain,
    NULL::boolean AS active,
    NULL::bigint AS accounts,
    NULL::bigint AS messages,
    NULL::bigint AS bytes;

COMMENT ON VIEW report.storage_by_domain IS 'What the mailboxes of each domain keep now';

COMMENT ON COLUMN report.storage_by_domain.domain IS 'The domain';

COMMENT ON COLUMN report.storage_by_domain.active IS 'An inactive domain receives nothing and its users cannot log in; its mail stays';

COMMENT ON COLUMN report.storage_by_domain.accounts IS 'Accounts in the domain';

COMMENT ON COLUMN report.storage_by_domain.messages IS 'Messages in their mailboxes';

COMMENT ON COLUMN report.storage_by_domain.bytes IS 'Bytes of these';

CREATE TABLE store.text (
    content_id bigint NOT NULL,
    version smallint NOT NULL,
    left_out text,
    indexed_at timestamp with time zone DEFAULT now() NOT NULL,
    fields bytea,
    signature bytea,
    text bytea,
    CONSTRAINT "a signature has 64 to 4096 bytes, a power of two" CHECK ((octet_length(signature) = ANY (ARRAY[64, 128, 256, 512, 1024, 2048, 4096]))),
    CONSTRAINT "text is left out because it is too large or damaged" CHECK ((left_out = ANY (ARRAY['too large'::text, 'damaged'::text])))
);
ALTER TABLE ONLY store.text ALTER COLUMN fields SET STORAGE PLAIN;
ALTER TABLE ONLY store.text ALTER COLUMN signature SET STORAGE PLAIN;
ALTER TABLE ONLY store.text ALTER COLUMN text SET STORAGE EXTERNAL;

COMMENT ON TABLE store.text IS 'The text index: the text of each content as SEARCH sees it, made by the server in the background. Rows may be deleted: they are made again, and what is missing is read from the message';

COMMENT ON COLUMN store.text.content_id IS 'The content, a row of store.content';

COMMENT ON COLUMN store.text.version IS 'How the text was made; the server makes it anew when it has learned to do it better';

COMMENT ON COLUMN store.text.left_out IS 'Why there is no text, so that the message itself is read by each search: it is too large, or damaged; empty = the text is there';

COMMENT ON COLUMN store.text.indexed_at IS 'When the row was made';

COMMENT ON COLUMN store.text.fields IS 'Date, From, To, Cc, Bcc and Subject, decoded, in the daemon''s own form';

COMMENT ON COLUMN store.text.signature IS 'Bits that say which strings are not in the text; empty = the text is too long for that';

COMMENT ON COLUMN store.text.text IS 'Header and text parts, decoded and in lower case, zstd, in the daemon''s own form';

CREATE VIEW report.text_index AS
 SELECT c.contents,
    COALESCE(t.indexed, (0)::bigint) AS indexed,
    GREATEST((c.contents - COALESCE(t.known, (0)::bigint)), (0)::bigint) AS waiting,
    COALESCE(t.too_large, (0)::bigint) AS too_large,
    COALESCE(t.damaged, (0)::bigint) AS damaged,
    t.last_indexed_at,
    pg_total_relation_size('store.text'::regclass) AS disk_bytes,
    s.index_text AS enabled
   FROM ((control.store s
     CROSS JOIN ( SELECT count(*) AS contents
           FROM store.content) c)
     LEFT JOIN ( SELECT count(*) AS known,
            count(*) FILTER (WHERE (text.left_out IS NULL)) AS indexed,
            count(*) FILTER (WHERE (text.left_out = 'too large'::text)) AS too_large,
            count(*) FILTER (WHERE (text.left_out = 'damaged'::text)) AS damaged,
            max(text.indexed_at) AS last_indexed_at
           FROM store.text
          GROUP BY text.version
          ORDER BY text.version DESC
         LIMIT 1) t ON (true));

COMMENT ON VIEW report.text_index IS 'How far the text index has come: messages that are in it, wait for it, or are left out and read by each search';

COMMENT ON COLUMN report.text_index.contents IS 'Messages there are';

COMMENT ON COLUMN report.text_index.indexed IS 'Those in the index';

COMMENT ON COLUMN report.text_index.waiting IS 'Those that wait for it';

COMMENT ON COLUMN report.text_index.too_large IS 'Those left out because of their size';

COMMENT ON COLUMN report.text_index.damaged IS 'Those left out because their text could not be read';

COMMENT ON COLUMN report.text_index.last_indexed_at IS 'When the last one came in';

COMMENT ON COLUMN report.text_index.disk_bytes IS 'Bytes on disk';

COMMENT ON COLUMN report.text_index.enabled IS 'Whether new mail is indexed (control.store.index_text)';

CREATE VIEW report.traffic AS
 SELECT traffic.direction,
    traffic.key,
    traffic.window_start,
    traffic.ends_at,
    traffic.messages,
    traffic.bytes,
    false AS running
   FROM log.traffic
UNION ALL
 SELECT (counter.kind)::control.traffic_direction AS direction,
    counter.key,
    counter.window_start,
    counter.ends_at,
    counter.amount AS messages,
    counter.bytes,
    true AS running
   FROM live.counter
  WHERE (counter.kind = ANY (ARRAY['incoming'::text, 'outgoing'::text]));

COMMENT ON VIEW report.traffic IS 'Mail that passed in each interval of the traffic service, the running one included';

COMMENT ON COLUMN report.traffic.direction IS 'incoming: from other hosts; outgoing: from users to other servers';

COMMENT ON COLUMN report.traffic.key IS 'The host, the user or the domain';

COMMENT ON COLUMN report.traffic.window_start IS 'Beginning of the interval';

COMMENT ON COLUMN report.traffic.ends_at IS 'End of the interval';

COMMENT ON COLUMN report.traffic.messages IS 'Messages, counted for each recipient';

COMMENT ON COLUMN report.traffic.bytes IS 'Bytes, counted for each recipient';

COMMENT ON COLUMN report.traffic.running IS 'Whether the interval is not over yet';

CREATE VIEW report.traffic_by_domain AS
 SELECT t.day,
    d.name AS domain,
    (COALESCE(sum(t.count) FILTER (WHERE (t.step = 'placed'::text)), (0)::numeric))::bigint AS placed,
    (COALESCE(sum(t.count) FILTER (WHERE (t.step = 'submitted'::text)), (0)::numeric))::bigint AS submitted,
    (COALESCE(sum(t.bytes) FILTER (WHERE (t.step = 'submitted'::text)), (0)::numeric))::bigint AS submitted_bytes,
    t.domain_id
   FROM (log.domain_count t
     LEFT JOIN directory.domain d ON ((d.id = t.domain_id)))
  GROUP BY t.day, t.domain_id, d.name;

COMMENT ON VIEW report.traffic_by_domain IS 'How much mail the users of each domain got and sent, by day (UTC)';

COMMENT ON COLUMN report.traffic_by_domain.day IS 'The day';

COMMENT ON COLUMN report.traffic_by_domain.domain IS 'The domain; empty = it has been removed';

COMMENT ON COLUMN report.traffic_by_domain.placed IS 'Copies put into mailboxes of the domain';

COMMENT ON COLUMN report.traffic_by_domain.submitted IS 'Messages that users of the domain sent';

COMMENT ON COLUMN report.traffic_by_domain.submitted_bytes IS 'Bytes of these';

COMMENT ON COLUMN report.traffic_by_domain.domain_id IS 'The domain, as directory.domain called it';

CREATE VIEW report.traffic_day AS
 SELECT t.at,
    (COALESCE(sum(t.messages) FILTER (WHERE (t.step = 'accepted'::text)), (0)::numeric))::bigint AS accepted,
    (COALESCE(sum(t.submitted) FILTER (WHERE (t.step = 'accepted'::text)), (0)::numeric))::bigint AS submitted,
    (COALESCE(sum(t.bytes) FILTER (WHERE (t.step = 'accepted'::text)), (0)::numeric))::bigint AS accepted_bytes,
    (COALESCE(sum(t.count) FILTER (WHERE (t.step = 'refused'::text)), (0)::numeric))::bigint AS refused,
    (COALESCE(sum(t.count) FILTER (WHERE (t.step = 'placed'::text)), (0)::numeric))::bigint AS placed,
    (COALESCE(sum(t.count) FILTER (WHERE (t.step = 'queued'::text)), (0)::numeric))::bigint AS queued,
    (COALESCE(sum(t.count) FILTER (WHERE (t.step = 'delivered'::text)), (0)::numeric))::bigint AS delivered,
    (COALESCE(sum(t.bytes) FILTER (WHERE (t.step = 'delivered'::text)), (0)::numeric))::bigint AS delivered_bytes,
    (COALESCE(sum(t.count) FILTER (WHERE (t.step = 'delayed'::text)), (0)::numeric))::bigint AS delayed,
    (COALESCE(sum(t.count) FILTER (WHERE (t.step = ANY (ARRAY['failed'::text, 'expired'::text]))), (0)::numeric))::bigint AS failed,
    (COALESCE(sum(t.count) FILTER (WHERE (t.step = 'reported'::text)), (0)::numeric))::bigint AS reported,
    (COALESCE(sum(t.count) FILTER (WHERE (t.step = 'junk'::text)), (0)::numeric))::bigint AS junk,
    (COALESCE(sum(t.count) FILTER (WHERE (t.step = 'virus'::text)), (0)::numeric))::bigint AS virus
   FROM log.mail_count t
  WHERE ((t.span)::text = 'day'::text)
  GROUP BY t.at;

COMMENT ON VIEW report.traffic_day IS 'How much mail there was in each day (UTC), of all nodes together; where nothing happened there is no row';

COMMENT ON COLUMN report.traffic_day.at IS 'When the day began';

COMMENT ON COLUMN report.traffic_day.accepted IS 'Messages that were answered 250';

COMMENT ON COLUMN report.traffic_day.submitted IS 'Of these, those that users of ours sent';

COMMENT ON COLUMN report.traffic_day.accepted_bytes IS 'Bytes of what was accepted';

COMMENT ON COLUMN report.traffic_day.refused IS 'Senders, recipients and messages that were refused';

COMMENT ON COLUMN report.traffic_day.placed IS 'Copies put into mailboxes here';

COMMENT ON COLUMN report.traffic_day.queued IS 'Recipients at other servers, whose mail was queued';

COMMENT ON COLUMN report.traffic_day.delivered IS 'Recipients whose mail another server has taken';

COMMENT ON COLUMN report.traffic_day.delivered_bytes IS 'Bytes of that, for each recipient';

COMMENT ON COLUMN report.traffic_day.delayed IS 'Attempts to deliver that are made again later';

COMMENT ON COLUMN report.traffic_day.failed IS 'Recipients whose mail could not be delivered';

COMMENT ON COLUMN report.traffic_day.reported IS 'Reports to senders: bounces, delays, receipts';

COMMENT ON COLUMN report.traffic_day.junk IS 'Messages found to be junk; 0 while nothing looks for it';

COMMENT ON COLUMN report.traffic_day.virus IS 'Messages found to carry a virus; 0 while nothing looks for it';

CREATE VIEW report.traffic_hour AS
 SELECT t.at,
    (COALESCE(sum(t.messages) FILTER (WHERE (t.step = 'accepted'::text)), (0)::numeric))::bigint AS accepted,
    (COALESCE(sum(t.submitted) FILTER (WHERE (t.step = 'accepted'::text)), (0)::numeric))::bigint AS submitted,
    (COALESCE(sum(t.bytes) FILTER (WHERE (t.step = 'accepted'::text)), (0)::numeric))::bigint AS accepted_bytes,
    (COALESCE(sum(t.count) FILTER (WHERE (t.step = 'refused'::text)), (0)::numeric))::bigint AS refused,
    (COALESCE(sum(t.count) FILTER (WHERE (t.step = 'placed'::text)), (0)::numeric))::bigint AS placed,
    (COALESCE(sum(t.count) FILTER (WHERE (t.step = 'queued'::text)), (0)::numeric))::bigint AS queued,
    (COALESCE(sum(t.count) FILTER (WHERE (t.step = 'delivered'::text)), (0)::numeric))::bigint AS delivered,
    (COALESCE(sum(t.bytes) FILTER (WHERE (t.step = 'delivered'::text)), (0)::numeric))::bigint AS delivered_bytes,
    (COALESCE(sum(t.count) FILTER (WHERE (t.step = 'delayed'::text)), (0)::numeric))::bigint AS delayed,
    (COALESCE(sum(t.count) FILTER (WHERE (t.step = ANY (ARRAY['failed'::text, 'expired'::text]))), (0)::numeric))::bigint AS failed,
    (COALESCE(sum(t.count) FILTER (WHERE (t.step = 'reported'::text)), (0)::numeric))::bigint AS reported,
    (COALESCE(sum(t.count) FILTER (WHERE (t.step = 'junk'::text)), (0)::numeric))::bigint AS junk,
    (COALESCE(sum(t.count) FILTER (WHERE (t.step = 'virus'::text)), (0)::numeric))::bigint AS virus
   FROM log.mail_count t
  WHERE ((t.span)::text = 'hour'::text)
  GROUP BY t.at;

COMMENT ON VIEW report.traffic_hour IS 'How much mail there was in each hour (UTC), of all nodes together; where nothing happened there is no row';

COMMENT ON COLUMN report.traffic_hour.at IS 'When the hour began';

COMMENT ON COLUMN report.traffic_hour.accepted IS 'Messages that were answered 250';

COMMENT ON COLUMN report.traffic_hour.submitted IS 'Of these, those that users of ours sent';

COMMENT ON COLUMN report.traffic_hour.accepted_bytes IS 'Bytes of what was accepted';

COMMENT ON COLUMN report.traffic_hour.refused IS 'Senders, recipients and messages that were refused';

COMMENT ON COLUMN report.traffic_hour.placed IS 'Copies put into mailboxes here';

COMMENT ON COLUMN report.traffic_hour.queued IS 'Recipients at other servers, whose mail was queued';

COMMENT ON COLUMN report.traffic_hour.delivered IS 'Recipients whose mail another server has taken';

COMMENT ON COLUMN report.traffic_hour.delivered_bytes IS 'Bytes of that, for each recipient';

COMMENT ON COLUMN report.traffic_hour.delayed IS 'Attempts to deliver that are made again later';

COMMENT ON COLUMN report.traffic_hour.failed IS 'Recipients whose mail could not be delivered';

COMMENT ON COLUMN report.traffic_hour.reported IS 'Reports to senders: bounces, delays, receipts';

COMMENT ON COLUMN report.traffic_hour.junk IS 'Messages found to be junk; 0 while nothing looks for it';

COMMENT ON COLUMN report.traffic_hour.virus IS 'Messages found to carry a virus; 0 while nothing looks for it';

CREATE VIEW report.traffic_minute AS
 SELECT t.at,
    (COALESCE(sum(t.messages) FILTER (WHERE (t.step = 'accepted'::text)), (0)::numeric))::bigint AS accepted,
    (COALESCE(sum(t.submitted) FILTER (WHERE (t.step = 'accepted'::text)), (0)::numeric))::bigint AS submitted,
    (COALESCE(sum(t.bytes) FILTER (WHERE (t.step = 'accepted'::text)), (0)::numeric))::bigint AS accepted_bytes,
    (COALESCE(sum(t.count) FILTER (WHERE (t.step = 'refused'::text)), (0)::numeric))::bigint AS refused,
    (COALESCE(sum(t.count) FILTER (WHERE (t.step = 'placed'::text)), (0)::numeric))::bigint AS placed,
    (COALESCE(sum(t.count) FILTER (WHERE (t.step = 'queued'::text)), (0)::numeric))::bigint AS queued,
    (COALESCE(sum(t.count) FILTER (WHERE (t.step = 'delivered'::text)), (0)::numeric))::bigint AS delivered,
    (COALESCE(sum(t.bytes) FILTER (WHERE (t.step = 'delivered'::text)), (0)::numeric))::bigint AS delivered_bytes,
    (COALESCE(sum(t.count) FILTER (WHERE (t.step = 'delayed'::text)), (0)::numeric))::bigint AS delayed,
    (COALESCE(sum(t.count) FILTER (WHERE (t.step = ANY (ARRAY['failed'::text, 'expired'::text]))), (0)::numeric))::bigint AS failed,
    (COALESCE(sum(t.count) FILTER (WHERE (t.step = 'reported'::text)), (0)::numeric))::bigint AS reported,
    (COALESCE(sum(t.count) FILTER (WHERE (t.step = 'junk'::text)), (0)::numeric))::bigint AS junk,
    (COALESCE(sum(t.count) FILTER (WHERE (t.step = 'virus'::text)), (0)::numeric))::bigint AS virus
   FROM log.mail_count t
  WHERE ((t.span)::text = 'minute'::text)
  GROUP BY t.at;

COMMENT ON VIEW report.traffic_minute IS 'How much mail there was in each minute (UTC), of all nodes together; where nothing happened there is no row';

COMMENT ON COLUMN report.traffic_minute.at IS 'When the minute began';

COMMENT ON COLUMN report.traffic_minute.accepted IS 'Messages that were answered 250';

COMMENT ON COLUMN report.traffic_minute.submitted IS 'Of these, those that users of ours sent';

COMMENT ON COLUMN report.traffic_minute.accepted_bytes IS 'Bytes of what was accepted';

COMMENT ON COLUMN report.traffic_minute.refused IS 'Senders, recipients and messages that were refused';

COMMENT ON COLUMN report.traffic_minute.placed IS 'Copies put into mailboxes here';

COMMENT ON COLUMN report.traffic_minute.queued IS 'Recipients at other servers, whose mail was queued';

COMMENT ON COLUMN report.traffic_minute.delivered IS 'Recipients whose mail another server has taken';

COMMENT ON COLUMN report.traffic_minute.delivered_bytes IS 'Bytes of that, for each recipient';

COMMENT ON COLUMN report.traffic_minute.delayed IS 'Attempts to deliver that are made again later';

COMMENT ON COLUMN report.traffic_minute.failed IS 'Recipients whose mail could not be delivered';

COMMENT ON COLUMN report.traffic_minute.reported IS 'Reports to senders: bounces, delays, receipts';

COMMENT ON COLUMN report.traffic_minute.junk IS 'Messages found to be junk; 0 while nothing looks for it';

COMMENT ON COLUMN report.traffic_minute.virus IS 'Messages found to carry a virus; 0 while nothing looks for it';

CREATE TABLE screen.greylist_network (
    network cidr NOT NULL,
    passed integer NOT NULL,
    last_at timestamp with time zone NOT NULL
)
WITH (fillfactor='80');

COMMENT ON TABLE screen.greylist_network IS 'Networks by how many senders and recipients have passed greylisting; control.greylist.allow_after says when a network passes at once';

COMMENT ON COLUMN screen.greylist_network.network IS 'The network';

COMMENT ON COLUMN screen.greylist_network.passed IS 'Senders and recipients that have passed';

COMMENT ON COLUMN screen.greylist_network.last_at IS 'When it last sent mail that was let through';

CREATE TABLE store.acl (
    account_id bigint NOT NULL,
    mailbox_id bigint NOT NULL,
    grantee_id bigint,
    grantee_domain_id bigint,
    negative boolean DEFAULT false NOT NULL,
    rights text NOT NULL COLLATE pg_catalog."C",
    CONSTRAINT "rights are given to an account or to a domain" CHECK ((num_nonnulls(grantee_id, grantee_domain_id) = 1)),
    CONSTRAINT "rights are some of the letters lrswipkxtena, in this order" CHECK (((rights <> ''::text) AND (rights ~ '^l?r?s?w?i?p?k?x?t?e?n?a?$'::text))),
    CONSTRAINT "the owner of a mailbox has all rights in it" CHECK ((grantee_id <> account_id))
);

COMMENT ON TABLE store.acl IS 'Who may do what in the mailboxes of others (RFC 4314). The owner may do everything; the rights of all entries that are for somebody are added up, and what negative entries name is taken away';

COMMENT ON COLUMN store.acl.account_id IS 'The owner of the mailbox';

COMMENT ON COLUMN store.acl.mailbox_id IS 'The mailbox';

COMMENT ON COLUMN store.acl.grantee_id IS 'The account that the entry is for';

COMMENT ON COLUMN store.acl.grantee_domain_id IS 'Instead of an account: the entry is for all accounts of this domain. IMAP calls the owner''s own domain anyone, another one @example.test';

COMMENT ON COLUMN store.acl.negative IS 'Whether these rights are taken away, whatever other entries give';

COMMENT ON COLUMN store.acl.rights IS 'l see it, r read, s mark as read, w set other flags, i put mail into it, p (kept, not used), k make mailboxes below it, x delete or rename it, t mark as deleted, e expunge, n (kept, not used), a change these rights';

CREATE TABLE store.batch (
    id uuid NOT NULL,
    committed_at timestamp with time zone DEFAULT now() NOT NULL
);

COMMENT ON TABLE store.batch IS 'Batches of deliveries that were committed: settles what happened when a connection broke during COMMIT';

COMMENT ON COLUMN store.batch.id IS 'Name of the batch';

COMMENT ON COLUMN store.batch.committed_at IS 'When; forgotten after an hour';

CREATE TABLE store.change (
    account_id bigint NOT NULL,
    mailbox_id bigint NOT NULL,
    modseq bigint NOT NULL,
    uid bigint NOT NULL,
    changed_at timestamp with time zone DEFAULT now() NOT NULL
);

COMMENT ON TABLE store.change IS 'Flag changes by modseq, so that store.message needs no index on modseq and its updates stay cheap; pruned after an hour';

COMMENT ON COLUMN store.change.account_id IS 'The account';

COMMENT ON COLUMN store.change.mailbox_id IS 'The mailbox';

COMMENT ON COLUMN store.change.modseq IS 'Number of the change (RFC 7162)';

COMMENT ON COLUMN store.change.uid IS 'The message whose flags changed';

COMMENT ON COLUMN store.change.changed_at IS 'When';

CREATE TABLE store.content_chunk (
    content_id bigint NOT NULL,
    start bigint NOT NULL,
    size integer NOT NULL,
    codec smallint NOT NULL,
    bytes bytea NOT NULL,
    CONSTRAINT content_chunk_codec_check CHECK ((codec = ANY (ARRAY[0, 1])))
)
WITH (toast_tuple_target='8160');
ALTER TABLE ONLY store.content_chunk ALTER COLUMN bytes SET STORAGE EXTERNAL;

COMMENT ON TABLE store.content_chunk IS 'The exact bytes of contents, in chunks of 256 KiB at most';

COMMENT ON COLUMN store.content_chunk.content_id IS 'The content, a row of store.content';

COMMENT ON COLUMN store.content_chunk.start IS 'Where in the content the chunk begins, from 0';

COMMENT ON COLUMN store.content_chunk.size IS 'Bytes before compression';

COMMENT ON COLUMN store.content_chunk.codec IS '0 = plain, 1 = zstd';

COMMENT ON COLUMN store.content_chunk.bytes IS 'The bytes, as codec says';

CREATE SEQUENCE store.content_id
    START WITH 1
    INCREMENT BY 1024
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

COMMENT ON SEQUENCE store.content_id IS 'Each node takes 1024 content ids at a time';

CREATE TABLE store.expunged (
    account_id bigint NOT NULL,
    mailbox_id bigint NOT NULL,
    uid bigint NOT NULL,
    modseq bigint NOT NULL,
    expunged_at timestamp with time zone DEFAULT now() NOT NULL,
    content_id bigint,
    internal_date timestamp with time zone,
    size bigint,
    zone_minutes smallint,
    seen boolean,
    answered boolean,
    flagged boolean,
    draft boolean,
    keywords text[],
    prefix bytea
);

COMMENT ON TABLE store.expunged IS 'Messages that have left a mailbox, until their retention ends; store.restore brings them back';

COMMENT ON COLUMN store.expunged.account_id IS 'The account';

COMMENT ON COLUMN store.expunged.mailbox_id IS 'The mailbox';

COMMENT ON COLUMN store.expunged.uid IS 'UID it had; it keeps it for ever';

COMMENT ON COLUMN store.expunged.modseq IS 'Number of the change that removed it';

COMMENT ON COLUMN store.expunged.expunged_at IS 'When it left';

COMMENT ON COLUMN store.expunged.content_id IS 'Its content; empty where it was moved to another mailbox';

COMMENT ON COLUMN store.expunged.internal_date IS 'When it was received';

COMMENT ON COLUMN store.expunged.size IS 'Bytes, prefix included';

COMMENT ON COLUMN store.expunged.zone_minutes IS 'Time zone of internal_date, in minutes east of UTC';

COMMENT ON COLUMN store.expunged.seen IS 'Whether it had been read';

COMMENT ON COLUMN store.expunged.answered IS 'Whether it had been answered';

COMMENT ON COLUMN store.expunged.flagged IS 'Whether it was marked as important';

COMMENT ON COLUMN store.expunged.draft IS 'Whether it was not finished';

COMMENT ON COLUMN store.expunged.keywords IS 'Further flags it had';

COMMENT ON COLUMN store.expunged.prefix IS 'Header lines of this copy, before the content';

ALTER TABLE store.mailbox ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME store.mailbox_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE store.metadata (
    account_id bigint NOT NULL,
    mailbox_id bigint NOT NULL,
    user_id bigint NOT NULL,
    entry text NOT NULL COLLATE pg_catalog."C",
    value bytea NOT NULL,
    CONSTRAINT "an entry is like /comment, in lower case" CHECK ((((octet_length(entry) >= 2) AND (octet_length(entry) <= 255)) AND (entry ~ '^(/[^/*%[:cntrl:]]+)+$'::text) AND (entry !~ '[A-Z]'::text))),
    CONSTRAINT "the value of an entry has up to 1048576 bytes" CHECK ((octet_length(value) <= 1048576))
);

COMMENT ON TABLE store.metadata IS 'Annotations of mailboxes, accounts and the server (RFC 5464)';

COMMENT ON COLUMN store.metadata.account_id IS 'Whose mailbox it is; 0 = of the server';

COMMENT ON COLUMN store.metadata.mailbox_id IS 'The mailbox; 0 = none: of the account or the server';

COMMENT ON COLUMN store.metadata.user_id IS 'The account whose private value it is; 0 = shared by all who may read it';

COMMENT ON COLUMN store.metadata.entry IS 'Name in lower case without /private or /shared in front, e.g. /comment';

COMMENT ON COLUMN store.metadata.value IS 'The value';

CREATE TABLE store.orphan (
    content_id bigint NOT NULL,
    since timestamp with time zone DEFAULT now() NOT NULL
);

COMMENT ON TABLE store.orphan IS 'Content that may have lost its last reference; the collector looks at these after the grace period';

COMMENT ON COLUMN store.orphan.content_id IS 'The content, a row of store.content';

COMMENT ON COLUMN store.orphan.since IS 'When it may have lost it';

CREATE TABLE store.subscription (
    account_id bigint NOT NULL,
    name text NOT NULL COLLATE pg_catalog."C"
);

COMMENT ON TABLE store.subscription IS 'Mailbox names that an account has subscribed to; the mailbox need not exist (RFC 9051, 6.3.7)';

COMMENT ON COLUMN store.subscription.account_id IS 'The account';

COMMENT ON COLUMN store.subscription.name IS 'Full name of the mailbox';

CREATE TABLE store.url_key (
    account_id bigint NOT NULL,
    mailbox_id bigint NOT NULL,
    key bytea NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT "a key of URLs has 32 bytes" CHECK ((octet_length(key) = 32))
);

COMMENT ON TABLE store.url_key IS 'With what the URLs are signed that an account has given away for messages in a mailbox (URLAUTH, RFC 4467); deleting a row makes all of them invalid';

COMMENT ON COLUMN store.url_key.account_id IS 'The account';

COMMENT ON COLUMN store.url_key.mailbox_id IS 'The mailbox';

COMMENT ON COLUMN store.url_key.key IS 'The secret, 32 bytes';

COMMENT ON COLUMN store.url_key.created_at IS 'When it was made';

ALTER TABLE ONLY control.acme_account
    ADD CONSTRAINT acme_account_pkey PRIMARY KEY (directory);

ALTER TABLE ONLY control.acme_answer
    ADD CONSTRAINT acme_answer_pkey PRIMARY KEY (token);

ALTER TABLE ONLY control.acme_certificate
    ADD CONSTRAINT acme_certificate_certificate_id_key UNIQUE (certificate_id);

ALTER TABLE ONLY control.acme_certificate
    ADD CONSTRAINT acme_certificate_pkey PRIMARY KEY (id);

ALTER TABLE ONLY control.acme_order
    ADD CONSTRAINT acme_order_pkey PRIMARY KEY (acme_certificate_id);

ALTER TABLE ONLY control.acme
    ADD CONSTRAINT acme_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY control.administrator
    ADD CONSTRAINT administrator_pkey PRIMARY KEY (name);

ALTER TABLE ONLY control.authentication
    ADD CONSTRAINT authentication_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY control.authentication_policy
    ADD CONSTRAINT authentication_policy_pkey PRIMARY KEY (method, result);

ALTER TABLE ONLY control.certificate
    ADD CONSTRAINT certificate_pkey PRIMARY KEY (id);

ALTER TABLE ONLY control.connection_check
    ADD CONSTRAINT connection_check_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY control.directory
    ADD CONSTRAINT directory_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY control.dkim
    ADD CONSTRAINT dkim_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY control.dmarc
    ADD CONSTRAINT dmarc_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY control.dns
    ADD CONSTRAINT dns_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY control.listener
    ADD CONSTRAINT "each address and port has only one listener" UNIQUE (address, port);

ALTER TABLE ONLY control.rbl
    ADD CONSTRAINT "each list is asked only once for one kind and action" UNIQUE (zone, kind, action);

ALTER TABLE ONLY control.traffic_rule
    ADD CONSTRAINT "each pattern has one rule for a direction" UNIQUE (direction, pattern);

ALTER TABLE ONLY control.generation
    ADD CONSTRAINT generation_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY control.greylist
    ADD CONSTRAINT greylist_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY control.imap_capability
    ADD CONSTRAINT imap_capability_pkey PRIMARY KEY (id);

ALTER TABLE ONLY control.imap
    ADD CONSTRAINT imap_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY control.ip_list
    ADD CONSTRAINT ip_list_name_key UNIQUE (name);

ALTER TABLE ONLY control.ip_list
    ADD CONSTRAINT ip_list_pkey PRIMARY KEY (id);

ALTER TABLE ONLY control.ip_rule
    ADD CONSTRAINT ip_rule_list_id_pattern_key UNIQUE (list_id, pattern);

ALTER TABLE ONLY control.ip_rule
    ADD CONSTRAINT ip_rule_pkey PRIMARY KEY (id);

ALTER TABLE ONLY control.lease
    ADD CONSTRAINT lease_pkey PRIMARY KEY (name);

ALTER TABLE ONLY control.listener
    ADD CONSTRAINT listener_pkey PRIMARY KEY (id);

ALTER TABLE ONLY control.log
    ADD CONSTRAINT log_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY control.logic
    ADD CONSTRAINT logic_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY control.metrics_token
    ADD CONSTRAINT metrics_token_pkey PRIMARY KEY (name);

ALTER TABLE ONLY control.oidc_issuer
    ADD CONSTRAINT oidc_issuer_issuer_key UNIQUE (issuer);

ALTER TABLE ONLY control.oidc_issuer
    ADD CONSTRAINT oidc_issuer_pkey PRIMARY KEY (id);

ALTER TABLE ONLY control.pop3
    ADD CONSTRAINT pop3_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY control.rbl
    ADD CONSTRAINT rbl_pkey PRIMARY KEY (id);

ALTER TABLE ONLY control.rbl_settings
    ADD CONSTRAINT rbl_settings_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY control.relay
    ADD CONSTRAINT relay_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY control.relay_tls
    ADD CONSTRAINT relay_tls_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY control.report
    ADD CONSTRAINT report_pkey PRIMARY KEY (name);

ALTER TABLE ONLY control.retry
    ADD CONSTRAINT retry_pkey PRIMARY KEY (attempt);

ALTER TABLE ONLY control.route
    ADD CONSTRAINT route_pattern_key UNIQUE (pattern);

ALTER TABLE ONLY control.route
    ADD CONSTRAINT route_pkey PRIMARY KEY (id);

ALTER TABLE ONLY control.server
    ADD CONSTRAINT server_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY control.service
    ADD CONSTRAINT service_pkey PRIMARY KEY (name);

ALTER TABLE ONLY control.smtp_limit
    ADD CONSTRAINT smtp_limit_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY control.smtp
    ADD CONSTRAINT smtp_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY control.srs
    ADD CONSTRAINT srs_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY control.store
    ADD CONSTRAINT store_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY control.template
    ADD CONSTRAINT template_pkey PRIMARY KEY (id);

ALTER TABLE ONLY control.template
    ADD CONSTRAINT "there is one text of each kind for a domain" UNIQUE NULLS NOT DISTINCT (name, domain_id);

ALTER TABLE ONLY control.touched
    ADD CONSTRAINT touched_pkey PRIMARY KEY (transaction);

ALTER TABLE ONLY control.traffic
    ADD CONSTRAINT traffic_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY control.traffic_rule
    ADD CONSTRAINT traffic_rule_pkey PRIMARY KEY (id);

ALTER TABLE ONLY control.trusted_sealer
    ADD CONSTRAINT trusted_sealer_pkey PRIMARY KEY (domain);

ALTER TABLE ONLY control.trusted_sender_domain
    ADD CONSTRAINT trusted_sender_domain_pkey PRIMARY KEY (domain);

ALTER TABLE ONLY control.web
    ADD CONSTRAINT web_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY directory.account
    ADD CONSTRAINT account_domain_id_local_part_key UNIQUE (domain_id, local_part);

ALTER TABLE ONLY directory.account
    ADD CONSTRAINT account_pkey PRIMARY KEY (id);

ALTER TABLE ONLY directory.alias
    ADD CONSTRAINT alias_domain_id_local_part_key UNIQUE (domain_id, local_part);

ALTER TABLE ONLY directory.alias
    ADD CONSTRAINT alias_pkey PRIMARY KEY (id);

ALTER TABLE ONLY directory.dkim_key
    ADD CONSTRAINT dkim_key_pkey PRIMARY KEY (id);

ALTER TABLE ONLY directory.dns_check
    ADD CONSTRAINT dns_check_pkey PRIMARY KEY (domain_id);

ALTER TABLE ONLY directory.dns_record
    ADD CONSTRAINT dns_record_pkey PRIMARY KEY (domain_id, place);

ALTER TABLE ONLY directory.domain_alias
    ADD CONSTRAINT domain_alias_name_key UNIQUE (name);

ALTER TABLE ONLY directory.domain_alias
    ADD CONSTRAINT domain_alias_pkey PRIMARY KEY (id);

ALTER TABLE ONLY directory.domain
    ADD CONSTRAINT domain_name_key UNIQUE (name);

ALTER TABLE ONLY directory.domain
    ADD CONSTRAINT domain_pkey PRIMARY KEY (id);

ALTER TABLE ONLY directory.recovery_code
    ADD CONSTRAINT recovery_code_pkey PRIMARY KEY (id);

ALTER TABLE ONLY directory.remote_domain
    ADD CONSTRAINT remote_domain_name_key UNIQUE (name);

ALTER TABLE ONLY directory.remote_domain
    ADD CONSTRAINT remote_domain_pkey PRIMARY KEY (id);

ALTER TABLE ONLY directory.remote_recipient
    ADD CONSTRAINT remote_recipient_pkey PRIMARY KEY (domain_id, local_part);

ALTER TABLE ONLY directory.second_factor
    ADD CONSTRAINT second_factor_account_id_key UNIQUE (account_id);

ALTER TABLE ONLY directory.second_factor
    ADD CONSTRAINT second_factor_administrator_key UNIQUE (administrator);

ALTER TABLE ONLY directory.second_factor
    ADD CONSTRAINT second_factor_pkey PRIMARY KEY (id);

ALTER TABLE ONLY directory.sender_permission
    ADD CONSTRAINT sender_permission_pkey PRIMARY KEY (id);

ALTER TABLE ONLY directory.sql_login
    ADD CONSTRAINT sql_login_pkey PRIMARY KEY (role_name);

ALTER TABLE ONLY directory.address
    ADD CONSTRAINT "this address exists already, as an account or an alias" PRIMARY KEY (domain_id, local_part);

ALTER TABLE ONLY directory.domain_name
    ADD CONSTRAINT "this domain exists already, perhaps as another name of one" PRIMARY KEY (name);

ALTER TABLE ONLY directory.dkim_key
    ADD CONSTRAINT "this domain has a key with this selector already" UNIQUE (domain_id, selector);

ALTER TABLE ONLY directory.sender_permission
    ADD CONSTRAINT "this permission exists already" UNIQUE (account_id, pattern);

ALTER TABLE ONLY live.counter
    ADD CONSTRAINT counter_pkey PRIMARY KEY (kind, key, window_start);

ALTER TABLE ONLY live.listener_status
    ADD CONSTRAINT listener_status_pkey PRIMARY KEY (node, listener_id);

ALTER TABLE ONLY live.login_failure
    ADD CONSTRAINT login_failure_pkey PRIMARY KEY (key);

ALTER TABLE ONLY live.mailbox_view
    ADD CONSTRAINT mailbox_view_pkey PRIMARY KEY (session_id, account_id);

ALTER TABLE ONLY live.node
    ADD CONSTRAINT node_pkey PRIMARY KEY (name);

ALTER TABLE ONLY live.rbl_status
    ADD CONSTRAINT rbl_status_pkey PRIMARY KEY (node, zone);

ALTER TABLE ONLY live.service_status
    ADD CONSTRAINT service_status_pkey PRIMARY KEY (node, service);

ALTER TABLE ONLY live.session
    ADD CONSTRAINT session_pkey PRIMARY KEY (id);

ALTER TABLE ONLY live.user_import
    ADD CONSTRAINT user_import_pkey PRIMARY KEY (session_id);

ALTER TABLE ONLY live.web_session
    ADD CONSTRAINT web_session_pkey PRIMARY KEY (id);

ALTER TABLE ONLY live.web_session
    ADD CONSTRAINT web_session_token_hash_key UNIQUE (token_hash);

ALTER TABLE ONLY log.dmarc_report
    ADD CONSTRAINT "a report is kept once" UNIQUE (organization, report_id, domain);

ALTER TABLE ONLY log.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (id);

ALTER TABLE ONLY log.destination_count
    ADD CONSTRAINT destination_count_pkey PRIMARY KEY (span, at, domain, node);

ALTER TABLE ONLY log.dmarc_count
    ADD CONSTRAINT dmarc_count_key PRIMARY KEY (day, domain, policy_domain, policy, peer, disposition, overridden, dkim_aligned, spf_aligned, envelope_from, spf, dkim);

ALTER TABLE ONLY log.dmarc_report
    ADD CONSTRAINT dmarc_report_pkey PRIMARY KEY (id);

ALTER TABLE ONLY log.dmarc_report_row
    ADD CONSTRAINT dmarc_report_row_pkey PRIMARY KEY (report_id, number);

ALTER TABLE ONLY log.domain_count
    ADD CONSTRAINT domain_count_pkey PRIMARY KEY (day, domain_id, node, step);

ALTER TABLE ONLY log.domain_storage
    ADD CONSTRAINT domain_storage_pkey PRIMARY KEY (day, domain_id);

ALTER TABLE ONLY log.event
    ADD CONSTRAINT event_pkey PRIMARY KEY (id);

ALTER TABLE ONLY log.gauge
    ADD CONSTRAINT gauge_pkey PRIMARY KEY (span, at, name);

ALTER TABLE ONLY log.mail_count
    ADD CONSTRAINT mail_count_pkey PRIMARY KEY (span, at, node, step);

ALTER TABLE ONLY log.tls_count
    ADD CONSTRAINT tls_count_key PRIMARY KEY (day, domain, policy_type, policy_digest, host, address, result, reason);

ALTER TABLE ONLY log.trace
    ADD CONSTRAINT trace_pkey PRIMARY KEY (id);

ALTER TABLE ONLY log.traffic
    ADD CONSTRAINT traffic_pkey PRIMARY KEY (window_start, direction, key);

ALTER TABLE ONLY logic.page
    ADD CONSTRAINT page_pkey PRIMARY KEY (name);

ALTER TABLE ONLY queue.attempt
    ADD CONSTRAINT attempt_pkey PRIMARY KEY (id);

ALTER TABLE ONLY queue.destination
    ADD CONSTRAINT destination_pkey PRIMARY KEY (domain);

ALTER TABLE ONLY queue.message
    ADD CONSTRAINT message_pkey PRIMARY KEY (id);

ALTER TABLE ONLY queue.recipient
    ADD CONSTRAINT recipient_pkey PRIMARY KEY (id);

ALTER TABLE ONLY queue.sts_policy
    ADD CONSTRAINT sts_policy_pkey PRIMARY KEY (domain);

ALTER TABLE ONLY screen.greylist_network
    ADD CONSTRAINT greylist_network_pkey PRIMARY KEY (network);

ALTER TABLE ONLY screen.greylist
    ADD CONSTRAINT greylist_pkey PRIMARY KEY (network, sender, recipient);

ALTER TABLE ONLY store.batch
    ADD CONSTRAINT batch_pkey PRIMARY KEY (id);

ALTER TABLE ONLY store.change
    ADD CONSTRAINT change_pkey PRIMARY KEY (account_id, mailbox_id, modseq, uid);

ALTER TABLE ONLY store.content_chunk
    ADD CONSTRAINT content_chunk_pkey PRIMARY KEY (content_id, start);

ALTER TABLE ONLY store.content
    ADD CONSTRAINT content_digest_key UNIQUE (digest);

ALTER TABLE ONLY store.content
    ADD CONSTRAINT content_pkey PRIMARY KEY (id);

ALTER TABLE ONLY store.expunged
    ADD CONSTRAINT expunged_pkey PRIMARY KEY (account_id, mailbox_id, uid);

ALTER TABLE ONLY store.mailbox
    ADD CONSTRAINT mailbox_pkey PRIMARY KEY (account_id, id);

ALTER TABLE ONLY store.message
    ADD CONSTRAINT message_pkey PRIMARY KEY (account_id, mailbox_id, uid);

ALTER TABLE ONLY store.metadata
    ADD CONSTRAINT metadata_pkey PRIMARY KEY (account_id, mailbox_id, user_id, entry);

ALTER TABLE ONLY store.orphan
    ADD CONSTRAINT orphan_pkey PRIMARY KEY (content_id);

ALTER TABLE ONLY store.subscription
    ADD CONSTRAINT subscription_pkey PRIMARY KEY (account_id, name);

ALTER TABLE ONLY store.text
    ADD CONSTRAINT text_pkey PRIMARY KEY (content_id);

ALTER TABLE ONLY store.mailbox
    ADD CONSTRAINT "this account has a mailbox of that name already" UNIQUE (account_id, name);

ALTER TABLE ONLY store.acl
    ADD CONSTRAINT "this account or domain has an entry for this mailbox already" UNIQUE NULLS NOT DISTINCT (account_id, mailbox_id, grantee_id, grantee_domain_id, negative);

ALTER TABLE ONLY store.url_key
    ADD CONSTRAINT url_key_pkey PRIMARY KEY (account_id, mailbox_id);

ALTER TABLE ONLY store.usage
    ADD CONSTRAINT usage_pkey PRIMARY KEY (account_id);

CREATE INDEX imap_capability_account ON control.imap_capability USING btree (account_id) WHERE (account_id IS NOT NULL);

CREATE UNIQUE INDEX "this capability is hidden there already" ON control.imap_capability USING btree (upper(capability), lower(client), COALESCE(account_id, (0)::bigint));

CREATE INDEX account_local_part ON directory.account USING btree (local_part, id);

CREATE UNIQUE INDEX address_account ON directory.address USING btree (account_id) WHERE (account_id IS NOT NULL);

CREATE UNIQUE INDEX address_alias ON directory.address USING btree (alias_id) WHERE (alias_id IS NOT NULL);

CREATE INDEX domain_alias_domain ON directory.domain_alias USING btree (domain_id);

CREATE UNIQUE INDEX domain_name_alias ON directory.domain_name USING btree (alias_id) WHERE (alias_id IS NOT NULL);

CREATE UNIQUE INDEX domain_name_domain ON directory.domain_name USING btree (domain_id) WHERE (domain_id IS NOT NULL);

CREATE UNIQUE INDEX domain_name_remote ON directory.domain_name USING btree (remote_id) WHERE (remote_id IS NOT NULL);

CREATE UNIQUE INDEX "only one domain can be the default" ON directory.domain USING btree (is_default) WHERE is_default;

CREATE INDEX recovery_code_factor ON directory.recovery_code USING btree (second_factor_id);

CREATE INDEX remote_domain_local_domain ON directory.remote_domain USING btree (local_domain_id);

CREATE INDEX sql_login_account ON directory.sql_login USING btree (account_id);

CREATE INDEX counter_end ON live.counter USING btree (ends_at);

CREATE INDEX mailbox_view_account ON live.mailbox_view USING btree (account_id);

CREATE INDEX session_node ON live.session USING btree (node);

CREATE INDEX audit_at ON log.audit USING brin (at);

CREATE INDEX audit_row ON log.audit USING btree (table_name, key);

CREATE INDEX dmarc_report_domain ON log.dmarc_report USING btree (domain, begins);

CREATE INDEX event_at ON log.event USING brin (at) WITH (pages_per_range='32', autosummarize='on');

CREATE INDEX event_serious ON log.event USING btree (id) WHERE (level >= 'warn'::log.level);

CREATE INDEX event_service ON log.event USING btree (service, id);

CREATE INDEX trace_at ON log.trace USING brin (at) WITH (pages_per_range='32', autosummarize='on');

CREATE INDEX trace_message ON log.trace USING btree (message);

CREATE INDEX trace_message_id ON log.trace USING btree (message_id) WHERE (message_id IS NOT NULL);

CREATE INDEX trace_peer ON log.trace USING btree (peer) WHERE (peer IS NOT NULL);

CREATE INDEX trace_queue ON log.trace USING btree (queue_id) WHERE (queue_id IS NOT NULL);

CREATE INDEX trace_recipient ON log.trace USING btree (lower(recipient)) WHERE (recipient IS NOT NULL);

CREATE INDEX trace_sender ON log.trace USING btree (lower(sender)) WHERE (sender IS NOT NULL);

CREATE INDEX attempt_at ON queue.attempt USING brin (at);

CREATE INDEX attempt_message ON queue.attempt USING btree (message_id);

CREATE INDEX destination_look_at ON queue.destination USING btree (look_at);

CREATE INDEX queue_message_content ON queue.message USING btree (content_id);

CREATE INDEX recipient_due ON queue.recipient USING btree (domain, next_attempt_at) WHERE (state = 'waiting'::queue.state);

CREATE INDEX recipient_message ON queue.recipient USING btree (message_id);

CREATE INDEX greylist_last ON screen.greylist USING brin (last_at);

CREATE INDEX acl_grantee ON store.acl USING btree (grantee_id) WHERE (grantee_id IS NOT NULL);

CREATE INDEX acl_grantee_domain ON store.acl USING btree (grantee_domain_id) WHERE (grantee_domain_id IS NOT NULL);

CREATE INDEX change_at ON store.change USING brin (changed_at);

CREATE INDEX expunged_at ON store.expunged USING brin (expunged_at);

CREATE INDEX expunged_content ON store.expunged USING btree (content_id) WHERE (content_id IS NOT NULL);

CREATE INDEX expunged_modseq ON store.expunged USING btree (account_id, mailbox_id, modseq);

CREATE INDEX message_content ON store.message USING btree (content_id);

CREATE INDEX metadata_user ON store.metadata USING btree (user_id) WHERE (user_id <> 0);

CREATE INDEX url_key_mailbox ON store.url_key USING btree (mailbox_id);

CREATE OR REPLACE VIEW report.storage_by_domain AS
 SELECT d.name AS domain,
    d.active,
    count(a.id) AS accounts,
    (COALESCE(sum(u.messages), (0)::numeric))::bigint AS messages,
    (COALESCE(sum(u.bytes), (0)::numeric))::bigint AS bytes
   FROM ((directory.domain d
     LEFT JOIN directory.account a ON ((a.domain_id = d.id)))
     LEFT JOIN store.usage u ON ((u.account_id = a.id)))
  GROUP BY d.id;

CREATE TRIGGER remove INSTEAD OF DELETE ON admin.account FOR EACH ROW EXECUTE FUNCTION admin.delete_account();

CREATE TRIGGER remove INSTEAD OF DELETE ON admin.administrator FOR EACH ROW EXECUTE FUNCTION admin.delete_administrator();

CREATE TRIGGER remove INSTEAD OF DELETE ON admin.certificate FOR EACH ROW EXECUTE FUNCTION admin.delete_certificate();

CREATE TRIGGER remove INSTEAD OF DELETE ON admin.metrics_token FOR EACH ROW EXECUTE FUNCTION admin.delete_metrics_token();

CREATE TRIGGER write INSTEAD OF INSERT OR UPDATE ON admin.account FOR EACH ROW EXECUTE FUNCTION admin.write_account();

CREATE TRIGGER write INSTEAD OF INSERT OR UPDATE ON admin.administrator FOR EACH ROW EXECUTE FUNCTION admin.write_administrator();

CREATE TRIGGER write INSTEAD OF INSERT OR UPDATE ON admin.certificate FOR EACH ROW EXECUTE FUNCTION admin.write_certificate();

CREATE TRIGGER write INSTEAD OF INSERT OR UPDATE ON admin.metrics_token FOR EACH ROW EXECUTE FUNCTION admin.write_metrics_token();

CREATE TRIGGER audit_delete AFTER DELETE ON control.acme REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', 'external_key');

CREATE TRIGGER audit_delete AFTER DELETE ON control.acme_account REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('directory', 'key');

CREATE TRIGGER audit_delete AFTER DELETE ON control.acme_answer REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('token', 'key');

CREATE TRIGGER audit_delete AFTER DELETE ON control.acme_certificate REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', '');

CREATE TRIGGER audit_delete AFTER DELETE ON control.acme_order REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('acme_certificate_id', 'key');

CREATE TRIGGER audit_delete AFTER DELETE ON control.administrator REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('name', 'password_hash');

CREATE TRIGGER audit_delete AFTER DELETE ON control.authentication REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_delete AFTER DELETE ON control.authentication_policy REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('method,result', '');

CREATE TRIGGER audit_delete AFTER DELETE ON control.certificate REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', 'key');

CREATE TRIGGER audit_delete AFTER DELETE ON control.connection_check REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_delete AFTER DELETE ON control.directory REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', 'unknown_user_secret');

CREATE TRIGGER audit_delete AFTER DELETE ON control.dkim REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_delete AFTER DELETE ON control.dmarc REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_delete AFTER DELETE ON control.dns REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_delete AFTER DELETE ON control.greylist REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_delete AFTER DELETE ON control.imap REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_delete AFTER DELETE ON control.imap_capability REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', '');

CREATE TRIGGER audit_delete AFTER DELETE ON control.ip_list REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', '');

CREATE TRIGGER audit_delete AFTER DELETE ON control.ip_rule REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', '');

CREATE TRIGGER audit_delete AFTER DELETE ON control.listener REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', '');

CREATE TRIGGER audit_delete AFTER DELETE ON control.log REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_delete AFTER DELETE ON control.metrics_token REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('name', 'token');

CREATE TRIGGER audit_delete AFTER DELETE ON control.oidc_issuer REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', '');

CREATE TRIGGER audit_delete AFTER DELETE ON control.pop3 REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_delete AFTER DELETE ON control.rbl REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', '');

CREATE TRIGGER audit_delete AFTER DELETE ON control.rbl_settings REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_delete AFTER DELETE ON control.relay REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_delete AFTER DELETE ON control.relay_tls REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_delete AFTER DELETE ON control.report REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('name', '');

CREATE TRIGGER audit_delete AFTER DELETE ON control.retry REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('attempt', '');

CREATE TRIGGER audit_delete AFTER DELETE ON control.route REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', 'password');

CREATE TRIGGER audit_delete AFTER DELETE ON control.server REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_delete AFTER DELETE ON control.service REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('name', '');

CREATE TRIGGER audit_delete AFTER DELETE ON control.smtp REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_delete AFTER DELETE ON control.smtp_limit REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_delete AFTER DELETE ON control.srs REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', 'secret');

CREATE TRIGGER audit_delete AFTER DELETE ON control.store REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_delete AFTER DELETE ON control.template REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', '');

CREATE TRIGGER audit_delete AFTER DELETE ON control.traffic REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_delete AFTER DELETE ON control.traffic_rule REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', '');

CREATE TRIGGER audit_delete AFTER DELETE ON control.trusted_sealer REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('domain', '');

CREATE TRIGGER audit_delete AFTER DELETE ON control.trusted_sender_domain REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('domain', '');

CREATE TRIGGER audit_delete AFTER DELETE ON control.web REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_insert AFTER INSERT ON control.acme REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', 'external_key');

CREATE TRIGGER audit_insert AFTER INSERT ON control.acme_account REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('directory', 'key');

CREATE TRIGGER audit_insert AFTER INSERT ON control.acme_answer REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('token', 'key');

CREATE TRIGGER audit_insert AFTER INSERT ON control.acme_certificate REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', '');

CREATE TRIGGER audit_insert AFTER INSERT ON control.acme_order REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('acme_certificate_id', 'key');

CREATE TRIGGER audit_insert AFTER INSERT ON control.administrator REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('name', 'password_hash');

CREATE TRIGGER audit_insert AFTER INSERT ON control.authentication REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_insert AFTER INSERT ON control.authentication_policy REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('method,result', '');

CREATE TRIGGER audit_insert AFTER INSERT ON control.certificate REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', 'key');

CREATE TRIGGER audit_insert AFTER INSERT ON control.connection_check REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_insert AFTER INSERT ON control.directory REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', 'unknown_user_secret');

CREATE TRIGGER audit_insert AFTER INSERT ON control.dkim REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_insert AFTER INSERT ON control.dmarc REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_insert AFTER INSERT ON control.dns REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_insert AFTER INSERT ON control.greylist REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_insert AFTER INSERT ON control.imap REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_insert AFTER INSERT ON control.imap_capability REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', '');

CREATE TRIGGER audit_insert AFTER INSERT ON control.ip_list REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', '');

CREATE TRIGGER audit_insert AFTER INSERT ON control.ip_rule REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', '');

CREATE TRIGGER audit_insert AFTER INSERT ON control.listener REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', '');

CREATE TRIGGER audit_insert AFTER INSERT ON control.log REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_insert AFTER INSERT ON control.metrics_token REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('name', 'token');

CREATE TRIGGER audit_insert AFTER INSERT ON control.oidc_issuer REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', '');

CREATE TRIGGER audit_insert AFTER INSERT ON control.pop3 REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_insert AFTER INSERT ON control.rbl REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', '');

CREATE TRIGGER audit_insert AFTER INSERT ON control.rbl_settings REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_insert AFTER INSERT ON control.relay REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_insert AFTER INSERT ON control.relay_tls REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_insert AFTER INSERT ON control.report REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('name', '');

CREATE TRIGGER audit_insert AFTER INSERT ON control.retry REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('attempt', '');

CREATE TRIGGER audit_insert AFTER INSERT ON control.route REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', 'password');

CREATE TRIGGER audit_insert AFTER INSERT ON control.server REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_insert AFTER INSERT ON control.service REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('name', '');

CREATE TRIGGER audit_insert AFTER INSERT ON control.smtp REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_insert AFTER INSERT ON control.smtp_limit REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_insert AFTER INSERT ON control.srs REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', 'secret');

CREATE TRIGGER audit_insert AFTER INSERT ON control.store REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_insert AFTER INSERT ON control.template REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', '');

CREATE TRIGGER audit_insert AFTER INSERT ON control.traffic REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_insert AFTER INSERT ON control.traffic_rule REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', '');

CREATE TRIGGER audit_insert AFTER INSERT ON control.trusted_sealer REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('domain', '');

CREATE TRIGGER audit_insert AFTER INSERT ON control.trusted_sender_domain REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('domain', '');

CREATE TRIGGER audit_insert AFTER INSERT ON control.web REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_update AFTER UPDATE ON control.acme REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', 'external_key');

CREATE TRIGGER audit_update AFTER UPDATE ON control.acme_account REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('directory', 'key');

CREATE TRIGGER audit_update AFTER UPDATE ON control.acme_answer REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('token', 'key');

CREATE TRIGGER audit_update AFTER UPDATE ON control.acme_certificate REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', '');

CREATE TRIGGER audit_update AFTER UPDATE ON control.acme_order REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('acme_certificate_id', 'key');

CREATE TRIGGER audit_update AFTER UPDATE ON control.administrator REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('name', 'password_hash');

CREATE TRIGGER audit_update AFTER UPDATE ON control.authentication REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_update AFTER UPDATE ON control.authentication_policy REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('method,result', '');

CREATE TRIGGER audit_update AFTER UPDATE ON control.certificate REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', 'key');

CREATE TRIGGER audit_update AFTER UPDATE ON control.connection_check REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_update AFTER UPDATE ON control.directory REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', 'unknown_user_secret');

CREATE TRIGGER audit_update AFTER UPDATE ON control.dkim REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_update AFTER UPDATE ON control.dmarc REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_update AFTER UPDATE ON control.dns REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_update AFTER UPDATE ON control.greylist REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_update AFTER UPDATE ON control.imap REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_update AFTER UPDATE ON control.imap_capability REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', '');

CREATE TRIGGER audit_update AFTER UPDATE ON control.ip_list REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', '');

CREATE TRIGGER audit_update AFTER UPDATE ON control.ip_rule REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', '');

CREATE TRIGGER audit_update AFTER UPDATE ON control.listener REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', '');

CREATE TRIGGER audit_update AFTER UPDATE ON control.log REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_update AFTER UPDATE ON control.metrics_token REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('name', 'token');

CREATE TRIGGER audit_update AFTER UPDATE ON control.oidc_issuer REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', '');

CREATE TRIGGER audit_update AFTER UPDATE ON control.pop3 REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_update AFTER UPDATE ON control.rbl REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', '');

CREATE TRIGGER audit_update AFTER UPDATE ON control.rbl_settings REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_update AFTER UPDATE ON control.relay REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_update AFTER UPDATE ON control.relay_tls REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_update AFTER UPDATE ON control.report REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('name', '');

CREATE TRIGGER audit_update AFTER UPDATE ON control.retry REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('attempt', '');

CREATE TRIGGER audit_update AFTER UPDATE ON control.route REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', 'password');

CREATE TRIGGER audit_update AFTER UPDATE ON control.server REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_update AFTER UPDATE ON control.service REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('name', '');

CREATE TRIGGER audit_update AFTER UPDATE ON control.smtp REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_update AFTER UPDATE ON control.smtp_limit REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_update AFTER UPDATE ON control.srs REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', 'secret');

CREATE TRIGGER audit_update AFTER UPDATE ON control.store REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_update AFTER UPDATE ON control.template REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', '');

CREATE TRIGGER audit_update AFTER UPDATE ON control.traffic REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER audit_update AFTER UPDATE ON control.traffic_rule REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', '');

CREATE TRIGGER audit_update AFTER UPDATE ON control.trusted_sealer REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('domain', '');

CREATE TRIGGER audit_update AFTER UPDATE ON control.trusted_sender_domain REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('domain', '');

CREATE TRIGGER audit_update AFTER UPDATE ON control.web REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('only_row', '');

CREATE TRIGGER check_answers BEFORE INSERT OR UPDATE OF answers ON control.rbl FOR EACH ROW EXECUTE FUNCTION control.check_rbl_answers();

CREATE TRIGGER check_name_servers BEFORE INSERT OR UPDATE ON control.dns FOR EACH ROW EXECUTE FUNCTION control.check_name_servers();

CREATE TRIGGER check_words BEFORE INSERT OR UPDATE ON control.template FOR EACH ROW EXECUTE FUNCTION logic.check_template();

CREATE TRIGGER expand BEFORE INSERT OR UPDATE OF address ON control.listener FOR EACH ROW EXECUTE FUNCTION logic.expand_listener();

CREATE TRIGGER hash BEFORE INSERT OR UPDATE OF token ON control.metrics_token FOR EACH ROW EXECUTE FUNCTION logic.hash_token();

CREATE TRIGGER normalise BEFORE INSERT OR UPDATE OF names ON control.acme_certificate FOR EACH ROW EXECUTE FUNCTION logic.normalise_acme_names();

CREATE TRIGGER normalise BEFORE INSERT OR UPDATE OF zone ON control.rbl FOR EACH ROW EXECUTE FUNCTION logic.normalise_rbl();

CREATE TRIGGER normalise BEFORE INSERT OR UPDATE ON control.route FOR EACH ROW EXECUTE FUNCTION logic.normalise_route();

CREATE TRIGGER normalise BEFORE INSERT OR UPDATE OF pattern ON control.traffic_rule FOR EACH ROW EXECUTE FUNCTION logic.normalise_traffic_rule();

CREATE CONSTRAINT TRIGGER raise_generation AFTER INSERT ON control.touched DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION logic.raise_generation();

CREATE TRIGGER reread BEFORE UPDATE ON control.certificate FOR EACH ROW WHEN ((((old.chain IS DISTINCT FROM new.chain) OR ((old.key)::text IS DISTINCT FROM (new.key)::text)) OR (old.names IS DISTINCT FROM new.names))) EXECUTE FUNCTION logic.reread_certificate();

CREATE TRIGGER restart AFTER UPDATE ON control.acme FOR EACH ROW WHEN ((old.* IS DISTINCT FROM new.*)) EXECUTE FUNCTION logic.restart_acme();

CREATE TRIGGER restart BEFORE UPDATE ON control.acme_certificate FOR EACH ROW WHEN (((((old.names IS DISTINCT FROM new.names) OR (old.active IS DISTINCT FROM new.active)) OR (old.renew_at IS DISTINCT FROM new.renew_at)) AND (NOT (new.next_attempt_at IS DISTINCT FROM old.next_attempt_at)))) EXECUTE FUNCTION logic.restart_acme_certificate();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON control.acme FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON control.acme_account FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON control.acme_answer FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON control.acme_certificate FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON control.acme_order FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON control.administrator FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON control.authentication FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON control.authentication_policy FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON control.certificate FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON control.connection_check FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON control.directory FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON control.dkim FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON control.dmarc FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON control.dns FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON control.greylist FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON control.imap FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON control.imap_capability FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON control.ip_list FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON control.ip_rule FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON control.listener FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON control.log FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON control.metrics_token FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON control.oidc_issuer FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON control.pop3 FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON control.rbl FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON control.rbl_settings FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON control.relay FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON control.relay_tls FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON control.report FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON control.retry FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON control.route FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON control.server FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON control.service FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON control.smtp FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON control.smtp_limit FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON control.srs FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON control.store FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON control.template FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON control.traffic FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON control.traffic_rule FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON control.trusted_sealer FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON control.trusted_sender_domain FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON control.web FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER a_guard BEFORE INSERT OR UPDATE ON directory.account FOR EACH ROW WHEN ((logic.web_kind() = 'domain'::text)) EXECUTE FUNCTION logic.guard_account();

CREATE TRIGGER a_guard BEFORE UPDATE ON directory.domain FOR EACH ROW WHEN ((logic.web_kind() = 'domain'::text)) EXECUTE FUNCTION logic.guard_domain();

CREATE TRIGGER a_guard_own BEFORE UPDATE ON directory.account FOR EACH ROW WHEN ((logic.web_kind() = 'user'::text)) EXECUTE FUNCTION logic.guard_own_account();

CREATE TRIGGER audit_delete AFTER DELETE ON directory.account REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', 'password_hash,scram');

CREATE TRIGGER audit_delete AFTER DELETE ON directory.alias REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', '');

CREATE TRIGGER audit_delete AFTER DELETE ON directory.dkim_key REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', 'private_key');

CREATE TRIGGER audit_delete AFTER DELETE ON directory.dns_check REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('domain_id', '');

CREATE TRIGGER audit_delete AFTER DELETE ON directory.dns_record REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('domain_id,place', '');

CREATE TRIGGER audit_delete AFTER DELETE ON directory.domain REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', '');

CREATE TRIGGER audit_delete AFTER DELETE ON directory.domain_alias REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', '');

CREATE TRIGGER audit_delete AFTER DELETE ON directory.recovery_code REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', 'code_hash');

CREATE TRIGGER audit_delete AFTER DELETE ON directory.remote_domain REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', '');

CREATE TRIGGER audit_delete AFTER DELETE ON directory.remote_recipient REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('domain_id,local_part', '');

CREATE TRIGGER audit_delete AFTER DELETE ON directory.second_factor REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', 'secret');

CREATE TRIGGER audit_delete AFTER DELETE ON directory.sender_permission REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', '');

CREATE TRIGGER audit_delete AFTER DELETE ON directory.sql_login REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('role_name', '');

CREATE TRIGGER audit_insert AFTER INSERT ON directory.account REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', 'password_hash,scram');

CREATE TRIGGER audit_insert AFTER INSERT ON directory.alias REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', '');

CREATE TRIGGER audit_insert AFTER INSERT ON directory.dkim_key REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', 'private_key');

CREATE TRIGGER audit_insert AFTER INSERT ON directory.dns_check REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('domain_id', '');

CREATE TRIGGER audit_insert AFTER INSERT ON directory.dns_record REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('domain_id,place', '');

CREATE TRIGGER audit_insert AFTER INSERT ON directory.domain REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', '');

CREATE TRIGGER audit_insert AFTER INSERT ON directory.domain_alias REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', '');

CREATE TRIGGER audit_insert AFTER INSERT ON directory.recovery_code REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', 'code_hash');

CREATE TRIGGER audit_insert AFTER INSERT ON directory.remote_domain REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', '');

CREATE TRIGGER audit_insert AFTER INSERT ON directory.remote_recipient REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('domain_id,local_part', '');

CREATE TRIGGER audit_insert AFTER INSERT ON directory.second_factor REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', 'secret');

CREATE TRIGGER audit_insert AFTER INSERT ON directory.sender_permission REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', '');

CREATE TRIGGER audit_insert AFTER INSERT ON directory.sql_login REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('role_name', '');

CREATE TRIGGER audit_update AFTER UPDATE ON directory.account REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', 'password_hash,scram');

CREATE TRIGGER audit_update AFTER UPDATE ON directory.alias REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', '');

CREATE TRIGGER audit_update AFTER UPDATE ON directory.dkim_key REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', 'private_key');

CREATE TRIGGER audit_update AFTER UPDATE ON directory.dns_check REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('domain_id', '');

CREATE TRIGGER audit_update AFTER UPDATE ON directory.dns_record REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('domain_id,place', '');

CREATE TRIGGER audit_update AFTER UPDATE ON directory.domain REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', '');

CREATE TRIGGER audit_update AFTER UPDATE ON directory.domain_alias REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', '');

CREATE TRIGGER audit_update AFTER UPDATE ON directory.recovery_code REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', 'code_hash');

CREATE TRIGGER audit_update AFTER UPDATE ON directory.remote_domain REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', '');

CREATE TRIGGER audit_update AFTER UPDATE ON directory.remote_recipient REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('domain_id,local_part', '');

CREATE TRIGGER audit_update AFTER UPDATE ON directory.second_factor REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', 'secret');

CREATE TRIGGER audit_update AFTER UPDATE ON directory.sender_permission REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('id', '');

CREATE TRIGGER audit_update AFTER UPDATE ON directory.sql_login REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.audit('role_name', '');

CREATE TRIGGER check_forward_to BEFORE INSERT OR UPDATE OF forward_to ON directory.account FOR EACH ROW WHEN ((new.forward_to <> '{}'::text[])) EXECUTE FUNCTION logic.check_forward_to();

CREATE TRIGGER check_max_accounts AFTER INSERT ON directory.account REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION logic.check_max_accounts();

CREATE TRIGGER check_max_accounts_moved AFTER UPDATE ON directory.account REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION logic.check_max_accounts_moved();

CREATE TRIGGER clear_metadata AFTER DELETE ON directory.account FOR EACH ROW EXECUTE FUNCTION logic.clear_metadata();

CREATE TRIGGER furnish AFTER INSERT ON directory.account FOR EACH ROW EXECUTE FUNCTION logic.furnish_account();

CREATE TRIGGER mirror AFTER INSERT OR UPDATE OF domain_id, local_part ON directory.account FOR EACH ROW EXECUTE FUNCTION logic.mirror_account();

CREATE TRIGGER mirror AFTER INSERT OR UPDATE OF domain_id, local_part ON directory.alias FOR EACH ROW EXECUTE FUNCTION logic.mirror_alias();

CREATE TRIGGER mirror AFTER INSERT OR UPDATE OF name ON directory.domain FOR EACH ROW EXECUTE FUNCTION logic.mirror_domain();

CREATE TRIGGER mirror AFTER INSERT OR UPDATE OF name ON directory.domain_alias FOR EACH ROW EXECUTE FUNCTION logic.mirror_domain();

CREATE TRIGGER mirror AFTER INSERT OR UPDATE OF name ON directory.remote_domain FOR EACH ROW EXECUTE FUNCTION logic.mirror_domain();

CREATE TRIGGER normalise BEFORE INSERT OR UPDATE OF local_part ON directory.account FOR EACH ROW EXECUTE FUNCTION logic.normalise_local_part();

CREATE TRIGGER normalise BEFORE INSERT OR UPDATE ON directory.alias FOR EACH ROW EXECUTE FUNCTION logic.normalise_alias();

CREATE TRIGGER normalise BEFORE INSERT OR UPDATE OF name, catch_all ON directory.domain FOR EACH ROW EXECUTE FUNCTION logic.normalise_domain();

CREATE TRIGGER normalise BEFORE INSERT OR UPDATE OF name ON directory.domain_alias FOR EACH ROW EXECUTE FUNCTION logic.normalise_domain_alias();

CREATE TRIGGER normalise BEFORE INSERT OR UPDATE ON directory.remote_domain FOR EACH ROW EXECUTE FUNCTION logic.normalise_remote_domain();

CREATE TRIGGER normalise BEFORE INSERT OR UPDATE ON directory.remote_recipient FOR EACH ROW EXECUTE FUNCTION logic.normalise_local_part();

CREATE TRIGGER normalise BEFORE INSERT OR UPDATE OF pattern ON directory.sender_permission FOR EACH ROW EXECUTE FUNCTION logic.normalise_permission();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON directory.account FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON directory.alias FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON directory.dkim_key FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON directory.dns_check FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON directory.dns_record FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON directory.domain FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON directory.domain_alias FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON directory.recovery_code FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON directory.remote_domain FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON directory.remote_recipient FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON directory.second_factor FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON directory.sender_permission FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON directory.sql_login FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER ring AFTER DELETE ON live.session FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.ring_sessions();

CREATE TRIGGER ring_truncate AFTER TRUNCATE ON live.session FOR EACH STATEMENT EXECUTE FUNCTION logic.ring_sessions();

CREATE TRIGGER by_hand_delete BEFORE DELETE ON queue.message FOR EACH ROW WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.before_message_cancelled();

CREATE TRIGGER by_hand_delete AFTER DELETE ON queue.recipient REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.after_recipient_delete();

CREATE TRIGGER by_hand_insert AFTER INSERT ON queue.recipient REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.after_recipient();

CREATE TRIGGER by_hand_trace AFTER UPDATE ON queue.recipient REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.trace_recipient();

CREATE TRIGGER by_hand_update AFTER UPDATE ON queue.recipient REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.after_recipient();

CREATE TRIGGER ring AFTER DELETE OR TRUNCATE ON queue.message FOR EACH STATEMENT EXECUTE FUNCTION logic.ring_queue();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON queue.sts_policy FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON screen.greylist FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER touch AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON screen.greylist_network FOR EACH STATEMENT WHEN ((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION logic.touch();

CREATE TRIGGER a_guard BEFORE INSERT OR UPDATE ON store.message FOR EACH ROW WHEN (row_security_active(('store.message'::regclass)::oid)) EXECUTE FUNCTION logic.guard_message();

CREATE TRIGGER by_hand BEFORE INSERT OR UPDATE ON store.message FOR EACH ROW WHEN (((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text) OR row_security_active(('store.message'::regclass)::oid))) EXECUTE FUNCTION logic.before_message();

CREATE TRIGGER by_hand_delete AFTER DELETE ON store.message REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT WHEN (((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text) OR row_security_active(('store.message'::regclass)::oid))) EXECUTE FUNCTION logic.after_message_delete();

CREATE TRIGGER clear AFTER DELETE ON store.mailbox FOR EACH ROW EXECUTE FUNCTION logic.clear_mailbox();

CREATE TRIGGER complete BEFORE INSERT ON store.mailbox FOR EACH ROW EXECUTE FUNCTION logic.before_mailbox();

CREATE TRIGGER count_annotation AFTER INSERT OR DELETE OR UPDATE ON store.metadata FOR EACH ROW EXECUTE FUNCTION logic.count_annotation();

CREATE TRIGGER forgotten AFTER DELETE ON store.expunged REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION logic.after_expunged_delete();

CREATE TRIGGER forgotten_all AFTER TRUNCATE ON store.expunged FOR EACH STATEMENT EXECUTE FUNCTION logic.after_expunged_truncate();

CREATE TRIGGER inherit_acl AFTER INSERT ON store.mailbox FOR EACH ROW EXECUTE FUNCTION logic.inherit_acl();

CREATE TRIGGER order_rights BEFORE INSERT OR UPDATE ON store.acl FOR EACH ROW EXECUTE FUNCTION logic.before_acl();

CREATE TRIGGER ring AFTER INSERT OR DELETE OR UPDATE ON store.acl FOR EACH ROW EXECUTE FUNCTION logic.ring_acl();

CREATE TRIGGER ring_grantee AFTER INSERT OR DELETE OR UPDATE ON store.acl FOR EACH ROW EXECUTE FUNCTION logic.ring_grantee();

CREATE TRIGGER ring_names AFTER INSERT OR DELETE OR UPDATE ON store.acl FOR EACH ROW EXECUTE FUNCTION logic.ring_names();

CREATE TRIGGER ring_names AFTER INSERT OR DELETE OR UPDATE OF name, special_use ON store.mailbox FOR EACH ROW WHEN (((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text) OR row_security_active(('store.mailbox'::regclass)::oid))) EXECUTE FUNCTION logic.ring_names();

CREATE TRIGGER ring_names AFTER INSERT OR DELETE OR UPDATE ON store.metadata FOR EACH ROW EXECUTE FUNCTION logic.ring_names();

CREATE TRIGGER ring_names AFTER INSERT OR DELETE OR UPDATE ON store.subscription FOR EACH ROW WHEN (((current_setting('mailwright.daemon'::text, true) IS DISTINCT FROM 'on'::text) OR row_security_active(('store.subscription'::regclass)::oid))) EXECUTE FUNCTION logic.ring_names();

ALTER TABLE ONLY control.acme_certificate
    ADD CONSTRAINT acme_certificate_certificate_id_fkey FOREIGN KEY (certificate_id) REFERENCES control.certificate(id) ON DELETE SET NULL;

ALTER TABLE ONLY control.acme_order
    ADD CONSTRAINT acme_order_acme_certificate_id_fkey FOREIGN KEY (acme_certificate_id) REFERENCES control.acme_certificate(id) ON DELETE CASCADE;

ALTER TABLE ONLY control.imap_capability
    ADD CONSTRAINT imap_capability_account_id_fkey FOREIGN KEY (account_id) REFERENCES directory.account(id) ON DELETE CASCADE;

ALTER TABLE ONLY control.ip_rule
    ADD CONSTRAINT ip_rule_list_id_fkey FOREIGN KEY (list_id) REFERENCES control.ip_list(id) ON DELETE CASCADE;

ALTER TABLE ONLY control.listener
    ADD CONSTRAINT listener_proxy_ip_list_id_fkey FOREIGN KEY (proxy_ip_list_id) REFERENCES control.ip_list(id);

ALTER TABLE ONLY control.listener
    ADD CONSTRAINT listener_service_fkey FOREIGN KEY (service) REFERENCES control.service(name) ON UPDATE CASCADE;

ALTER TABLE ONLY control.rbl_settings
    ADD CONSTRAINT rbl_settings_trusted_ip_list_id_fkey FOREIGN KEY (trusted_ip_list_id) REFERENCES control.ip_list(id);

ALTER TABLE ONLY control.service
    ADD CONSTRAINT service_ip_list_id_fkey FOREIGN KEY (ip_list_id) REFERENCES control.ip_list(id);

ALTER TABLE ONLY control.smtp
    ADD CONSTRAINT smtp_relay_ip_list_id_fkey FOREIGN KEY (relay_ip_list_id) REFERENCES control.ip_list(id);

ALTER TABLE ONLY control.smtp
    ADD CONSTRAINT smtp_xclient_ip_list_id_fkey FOREIGN KEY (xclient_ip_list_id) REFERENCES control.ip_list(id);

ALTER TABLE ONLY control.template
    ADD CONSTRAINT template_domain_id_fkey FOREIGN KEY (domain_id) REFERENCES directory.domain(id) ON DELETE CASCADE;

ALTER TABLE ONLY control.web
    ADD CONSTRAINT web_monitor_ip_list_id_fkey FOREIGN KEY (monitor_ip_list_id) REFERENCES control.ip_list(id);

ALTER TABLE ONLY directory.account
    ADD CONSTRAINT account_domain_id_fkey FOREIGN KEY (domain_id) REFERENCES directory.domain(id) ON DELETE CASCADE;

ALTER TABLE ONLY directory.address
    ADD CONSTRAINT address_account_id_fkey FOREIGN KEY (account_id) REFERENCES directory.account(id) ON DELETE CASCADE;

ALTER TABLE ONLY directory.address
    ADD CONSTRAINT address_alias_id_fkey FOREIGN KEY (alias_id) REFERENCES directory.alias(id) ON DELETE CASCADE;

ALTER TABLE ONLY directory.address
    ADD CONSTRAINT address_domain_id_fkey FOREIGN KEY (domain_id) REFERENCES directory.domain(id) ON DELETE CASCADE;

ALTER TABLE ONLY directory.alias
    ADD CONSTRAINT alias_domain_id_fkey FOREIGN KEY (domain_id) REFERENCES directory.domain(id) ON DELETE CASCADE;

ALTER TABLE ONLY directory.dkim_key
    ADD CONSTRAINT dkim_key_domain_id_fkey FOREIGN KEY (domain_id) REFERENCES directory.domain(id) ON DELETE CASCADE;

ALTER TABLE ONLY directory.dns_check
    ADD CONSTRAINT dns_check_domain_id_fkey FOREIGN KEY (domain_id) REFERENCES directory.domain(id) ON DELETE CASCADE;

ALTER TABLE ONLY directory.dns_record
    ADD CONSTRAINT dns_record_domain_id_fkey FOREIGN KEY (domain_id) REFERENCES directory.domain(id) ON DELETE CASCADE;

ALTER TABLE ONLY directory.domain_alias
    ADD CONSTRAINT domain_alias_domain_id_fkey FOREIGN KEY (domain_id) REFERENCES directory.domain(id) ON DELETE CASCADE;

ALTER TABLE ONLY directory.domain_name
    ADD CONSTRAINT domain_name_alias_id_fkey FOREIGN KEY (alias_id) REFERENCES directory.domain_alias(id) ON DELETE CASCADE;

ALTER TABLE ONLY directory.domain_name
    ADD CONSTRAINT domain_name_domain_id_fkey FOREIGN KEY (domain_id) REFERENCES directory.domain(id) ON DELETE CASCADE;

ALTER TABLE ONLY directory.domain_name
    ADD CONSTRAINT domain_name_remote_id_fkey FOREIGN KEY (remote_id) REFERENCES directory.remote_domain(id) ON DELETE CASCADE;

ALTER TABLE ONLY directory.recovery_code
    ADD CONSTRAINT recovery_code_second_factor_id_fkey FOREIGN KEY (second_factor_id) REFERENCES directory.second_factor(id) ON DELETE CASCADE;

ALTER TABLE ONLY directory.remote_domain
    ADD CONSTRAINT remote_domain_local_domain_id_fkey FOREIGN KEY (local_domain_id) REFERENCES directory.domain(id) ON DELETE CASCADE;

ALTER TABLE ONLY directory.remote_recipient
    ADD CONSTRAINT remote_recipient_domain_id_fkey FOREIGN KEY (domain_id) REFERENCES directory.remote_domain(id) ON DELETE CASCADE;

ALTER TABLE ONLY directory.second_factor
    ADD CONSTRAINT second_factor_account_id_fkey FOREIGN KEY (account_id) REFERENCES directory.account(id) ON DELETE CASCADE;

ALTER TABLE ONLY directory.second_factor
    ADD CONSTRAINT second_factor_administrator_fkey FOREIGN KEY (administrator) REFERENCES control.administrator(name) ON UPDATE CASCADE ON DELETE CASCADE;

ALTER TABLE ONLY directory.sender_permission
    ADD CONSTRAINT sender_permission_account_id_fkey FOREIGN KEY (account_id) REFERENCES directory.account(id) ON DELETE CASCADE;

ALTER TABLE ONLY directory.sql_login
    ADD CONSTRAINT sql_login_account_id_fkey FOREIGN KEY (account_id) REFERENCES directory.account(id) ON DELETE CASCADE;

ALTER TABLE ONLY live.mailbox_view
    ADD CONSTRAINT mailbox_view_account_id_fkey FOREIGN KEY (account_id) REFERENCES directory.account(id) ON DELETE CASCADE;

ALTER TABLE ONLY live.mailbox_view
    ADD CONSTRAINT mailbox_view_session_id_fkey FOREIGN KEY (session_id) REFERENCES live.web_session(id) ON DELETE CASCADE;

ALTER TABLE ONLY live.user_import
    ADD CONSTRAINT user_import_session_id_fkey FOREIGN KEY (session_id) REFERENCES live.web_session(id) ON DELETE CASCADE;

ALTER TABLE ONLY log.dmarc_report_row
    ADD CONSTRAINT dmarc_report_row_report_id_fkey FOREIGN KEY (report_id) REFERENCES log.dmarc_report(id) ON DELETE CASCADE;

ALTER TABLE ONLY queue.message
    ADD CONSTRAINT message_account_id_fkey FOREIGN KEY (account_id) REFERENCES directory.account(id) ON DELETE SET NULL;

ALTER TABLE ONLY queue.recipient
    ADD CONSTRAINT recipient_message_id_fkey FOREIGN KEY (message_id) REFERENCES queue.message(id) ON DELETE CASCADE;

ALTER TABLE ONLY store.acl
    ADD CONSTRAINT acl_account_id_mailbox_id_fkey FOREIGN KEY (account_id, mailbox_id) REFERENCES store.mailbox(account_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY store.acl
    ADD CONSTRAINT acl_grantee_domain_id_fkey FOREIGN KEY (grantee_domain_id) REFERENCES directory.domain(id) ON DELETE CASCADE;

ALTER TABLE ONLY store.acl
    ADD CONSTRAINT acl_grantee_id_fkey FOREIGN KEY (grantee_id) REFERENCES directory.account(id) ON DELETE CASCADE;

ALTER TABLE ONLY store.mailbox
    ADD CONSTRAINT mailbox_account_id_fkey FOREIGN KEY (account_id) REFERENCES directory.account(id) ON DELETE CASCADE;

ALTER TABLE ONLY store.subscription
    ADD CONSTRAINT subscription_account_id_fkey FOREIGN KEY (account_id) REFERENCES directory.account(id) ON DELETE CASCADE;

ALTER TABLE ONLY store.text
    ADD CONSTRAINT text_content_id_fkey FOREIGN KEY (content_id) REFERENCES store.content(id) ON DELETE CASCADE;

ALTER TABLE ONLY store.url_key
    ADD CONSTRAINT url_key_account_id_fkey FOREIGN KEY (account_id) REFERENCES directory.account(id) ON DELETE CASCADE;

ALTER TABLE ONLY store.usage
    ADD CONSTRAINT usage_account_id_fkey FOREIGN KEY (account_id) REFERENCES directory.account(id) ON DELETE CASCADE;

ALTER TABLE control.acme ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.acme_account ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.acme_answer ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.acme_certificate ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.acme_order ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.administrator ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.authentication ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.authentication_policy ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.certificate ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.connection_check ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.directory ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.dkim ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.dmarc ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.dns ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.generation ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.greylist ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.imap ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.imap_capability ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.ip_list ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.ip_rule ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.lease ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.listener ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.log ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.logic ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.metrics_token ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.oidc_issuer ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.pop3 ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.rbl ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.rbl_settings ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.relay ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.relay_tls ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.report ENABLE ROW LEVEL SECURITY;

CREATE POLICY report_sees ON control.acme FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.acme_account FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.acme_answer FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.acme_certificate FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.acme_order FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.administrator FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.authentication FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.authentication_policy FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.certificate FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.connection_check FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.directory FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.dkim FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.dmarc FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.dns FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.generation FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.greylist FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.imap FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.imap_capability FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.ip_list FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.ip_rule FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.lease FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.listener FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.log FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.logic FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.metrics_token FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.oidc_issuer FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.pop3 FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.rbl FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.rbl_settings FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.relay FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.relay_tls FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.report FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.retry FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.route FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.server FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.service FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.smtp FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.smtp_limit FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.srs FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.store FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.template FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.touched FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.traffic FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.traffic_rule FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.trusted_sealer FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.trusted_sender_domain FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON control.web FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

ALTER TABLE control.retry ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.route ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.server ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.service ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.smtp ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.smtp_limit ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.srs ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.store ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.template ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.touched ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.traffic ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.traffic_rule ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.trusted_sealer ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.trusted_sender_domain ENABLE ROW LEVEL SECURITY;

ALTER TABLE control.web ENABLE ROW LEVEL SECURITY;

CREATE POLICY web_changes ON control.acme USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.acme_account USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.acme_answer USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.acme_certificate USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.acme_order USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.administrator USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.authentication USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.authentication_policy USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.certificate USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.connection_check USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.directory USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.dkim USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.dmarc USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.dns USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.generation USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.greylist USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.imap USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.imap_capability USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.ip_list USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.ip_rule USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.lease USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.listener USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.log USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.logic USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.metrics_token USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.oidc_issuer USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.pop3 USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.rbl USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.rbl_settings USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.relay USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.relay_tls USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.report USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.retry USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.route USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.server USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.service USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.smtp USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.smtp_limit USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.srs USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.store USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.template USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.touched USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.traffic USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.traffic_rule USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.trusted_sealer USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.trusted_sender_domain USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON control.web USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_sees ON control.acme FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.acme_account FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.acme_answer FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.acme_certificate FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.acme_order FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.administrator FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.authentication FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.authentication_policy FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.certificate FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.connection_check FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.directory FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.dkim FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.dmarc FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.dns FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.generation FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.greylist FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.imap FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.imap_capability FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.ip_list FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.ip_rule FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.lease FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.listener FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.log FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.logic FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.metrics_token FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.oidc_issuer FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.pop3 FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.rbl FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.rbl_settings FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.relay FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.relay_tls FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.report FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.retry FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.route FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.server FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.service FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.smtp FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.smtp_limit FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.srs FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.store FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.template FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.touched FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.traffic FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.traffic_rule FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.trusted_sealer FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.trusted_sender_domain FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON control.web FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

ALTER TABLE directory.account ENABLE ROW LEVEL SECURITY;

ALTER TABLE directory.address ENABLE ROW LEVEL SECURITY;

ALTER TABLE directory.alias ENABLE ROW LEVEL SECURITY;

ALTER TABLE directory.dkim_key ENABLE ROW LEVEL SECURITY;

ALTER TABLE directory.dns_check ENABLE ROW LEVEL SECURITY;

ALTER TABLE directory.dns_record ENABLE ROW LEVEL SECURITY;

ALTER TABLE directory.domain ENABLE ROW LEVEL SECURITY;

ALTER TABLE directory.domain_alias ENABLE ROW LEVEL SECURITY;

ALTER TABLE directory.domain_name ENABLE ROW LEVEL SECURITY;

ALTER TABLE directory.recovery_code ENABLE ROW LEVEL SECURITY;

ALTER TABLE directory.remote_domain ENABLE ROW LEVEL SECURITY;

ALTER TABLE directory.remote_recipient ENABLE ROW LEVEL SECURITY;

CREATE POLICY report_sees ON directory.account FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON directory.address FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON directory.alias FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON directory.dkim_key FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON directory.dns_check FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON directory.dns_record FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON directory.domain FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON directory.domain_alias FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON directory.domain_name FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON directory.recovery_code FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON directory.remote_domain FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON directory.remote_recipient FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON directory.second_factor FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON directory.sender_permission FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON directory.sql_login FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

ALTER TABLE directory.second_factor ENABLE ROW LEVEL SECURITY;

ALTER TABLE directory.sender_permission ENABLE ROW LEVEL SECURITY;

ALTER TABLE directory.sql_login ENABLE ROW LEVEL SECURITY;

CREATE POLICY web_changes ON directory.account USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON directory.address USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON directory.alias USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON directory.dkim_key USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON directory.dns_check USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON directory.dns_record USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON directory.domain USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON directory.domain_alias USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON directory.domain_name USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON directory.recovery_code USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON directory.remote_domain USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON directory.remote_recipient USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON directory.second_factor USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON directory.sender_permission USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON directory.sql_login USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_domain_changes ON directory.account USING ((domain_id = ( SELECT logic.web_domain() AS web_domain))) WITH CHECK ((domain_id = ( SELECT logic.web_domain() AS web_domain)));

CREATE POLICY web_domain_changes ON directory.alias USING ((domain_id = ( SELECT logic.web_domain() AS web_domain))) WITH CHECK ((domain_id = ( SELECT logic.web_domain() AS web_domain)));

CREATE POLICY web_domain_changes ON directory.domain FOR UPDATE USING ((id = ( SELECT logic.web_domain() AS web_domain))) WITH CHECK ((id = ( SELECT logic.web_domain() AS web_domain)));

CREATE POLICY web_domain_resets ON directory.second_factor FOR DELETE USING ((logic.web_has_account(account_id) AND (NOT logic.web_manages(account_id))));

CREATE POLICY web_domain_sees ON directory.account FOR SELECT USING ((domain_id = ( SELECT logic.web_domain() AS web_domain)));

CREATE POLICY web_domain_sees ON directory.address FOR SELECT USING ((domain_id = ( SELECT logic.web_domain() AS web_domain)));

CREATE POLICY web_domain_sees ON directory.alias FOR SELECT USING ((domain_id = ( SELECT logic.web_domain() AS web_domain)));

CREATE POLICY web_domain_sees ON directory.dkim_key FOR SELECT USING ((domain_id = ( SELECT logic.web_domain() AS web_domain)));

CREATE POLICY web_domain_sees ON directory.dns_check FOR SELECT USING ((domain_id = ( SELECT logic.web_domain() AS web_domain)));

CREATE POLICY web_domain_sees ON directory.dns_record FOR SELECT USING ((domain_id = ( SELECT logic.web_domain() AS web_domain)));

CREATE POLICY web_domain_sees ON directory.domain FOR SELECT USING ((id = ( SELECT logic.web_domain() AS web_domain)));

CREATE POLICY web_domain_sees ON directory.domain_alias FOR SELECT USING ((domain_id = ( SELECT logic.web_domain() AS web_domain)));

CREATE POLICY web_domain_sees ON directory.domain_name FOR SELECT USING ((domain_id = ( SELECT logic.web_domain() AS web_domain)));

CREATE POLICY web_domain_sees ON directory.remote_recipient FOR SELECT USING ((domain_id = ( SELECT logic.web_domain() AS web_domain)));

CREATE POLICY web_domain_sees ON directory.second_factor FOR SELECT USING (logic.web_has_account(account_id));

CREATE POLICY web_domain_sees ON directory.sender_permission FOR SELECT USING (logic.web_has_account(account_id));

CREATE POLICY web_domain_sees ON directory.sql_login FOR SELECT USING (logic.web_has_account(account_id));

CREATE POLICY web_sees ON directory.account FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON directory.address FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON directory.alias FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON directory.dkim_key FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON directory.dns_check FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON directory.dns_record FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON directory.domain FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON directory.domain_alias FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON directory.domain_name FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON directory.recovery_code FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON directory.remote_domain FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON directory.remote_recipient FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON directory.second_factor FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON directory.sender_permission FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON directory.sql_login FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_user_changes ON directory.account FOR UPDATE USING ((id = ( SELECT logic.web_account() AS web_account))) WITH CHECK ((id = ( SELECT logic.web_account() AS web_account)));

CREATE POLICY web_user_sees ON directory.account FOR SELECT USING ((id = ( SELECT logic.web_account() AS web_account)));

ALTER TABLE live.counter ENABLE ROW LEVEL SECURITY;

ALTER TABLE live.listener_status ENABLE ROW LEVEL SECURITY;

ALTER TABLE live.login_failure ENABLE ROW LEVEL SECURITY;

ALTER TABLE live.mailbox_view ENABLE ROW LEVEL SECURITY;

ALTER TABLE live.node ENABLE ROW LEVEL SECURITY;

ALTER TABLE live.rbl_status ENABLE ROW LEVEL SECURITY;

CREATE POLICY report_sees ON live.counter FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON live.listener_status FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON live.login_failure FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON live.mailbox_view FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON live.node FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON live.rbl_status FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON live.service_status FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON live.session FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON live.user_import FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON live.web_session FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

ALTER TABLE live.service_status ENABLE ROW LEVEL SECURITY;

ALTER TABLE live.session ENABLE ROW LEVEL SECURITY;

ALTER TABLE live.user_import ENABLE ROW LEVEL SECURITY;

CREATE POLICY web_changes ON live.counter USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON live.listener_status USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON live.login_failure USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON live.mailbox_view USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON live.node USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON live.rbl_status USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON live.service_status USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON live.session USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON live.user_import USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON live.web_session USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_domain_changes ON live.session FOR DELETE USING (logic.web_has_account(account_id));

CREATE POLICY web_domain_changes ON live.web_session FOR DELETE USING (logic.web_has_account(account_id));

CREATE POLICY web_domain_sees ON live.mailbox_view FOR SELECT USING (logic.web_has_account(account_id));

CREATE POLICY web_domain_sees ON live.session FOR SELECT USING (logic.web_has_account(account_id));

CREATE POLICY web_domain_sees ON live.web_session FOR SELECT USING (logic.web_has_account(account_id));

CREATE POLICY web_sees ON live.counter FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON live.listener_status FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON live.login_failure FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON live.mailbox_view FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON live.node FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON live.rbl_status FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON live.service_status FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON live.session FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON live.user_import FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON live.web_session FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

ALTER TABLE live.web_session ENABLE ROW LEVEL SECURITY;

CREATE POLICY web_user_ends ON live.session FOR DELETE USING ((account_id = ( SELECT logic.web_account() AS web_account)));

CREATE POLICY web_user_ends ON live.web_session FOR DELETE USING ((account_id = ( SELECT logic.web_account() AS web_account)));

CREATE POLICY web_user_sees ON live.session FOR SELECT USING ((account_id = ( SELECT logic.web_account() AS web_account)));

CREATE POLICY web_user_sees ON live.web_session FOR SELECT USING ((account_id = ( SELECT logic.web_account() AS web_account)));

ALTER TABLE log.audit ENABLE ROW LEVEL SECURITY;

ALTER TABLE log.destination_count ENABLE ROW LEVEL SECURITY;

ALTER TABLE log.dmarc_count ENABLE ROW LEVEL SECURITY;

ALTER TABLE log.dmarc_report ENABLE ROW LEVEL SECURITY;

ALTER TABLE log.dmarc_report_row ENABLE ROW LEVEL SECURITY;

ALTER TABLE log.domain_count ENABLE ROW LEVEL SECURITY;

ALTER TABLE log.domain_storage ENABLE ROW LEVEL SECURITY;

ALTER TABLE log.event ENABLE ROW LEVEL SECURITY;

ALTER TABLE log.gauge ENABLE ROW LEVEL SECURITY;

ALTER TABLE log.mail_count ENABLE ROW LEVEL SECURITY;

CREATE POLICY report_sees ON log.audit FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON log.destination_count FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON log.dmarc_count FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON log.dmarc_report FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON log.dmarc_report_row FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON log.domain_count FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON log.domain_storage FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON log.event FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON log.gauge FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON log.mail_count FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON log.tls_count FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON log.trace FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON log.traffic FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

ALTER TABLE log.tls_count ENABLE ROW LEVEL SECURITY;

ALTER TABLE log.trace ENABLE ROW LEVEL SECURITY;

ALTER TABLE log.traffic ENABLE ROW LEVEL SECURITY;

CREATE POLICY web_changes ON log.audit USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON log.destination_count USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON log.dmarc_count USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON log.dmarc_report USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON log.dmarc_report_row USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON log.domain_count USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON log.domain_storage USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON log.event USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON log.gauge USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON log.mail_count USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON log.tls_count USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON log.trace USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON log.traffic USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_domain_sees ON log.audit FOR SELECT USING (((table_name = ANY (ARRAY['directory.account'::text, 'directory.alias'::text])) AND ((COALESCE(new, old) ->> 'domain_id'::text) = (( SELECT logic.web_domain() AS web_domain))::text) AND ((COALESCE(old, new) ->> 'domain_id'::text) = (( SELECT logic.web_domain() AS web_domain))::text)));

CREATE POLICY web_domain_sees ON log.domain_count FOR SELECT USING ((domain_id = ( SELECT logic.web_domain() AS web_domain)));

CREATE POLICY web_domain_sees ON log.domain_storage FOR SELECT USING ((domain_id = ( SELECT logic.web_domain() AS web_domain)));

CREATE POLICY web_domain_sees ON log.trace FOR SELECT USING (((( SELECT logic.web_domain() AS web_domain) IS NOT NULL) AND logic.web_has_trace(message, recipient, account_id)));

CREATE POLICY web_sees ON log.audit FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON log.destination_count FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON log.dmarc_count FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON log.dmarc_report FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON log.dmarc_report_row FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON log.domain_count FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON log.domain_storage FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON log.event FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON log.gauge FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON log.mail_count FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON log.tls_count FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON log.trace FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON log.traffic FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

ALTER TABLE queue.attempt ENABLE ROW LEVEL SECURITY;

ALTER TABLE queue.destination ENABLE ROW LEVEL SECURITY;

ALTER TABLE queue.message ENABLE ROW LEVEL SECURITY;

ALTER TABLE queue.recipient ENABLE ROW LEVEL SECURITY;

CREATE POLICY report_sees ON queue.attempt FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON queue.destination FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON queue.message FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON queue.recipient FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON queue.sts_policy FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

ALTER TABLE queue.sts_policy ENABLE ROW LEVEL SECURITY;

CREATE POLICY web_changes ON queue.attempt USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON queue.destination USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON queue.message USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON queue.recipient USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON queue.sts_policy USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_domain_sees ON queue.attempt FOR SELECT USING (((( SELECT logic.web_domain() AS web_domain) IS NOT NULL) AND (logic.web_has_account(account_id) OR logic.web_has_address(recipient))));

CREATE POLICY web_domain_sees ON queue.recipient FOR SELECT USING (((( SELECT logic.web_domain() AS web_domain) IS NOT NULL) AND (logic.web_has_address(address) OR logic.web_has_queued(message_id))));

CREATE POLICY web_sees ON queue.attempt FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON queue.destination FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON queue.message FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON queue.recipient FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON queue.sts_policy FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

ALTER TABLE screen.greylist ENABLE ROW LEVEL SECURITY;

ALTER TABLE screen.greylist_network ENABLE ROW LEVEL SECURITY;

CREATE POLICY report_sees ON screen.greylist FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY report_sees ON screen.greylist_network FOR SELECT USING (( SELECT logic.report_sees() AS report_sees));

CREATE POLICY web_changes ON screen.greylist USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_changes ON screen.greylist_network USING (( SELECT logic.web_changes() AS web_changes)) WITH CHECK (( SELECT logic.web_changes() AS web_changes));

CREATE POLICY web_sees ON screen.greylist FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

CREATE POLICY web_sees ON screen.greylist_network FOR SELECT USING (( SELECT logic.web_sees() AS web_sees));

ALTER TABLE store.acl ENABLE ROW LEVEL SECURITY;

CREATE POLICY added ON store.metadata FOR INSERT WITH CHECK ((logic.has_room_for_value(account_id, mailbox_id, user_id, octet_length(value)) AND
CASE
    WHEN (user_id = 0) THEN ((account_id, mailbox_id) IN ( SELECT allowed.account_id,
        allowed.mailbox_id
       FROM logic.allowed('lw'::text) allowed(account_id, mailbox_id)))
    ELSE ((user_id = ( SELECT logic.me() AS me)) AND (((mailbox_id = 0) AND (account_id = 0)) OR ((account_id, mailbox_id) IN ( SELECT allowed.account_id,
        allowed.mailbox_id
       FROM logic.allowed('l'::text, 'rswip'::text) allowed(account_id, mailbox_id)))))
END));

CREATE POLICY administered ON store.acl USING (((account_id = ANY (( SELECT logic.owners() AS owners)::bigint[])) AND ((account_id, mailbox_id) IN ( SELECT allowed.account_id,
    allowed.mailbox_id
   FROM logic.allowed('a'::text) allowed(account_id, mailbox_id)))));

ALTER TABLE store.content ENABLE ROW LEVEL SECURITY;

ALTER TABLE store.content_chunk ENABLE ROW LEVEL SECURITY;

CREATE POLICY deleted ON store.mailbox FOR DELETE USING (((name <> 'INBOX'::text) AND ((account_id, id) IN ( SELECT allowed.account_id,
    allowed.mailbox_id
   FROM logic.allowed('x'::text) allowed(account_id, mailbox_id)))));

ALTER TABLE store.expunged ENABLE ROW LEVEL SECURITY;

CREATE POLICY expunged ON store.message FOR DELETE USING (((account_id, mailbox_id) IN ( SELECT allowed.account_id,
    allowed.mailbox_id
   FROM logic.allowed('te'::text) allowed(account_id, mailbox_id))));

CREATE POLICY looked_up ON store.mailbox FOR SELECT USING (((account_id = ANY (( SELECT logic.owners() AS owners)::bigint[])) AND ((account_id, id) IN ( SELECT allowed.account_id,
    allowed.mailbox_id
   FROM logic.allowed('l'::text) allowed(account_id, mailbox_id)))));

CREATE POLICY made ON store.mailbox FOR INSERT WITH CHECK ((logic.may_make(account_id, name) AND logic.has_room_for_mailbox(account_id)));

ALTER TABLE store.mailbox ENABLE ROW LEVEL SECURITY;

CREATE POLICY marked ON store.message FOR UPDATE USING (((account_id, mailbox_id) IN ( SELECT allowed.account_id,
    allowed.mailbox_id
   FROM logic.allowed('r'::text, 'swt'::text) allowed(account_id, mailbox_id)))) WITH CHECK (((account_id, mailbox_id) IN ( SELECT allowed.account_id,
    allowed.mailbox_id
   FROM logic.allowed(''::text, 'swti'::text) allowed(account_id, mailbox_id))));

ALTER TABLE store.message ENABLE ROW LEVEL SECURITY;

ALTER TABLE store.metadata ENABLE ROW LEVEL SECURITY;

CREATE POLICY own ON store.subscription USING ((account_id = ( SELECT logic.me() AS me))) WITH CHECK (((account_id = ( SELECT logic.me() AS me)) AND logic.has_room_for_subscription(account_id)));

CREATE POLICY put ON store.message FOR INSERT WITH CHECK (((account_id, mailbox_id) IN ( SELECT allowed.account_id,
    allowed.mailbox_id
   FROM logic.allowed('i'::text) allowed(account_id, mailbox_id))));

CREATE POLICY read ON store.content FOR SELECT USING ((EXISTS ( SELECT 1
   FROM store.message m
  WHERE (m.content_id = content.id))));

CREATE POLICY read ON store.content_chunk FOR SELECT USING ((EXISTS ( SELECT 1
   FROM store.message m
  WHERE (m.content_id = content_chunk.content_id))));

CREATE POLICY read ON store.expunged FOR SELECT USING (((account_id = ANY (( SELECT logic.owners() AS owners)::bigint[])) AND ((account_id, mailbox_id) IN ( SELECT allowed.account_id,
    allowed.mailbox_id
   FROM logic.allowed('r'::text) allowed(account_id, mailbox_id)))));

CREATE POLICY read ON store.message FOR SELECT USING (((account_id = ANY (( SELECT logic.owners() AS owners)::bigint[])) AND ((account_id, mailbox_id) IN ( SELECT allowed.account_id,
    allowed.mailbox_id
   FROM logic.allowed('r'::text) allowed(account_id, mailbox_id)))));

CREATE POLICY read ON store.metadata FOR SELECT USING (((user_id = ANY (ARRAY[(0)::bigint, ( SELECT logic.me() AS me)])) AND (((mailbox_id = 0) AND (account_id = 0)) OR ((account_id, mailbox_id) IN ( SELECT allowed.account_id,
    allowed.mailbox_id
   FROM logic.allowed('l'::text, 'rswip'::text) allowed(account_id, mailbox_id))))));

CREATE POLICY removed ON store.metadata FOR DELETE USING (
CASE
    WHEN (user_id = 0) THEN ((account_id, mailbox_id) IN ( SELECT allowed.account_id,
        allowed.mailbox_id
       FROM logic.allowed('lw'::text) allowed(account_id, mailbox_id)))
    ELSE (user_id = ( SELECT logic.me() AS me))
END);

CREATE POLICY renamed ON store.mailbox FOR UPDATE USING (((name <> 'INBOX'::text) AND ((account_id, id) IN ( SELECT allowed.account_id,
    allowed.mailbox_id
   FROM logic.allowed('x'::text) allowed(account_id, mailbox_id))))) WITH CHECK (((name <> 'INBOX'::text) AND logic.may_make(account_id, name)));

ALTER TABLE store.subscription ENABLE ROW LEVEL SECURITY;

