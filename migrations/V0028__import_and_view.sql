-- Users from a file, and looking into a user's mailbox.

-- Users from a file --------------------------------------------------------------------------------------------

create type live.import_state as enum ('checked', 'importing', 'done', 'failed');

create unlogged table live.user_import (
  session_id bigint primary key references live.web_session on delete cascade,
  state live.import_state not null default 'checked',
  sealed bytea constraint "what is to be imported has at most 32 MiB" check (octet_length(sealed) <= 32 << 20),
  report jsonb not null,
  total integer not null,
  hashed integer not null default 0,
  said text,
  created_at timestamptz not null default now(),
  touched_at timestamptz not null default now()
);
comment on table live.user_import is 'Files with users that somebody is importing in the browser; gone with his login, and after an hour';
comment on column live.user_import.session_id is 'The login that brought it: nobody else imports it';
comment on column live.user_import.state is 'checked, importing, done or failed';
comment on column live.user_import.sealed is 'The users, passwords included, encrypted with a key that only the cookie of that login knows; empty when it is over';
comment on column live.user_import.report is 'What was found when it was checked, without passwords';
comment on column live.user_import.total is 'Passwords to be hashed';
comment on column live.user_import.hashed is 'Passwords that are';
comment on column live.user_import.said is 'What came of it';
comment on column live.user_import.created_at is 'When it was brought';
comment on column live.user_import.touched_at is 'Last sign of life of the node that imports it';

-- Looking into a mailbox ---------------------------------------------------------------------------------------

alter table control.web
  add column mailbox_view_minutes integer not null default 15
    constraint "a view of a mailbox lasts from 1 to 240 minutes" check (mailbox_view_minutes between 1 and 240);
comment on column control.web.mailbox_view_minutes is
  'After so long an administrator who looks into a user''s mailbox has to give his reason again';

alter table directory.domain
  add column administrators_read_mail boolean not null default false;
comment on column directory.domain.administrators_read_mail is
  'Whether domain administrators may look into the mailboxes of this domain''s users. System administrators may; each look leaves a row in log.audit';

create unlogged table live.mailbox_view (
  session_id bigint not null references live.web_session on delete cascade,
  account_id bigint not null references directory.account on delete cascade,
  reason text not null constraint "a reason has 3 to 500 characters" check (char_length(btrim(reason)) between 3 and 500),
  since timestamptz not null default now(),
  primary key (session_id, account_id)
);
create index mailbox_view_account on live.mailbox_view (account_id);
comment on table live.mailbox_view is 'Mailboxes that administrators look into; deleting a row ends the view';
comment on column live.mailbox_view.session_id is 'The login that looks';
comment on column live.mailbox_view.account_id is 'Whose mailbox';
comment on column live.mailbox_view.reason is 'Why';
comment on column live.mailbox_view.since is 'Since when';

alter table log.audit
  drop constraint audit_action_check,
  add constraint audit_action_check check (action in ('insert', 'update', 'delete', 'view'));
comment on column log.audit.action is 'insert, update or delete; view: an administrator looked into a mailbox';
comment on table log.audit is 'Every change of settings and directory, and every look into a mailbox: who, from where, what; control.undo(id) takes a change back';
