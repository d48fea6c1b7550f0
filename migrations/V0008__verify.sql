-- Authentication of mail: what incoming mail must prove, what follows from it, keys that sign outgoing mail, DMARC reports.

create table control.authentication (
  only_row boolean primary key default true check (only_row),
  check_incoming boolean not null default true,
  timeout_seconds integer not null default 10
    constraint "the checks of a message may take from 1 to 60 seconds" check (timeout_seconds between 1 and 60),
  max_signatures integer not null default 10
    constraint "from 1 to 50 signatures of a message are looked at" check (max_signatures between 1 and 50),
  received_spf boolean not null default true,
  seal_forwarded boolean not null default true
);
comment on table control.authentication is 'How mail from other servers is checked: iprev, SPF, DKIM, DMARC, ARC';
comment on column control.authentication.check_incoming is 'Whether mail from other servers is checked at all';
comment on column control.authentication.timeout_seconds is 'How long all checks of one message may take; a check that is not done then counts as a temporary error';
comment on column control.authentication.max_signatures is 'DKIM signatures of one message that are looked at; the rest is ignored';
comment on column control.authentication.received_spf is 'Whether a Received-SPF field (RFC 7208, 9.1) is added besides Authentication-Results';
comment on column control.authentication.seal_forwarded is 'Whether mail that an alias sends on to other servers gets an ARC seal (RFC 8617) with the active DKIM key of the alias'' domain';
insert into control.authentication default values;

create table control.authentication_policy (
  method text not null,
  result text not null,
  action text not null default 'accept'
    constraint "an action is accept, mark, junk or reject" check (action in ('accept', 'mark', 'junk', 'reject')),
  primary key (method, result),
  constraint "this method has no such result" check (
    case method
      when 'spf' then result in ('pass', 'none', 'neutral', 'softfail', 'fail', 'temperror', 'permerror')
      when 'helo' then result in ('pass', 'none', 'neutral', 'softfail', 'fail', 'temperror', 'permerror')
      when 'dkim' then result in ('pass', 'none', 'neutral', 'fail', 'temperror', 'permerror')
      when 'dmarc' then result in ('pass', 'none', 'fail-none', 'fail-quarantine', 'fail-reject', 'temperror', 'permerror')
      when 'arc' then result in ('pass', 'none', 'fail', 'temperror')
      when 'iprev' then result in ('pass', 'fail', 'temperror', 'permerror')
      else false
    end)
);
comment on table control.authentication_policy is 'What becomes of mail by what a check has found; of several actions the strongest counts. What has no row is accepted';
comment on column control.authentication_policy.method is 'spf (the sender''s domain), helo (SPF of the name a server gives itself), dkim, dmarc, arc, or iprev (reverse DNS)';
comment on column control.authentication_policy.result is 'What the check found. For dmarc the failure and the policy that the domain has published: fail-reject, fail-quarantine, fail-none';
comment on column control.authentication_policy.action is 'accept; mark (a field X-Mailwright-Auth is added); junk (delivered to Junk); reject (550, or 451 where the result is a temporary error)';
insert into control.authentication_policy (method, result, action) values
  ('dmarc', 'fail-reject', 'reject'), ('dmarc', 'fail-quarantine', 'junk'), ('dmarc', 'fail-none', 'accept'),
  ('dmarc', 'permerror', 'accept'), ('dmarc', 'temperror', 'accept'), ('dmarc', 'none', 'accept'),
  ('spf', 'fail', 'accept'), ('spf', 'softfail', 'accept'), ('spf', 'permerror', 'accept'), ('spf', 'temperror', 'accept'),
  ('helo', 'fail', 'accept'), ('dkim', 'fail', 'accept'), ('dkim', 'none', 'accept'), ('arc', 'fail', 'accept'),
  ('iprev', 'fail', 'accept'), ('iprev', 'permerror', 'accept');

create table control.trusted_sealer (
  domain control.hostname primary key,
  comment text
);
comment on table control.trusted_sealer is 'Forwarders and mailing lists whose ARC seal is believed: mail that failed DMARC on the way is accepted when the last seal is theirs and says that it had passed there';
comment on column control.trusted_sealer.domain is 'The domain that seals (d= of ARC-Seal)';
comment on column control.trusted_sealer.comment is 'A note for administrators';

