-- Names: which name servers are asked, how long, and what is believed of their answers.

create type control.dnssec as enum ('off', 'trust', 'validate');

create function control.are_name_servers(servers text[]) returns boolean
language sql immutable parallel safe as $$
  select coalesce(bool_and(
    control.is_ip_address(s)
    or coalesce(s ~ ':[0-9]{1,5}$' and control.is_ip_address(regexp_replace(s, '^\[?(.*?)\]?:[0-9]+$', '\1'))
      and (s ~ '^\[' or s !~ ':.*:') and substring(s from '[0-9]+$')::integer between 1 and 65535, false)), true)
  from unnest(servers) s
$$;

create table control.dns (
  only_row boolean primary key default true check (only_row),
  servers text[] not null default '{}'
    constraint "a name server is like 127.0.0.1, 10.0.0.1:5353, ::1 or [::1]:5353" check (
      control.are_name_servers(servers) and array_position(servers, null) is null and cardinality(servers) <= 16),
  timeout_milliseconds integer not null default 3000
    constraint "a name server is given from 100 to 60000 milliseconds" check (timeout_milliseconds between 100 and 60000),
  attempts integer not null default 3
    constraint "a question is asked from 1 to 10 times" check (attempts between 1 and 10),
  dnssec control.dnssec not null default 'validate',
  cache_entries integer not null default 10000
    constraint "the cache of names has from 100 to 1000000 entries" check (cache_entries between 100 and 1000000)
);
comment on table control.dns is 'How names are looked up';
comment on column control.dns.servers is 'Name servers, as addresses with or without a port: 127.0.0.1, 10.0.0.1:5353, [::1]:5353. Empty = those of the system (/etc/resolv.conf)';
comment on column control.dns.timeout_milliseconds is 'How long one question waits for its answer';
comment on column control.dns.attempts is 'How often a question is asked before it has failed for now';
comment on column control.dns.dnssec is 'What makes an answer authentic, which DANE needs. validate: its signatures, checked here; trust: the name servers say so (AD), right for a validating resolver on this host or a network nobody else is in; off: nothing does';
comment on column control.dns.cache_entries is 'How many answers are kept in memory, each for as long as its TTL allows';
insert into control.dns default values;

-- What TLS must be when mail goes out.

create table control.relay_tls (
  only_row boolean primary key default true check (only_row),
  dane boolean not null default true,
  mta_sts boolean not null default true,
  mta_sts_port control.port not null default 443,
  extra_roots text not null default ''
    constraint "additional roots are certificates in PEM" check (
      extra_roots = '' or extra_roots like '%-----BEGIN CERTIFICATE-----%' and length(extra_roots) <= 1048576)
);
comment on table control.relay_tls is 'How connections to other mail servers are secured';
comment on column control.relay_tls.dane is 'Whether a host''s TLSA records are obeyed (DANE, RFC 7672) where DNSSEC vouches for them; see control.dns.dnssec';
comment on column control.relay_tls.mta_sts is 'Whether domains'' MTA-STS policies (RFC 8461) are fetched and obeyed';
comment on column control.relay_tls.mta_sts_port is 'The port on which policies are fetched: 443, unless a proxy or a test stands elsewhere';
comment on column control.relay_tls.extra_roots is 'Certificates of authorities to trust beside those of the system, PEM: for partners with an authority of their own';
insert into control.relay_tls default values;

create table queue.sts_policy (
  domain text primary key,
  policy_id text not null,
  mode text not null constraint "an MTA-STS mode is enforce, testing or none" check (mode in ('enforce', 'testing', 'none')),
  mx text[] not null,
  max_age integer not null constraint "max_age is from 0 to 31557600 seconds" check (max_age between 0 and 31557600),
  fetched_at timestamptz not null default now()
);
comment on table queue.sts_policy is 'MTA-STS policies of other domains as last fetched; one that has not expired is obeyed even while its domain''s web server is away. Delete a row to have it fetched anew';
comment on column queue.sts_policy.domain is 'The domain that mail is for';
comment on column queue.sts_policy.policy_id is 'The id of its _mta-sts TXT record when the policy was fetched; another one means that there is a new policy';
comment on column queue.sts_policy.mode is 'enforce: mail waits rather than go to a server that does not comply; testing: it goes; none: the domain has given up its policy';
comment on column queue.sts_policy.mx is 'Names that the domain''s mail servers may have; *. stands for one label';
comment on column queue.sts_policy.max_age is 'How long the policy holds from the moment it was fetched, in seconds';
comment on column queue.sts_policy.fetched_at is 'When it was fetched';
