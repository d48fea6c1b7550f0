-- Reports to other domains about the TLS of their mail servers (RFC 8460).

alter table control.relay_tls add column report_from text
  constraint "report_from is an address like tls-reports@example.test" check (report_from ~ '^[^@[:space:]<>]+@[^@[:space:]<>]+$'),
  add column report_organization text
  constraint "report_organization is from 1 to 200 characters" check (length(report_organization) between 1 and 200);
comment on column control.relay_tls.report_from is 'Sender of the reports about their TLS that domains ask for (_smtp._tls) and get once a day; empty = none are sent';
comment on column control.relay_tls.report_organization is 'Who sends these reports; empty = the server''s name';

create table log.tls_count (
  day date not null,
  domain text not null,
  policy_type text not null constraint "a policy is of type tlsa, sts or no-policy-found" check (policy_type in ('tlsa', 'sts', 'no-policy-found')),
  policy text not null,
  -- A policy may be longer than an index allows.
  policy_digest text not null generated always as (md5(policy)) stored,
  host text not null,
  address text not null,
  result text not null,
  reason text not null,
  sessions bigint not null,
  constraint tls_count_key primary key (day, domain, policy_type, policy_digest, host, address, result, reason)
);
comment on table log.tls_count is 'Connections to mail servers of domains that ask for TLS reports, counted until the report of their day is sent';
comment on column log.tls_count.day is 'The day, UTC';
comment on column log.tls_count.domain is 'Domain that mail was for';
comment on column log.tls_count.policy_type is 'What was obeyed: tlsa (DANE), sts (MTA-STS), or no-policy-found';
comment on column log.tls_count.policy is 'TLSA records, or the policy, line by line';
comment on column log.tls_count.policy_digest is 'MD5 of policy';
comment on column log.tls_count.host is 'Mail server';
comment on column log.tls_count.address is 'Its address; empty = there was no connection';
comment on column log.tls_count.result is 'success, or a result type of RFC 8460, 4.3';
comment on column log.tls_count.reason is 'What was wrong, in words; empty on success';
comment on column log.tls_count.sessions is 'How many connections';