create table control.dkim (
  only_row boolean primary key default true check (only_row),
  sign boolean not null default true,
  rsa_bits integer not null default 2048
    constraint "an RSA key for DKIM has 2048, 3072 or 4096 bits" check (rsa_bits in (2048, 3072, 4096)),
  rotate_days integer not null default 0
    constraint "rotate_days is 0 (never) or from 7 to 3650" check (rotate_days = 0 or rotate_days between 7 and 3650),
  overlap_days integer not null default 14
    constraint "overlap_days is from 1 to 365" check (overlap_days between 1 and 365)
);
comment on table control.dkim is 'How the mail of our users is signed (DKIM, RFC 6376)';
comment on column control.dkim.sign is 'Whether mail that users send is signed with the active keys of the sender''s domain';
comment on column control.dkim.rsa_bits is 'Size of new RSA keys';
comment on column control.dkim.rotate_days is 'A new key is made when the active one is so old, and used as soon as its DNS record is there; 0 = only when you ask for it';
comment on column control.dkim.overlap_days is 'How long the DNS record of a retired key must stay: mail signed with it is still under way. Its row is deleted then';
insert into control.dkim default values;

create table control.dmarc (
  only_row boolean primary key default true check (only_row),
  report_from text
    constraint "report_from is an address like dmarc@example.test" check (report_from ~ '^[^@[:space:]<>]+@[^@[:space:]<>]+$'),
  organization text constraint "the organization's name has from 1 to 200 characters" check (length(organization) between 1 and 200),
  receive_at text
    constraint "receive_at is an address like dmarc@example.test" check (receive_at ~ '^[^@[:space:]<>]+@[^@[:space:]<>]+$'),
  keep_days integer not null default 400
    constraint "keep_days is from 1 to 3650" check (keep_days between 1 and 3650)
);
comment on table control.dmarc is 'Aggregate reports (RFC 7489, 7.2): those that we send, and those that we receive';
comment on column control.dmarc.report_from is 'Sender of the reports that domains ask for (rua=) and get once a day; empty = none are sent';
comment on column control.dmarc.organization is 'Name of the organization in reports; empty = the server''s name';
comment on column control.dmarc.receive_at is 'Local address whose mail is read for reports about your domains, besides being delivered; name it in the rua= of your DMARC records';
comment on column control.dmarc.keep_days is 'How long received reports are kept';
insert into control.dmarc default values;

create table directory.dkim_key (
  id bigint generated by default as identity primary key,
  domain_id bigint not null references directory.domain on delete cascade,
  selector text not null
    constraint "a selector has letters, digits and hyphens" check (
      length(selector) <= 63 and selector ~ '^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$'),
  algorithm text not null default 'rsa-sha256'
    constraint "the algorithm is rsa-sha256 or ed25519-sha256" check (algorithm in ('rsa-sha256', 'ed25519-sha256')),
  state text not null default 'making'
    constraint "a key is making, ready, active or retired" check (state in ('making', 'ready', 'active', 'retired')),
  private_key control.secret constraint "a private key is PKCS #8 in PEM" check (private_key like '%-----BEGIN PRIVATE KEY-----%'),
  public_key text constraint "a public key is base64, as in p=" check (public_key ~ '^[A-Za-z0-9+/]+=*$'),
  activate_when_published boolean not null default false,
  error text,
  created_at timestamptz not null default now(),
  activated_at timestamptz,
  retired_at timestamptz,
  constraint "this domain has a key with this selector already" unique (domain_id, selector),
  constraint "a key that is not being made has both its halves" check (
    state = 'making' or private_key is not null and public_key is not null)
);
comment on table directory.dkim_key is 'Keys that sign mail (DKIM, ARC). Make one with directory.make_dkim_key(''example.test''), publish what report.dkim_record shows, then directory.activate_dkim_key(id)';
comment on column directory.dkim_key.domain_id is 'The domain that signs';
comment on column directory.dkim_key.selector is 'Names the key in the DNS: selector._domainkey.domain';
comment on column directory.dkim_key.algorithm is 'rsa-sha256 or ed25519-sha256; a domain may sign with one key of each';
comment on column directory.dkim_key.state is 'making: the server makes it, or reads the private key you gave; ready: publish its DNS record; active: signs; retired: signs no more, its record stays for control.dkim.overlap_days';
comment on column directory.dkim_key.private_key is 'PKCS #8 in PEM; give your own with a new row, or let the server make one';
comment on column directory.dkim_key.public_key is 'As it stands in the DNS record behind p=';
comment on column directory.dkim_key.activate_when_published is 'Whether the server makes it active by itself as soon as its DNS record is there';
comment on column directory.dkim_key.error is 'Why the server cannot use the private key that was given';
comment on column directory.dkim_key.created_at is 'When it was made';
comment on column directory.dkim_key.activated_at is 'When it began to sign';
comment on column directory.dkim_key.retired_at is 'When it was retired';

