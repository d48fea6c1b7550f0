-- Logging in with a second factor; ordinary users see their own account in the pages.

create type control.second_factor_rule as enum ('none', 'system', 'everybody');

alter table control.web
  add column require_second_factor control.second_factor_rule not null default 'none';
comment on column control.web.require_second_factor is
  'Who needs a second factor (codes of an app) to log in to these pages: none, system administrators, or everybody. Who has none yet is led to its enrolment before anything else';

-- Second factors -----------------------------------------------------------------------------------------------

create table directory.second_factor (
  id bigint generated always as identity primary key,
  administrator text unique references control.administrator on update cascade on delete cascade,
  account_id bigint unique references directory.account on delete cascade,
  secret control.secret not null constraint "the secret is 20 bytes in base32" check (secret ~ '^[A-Z2-7]{32}$'),
  last_step bigint not null default 0,
  created_at timestamptz not null default now(),
  constraint "a second factor belongs to an administrator or to an account" check (num_nonnulls(administrator, account_id) = 1)
);
comment on table directory.second_factor is
  'Second factors of logins in the browser: time-based codes (RFC 6238; SHA-1, 6 digits, 30 seconds). Deleting a row lets its owner in with the password alone';
comment on column directory.second_factor.id is 'Number';
comment on column directory.second_factor.administrator is 'The administrator whose it is';
comment on column directory.second_factor.account_id is 'Or the account whose it is';
comment on column directory.second_factor.secret is 'The secret that the app shares, in base32';
comment on column directory.second_factor.last_step is 'The step of 30 seconds whose code was taken last: no code is taken twice, and none that is older';
comment on column directory.second_factor.created_at is 'Since when it is asked for';

create table directory.recovery_code (
  id bigint generated always as identity primary key,
  second_factor_id bigint not null references directory.second_factor on delete cascade,
  code_hash control.secret not null,
  used_at timestamptz
);
create index recovery_code_factor on directory.recovery_code (second_factor_id);
comment on table directory.recovery_code is 'Codes for a login without the app, each good for once';
comment on column directory.recovery_code.id is 'Number';
comment on column directory.recovery_code.second_factor_id is 'The second factor that it stands in for';
comment on column directory.recovery_code.code_hash is 'SHA-256 of the code, which has 80 random bits, in hexadecimal';
comment on column directory.recovery_code.used_at is 'When it was used; empty = it is still good';

-- Sessions of the browser --------------------------------------------------------------------------------------

alter table live.web_session
  add column awaits_code boolean not null default false,
  add column offered_secret control.secret,
  drop constraint web_session_kind_check,
  add constraint web_session_kind_check check (kind in ('system', 'auditor', 'domain', 'user'));
comment on table live.web_session is 'Logins in the browser; deleting a row ends that login';
comment on column live.web_session.kind is 'system, auditor, domain: a domain administrator, or user: an ordinary account';
comment on column live.web_session.account_id is 'The account of a domain administrator or user';
comment on column live.web_session.awaits_code is 'The password was right and the code is still to come: until then this login opens nothing';
comment on column live.web_session.offered_secret is 'A second factor that is being set up, until its first code has come';

-- What users may change themselves -----------------------------------------------------------------------------

alter table directory.domain
  add column users_may_forward boolean not null default true;
comment on column directory.domain.users_may_forward is 'Whether users of this domain may set up the forwarding of their own mail in the pages';
