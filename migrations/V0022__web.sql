-- Administration in the browser: who may administer, sessions of the browser, settings.

-- What an administrator may do ---------------------------------------------------------------------------------

create type control.administrator_role as enum ('system', 'auditor');

alter table control.administrator
  add column role control.administrator_role not null default 'system',
  add column must_change_password boolean not null default false;
comment on column control.administrator.role is 'system: may change everything; auditor: sees everything and changes nothing';
comment on column control.administrator.must_change_password is 'The next login leads to a new password before anything else';

comment on column directory.account.manages_domain is
  'Domain administrator: manages the accounts, aliases and quotas of its domain, but not the domain''s own limits';

create domain control.password as text;
comment on domain control.password is 'A new password: never shown. What is stored of it is its hash';

-- Settings -----------------------------------------------------------------------------------------------------

create table control.web (
  only_row boolean primary key default true check (only_row),
  require_tls boolean not null default true,
  idle_minutes integer not null default 30
    constraint "a session may be idle for 1 to 1440 minutes" check (idle_minutes between 1 and 1440),
  session_hours integer not null default 12
    constraint "a session lasts from 1 to 720 hours" check (session_hours between 1 and 720)
);
comment on table control.web is 'Settings of the web pages';
comment on column control.web.require_tls is 'Whether passwords are taken over HTTPS only. From this host itself (127.0.0.1, ::1) HTTP will always do';
comment on column control.web.idle_minutes is 'After so long without a click an administrator has to log in again';
comment on column control.web.session_hours is 'After so long an administrator has to log in again, whatever he did';
insert into control.web default values;

insert into control.listener (service, port, tls) values ('webmail', 80, 'none'), ('webmail', 443, 'implicit')
on conflict do nothing;
update control.service set enabled = true where name = 'webmail';

-- Sessions of the browser --------------------------------------------------------------------------------------

create unlogged table live.web_session (
  id bigint generated always as identity primary key,
  token_hash bytea not null unique check (octet_length(token_hash) = 32),
  kind text not null check (kind in ('system', 'auditor', 'domain')),
  login text not null,
  account_id bigint,
  peer inet not null,
  browser text,
  since timestamptz not null default now(),
  seen_at timestamptz not null default now()
);
comment on table live.web_session is 'Logins of administrators in the browser; deleting a row ends that login';
comment on column live.web_session.token_hash is 'SHA-256 of what the cookie says';
comment on column live.web_session.kind is 'system, auditor, or domain: a domain administrator';
comment on column live.web_session.login is 'Who: the administrator''s name, or the address of the account';
comment on column live.web_session.account_id is 'The account of a domain administrator';
comment on column live.web_session.peer is 'Address of the browser at the login';
comment on column live.web_session.browser is 'What the browser says it is';
comment on column live.web_session.since is 'When the login was';
comment on column live.web_session.seen_at is 'Last page';