-- What we saw, to be reported ----------------------------------------------------------------------------------

create table log.dmarc_count (
  day date not null,
  domain text not null,
  policy_domain text not null,
  rua text[] not null,
  policy jsonb not null,
  peer inet not null,
  disposition text not null,
  overridden boolean not null,
  dkim_aligned text not null,
  spf_aligned text not null,
  envelope_from text not null,
  spf text not null,
  dkim jsonb not null,
  messages bigint not null,
  constraint dmarc_count_key primary key (day, domain, policy_domain, policy, peer, disposition, overridden, dkim_aligned, spf_aligned, envelope_from, spf, dkim)
);
comment on table log.dmarc_count is 'Mail seen from domains that ask for DMARC reports, counted until the report of its day is sent';
comment on column log.dmarc_count.day is 'The day, UTC';
comment on column log.dmarc_count.domain is 'Domain in From';
comment on column log.dmarc_count.policy_domain is 'Domain whose DMARC record applies';
comment on column log.dmarc_count.rua is 'Where its record wants reports';
comment on column log.dmarc_count.policy is 'What its record says: policies and alignment';
comment on column log.dmarc_count.peer is 'Server that sent the mail';
comment on column log.dmarc_count.disposition is 'What was done: none, quarantine or reject';
comment on column log.dmarc_count.overridden is 'Whether less was done than the policy asks for';
comment on column log.dmarc_count.dkim_aligned is 'pass or fail: DKIM, with alignment';
comment on column log.dmarc_count.spf_aligned is 'pass or fail: SPF, with alignment';
comment on column log.dmarc_count.envelope_from is 'Domain of the envelope sender';
comment on column log.dmarc_count.spf is 'Result of SPF';
comment on column log.dmarc_count.dkim is 'Signatures: domain, selector, result';
comment on column log.dmarc_count.messages is 'How many messages';

-- What others saw of our domains --------------------------------------------------------------------------------

create table log.dmarc_report (
  id bigint generated by default as identity primary key,
  received_at timestamptz not null default now(),
  organization text not null,
  email text,
  report_id text not null,
  domain text not null,
  begins timestamptz not null,
  ends timestamptz not null,
  policy text not null,
  constraint "a report is kept once" unique (organization, report_id, domain)
);
comment on table log.dmarc_report is 'DMARC aggregate reports about your domains, from those who received their mail';
comment on column log.dmarc_report.received_at is 'When it came in';
comment on column log.dmarc_report.organization is 'Who reports';
comment on column log.dmarc_report.email is 'Whom to ask there';
comment on column log.dmarc_report.report_id is 'What the reporter calls it';
comment on column log.dmarc_report.domain is 'Which domain it is about';
comment on column log.dmarc_report.begins is 'First moment it covers';
comment on column log.dmarc_report.ends is 'Last moment it covers';
comment on column log.dmarc_report.policy is 'Policy that the reporter found: none, quarantine or reject';
create index dmarc_report_domain on log.dmarc_report (domain, begins);

create table log.dmarc_report_row (
  report_id bigint not null references log.dmarc_report on delete cascade,
  number integer not null,
  peer inet,
  messages bigint not null,
  disposition text not null,
  dkim_aligned text not null,
  spf_aligned text not null,
  header_from text not null,
  envelope_from text,
  primary key (report_id, number)
);
comment on table log.dmarc_report_row is 'The rows of DMARC aggregate reports: which server sent how much, and whether it passed';
comment on column log.dmarc_report_row.report_id is 'The report';
comment on column log.dmarc_report_row.number is 'Place in the report';
comment on column log.dmarc_report_row.peer is 'Server that sent the mail';
comment on column log.dmarc_report_row.messages is 'How many messages';
comment on column log.dmarc_report_row.disposition is 'What was done with them: none, quarantine or reject';
comment on column log.dmarc_report_row.dkim_aligned is 'pass or fail: DKIM, with alignment';
comment on column log.dmarc_report_row.spf_aligned is 'pass or fail: SPF, with alignment';
comment on column log.dmarc_report_row.header_from is 'Domain in From';
comment on column log.dmarc_report_row.envelope_from is 'Domain of the envelope sender';
