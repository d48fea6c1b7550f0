-- What TLS must be when mail goes out: what the recipients' domains say about it, in DNS (DANE) and on the web (MTA-STS).

create table control.relay_tls (
  only_row boolean primary key default true check (only_row),
  dane boolean not null default true,
  mta_sts boolean not null default true,
  mta_sts_port control.port not null default 443
);
comment on table control.relay_tls is 'Which statements of other domains about their mail servers'' TLS are obeyed';
comment on column control.relay_tls.dane is 'Whether TLSA records are obeyed (DANE, RFC 7672) where DNSSEC vouches for them; see control.dns.dnssec';
comment on column control.relay_tls.mta_sts is 'Whether MTA-STS policies (RFC 8461) are fetched and obeyed, where there is no DANE';
comment on column control.relay_tls.mta_sts_port is 'Port on which policies are fetched: 443, unless a proxy stands elsewhere';
insert into control.relay_tls default values;

create table queue.sts_policy (
  domain text primary key,
  policy_id text not null,
  mode text not null constraint "an MTA-STS mode is enforce, testing or none" check (mode in ('enforce', 'testing', 'none')),
  mx text[] not null,
  max_age integer not null constraint "max_age is from 0 to 31557600 seconds" check (max_age between 0 and 31557600),
  fetched_at timestamptz not null default now()
);
comment on table queue.sts_policy is 'MTA-STS policies of other domains as last fetched. One that has not expired is obeyed even while its web server is away';
comment on column queue.sts_policy.domain is 'The domain that mail is for';
comment on column queue.sts_policy.policy_id is 'The id in its _mta-sts TXT record when the policy was fetched; another one there says that the policy is new';
comment on column queue.sts_policy.mode is 'enforce: mail waits rather than go to a server that does not comply; testing: it goes all the same; none: the domain has no policy any more';
comment on column queue.sts_policy.mx is 'Names that the domain''s mail servers may have; *. stands for one label';
comment on column queue.sts_policy.max_age is 'How long the policy holds from fetched_at on, in seconds';
comment on column queue.sts_policy.fetched_at is 'When it was fetched';
