-- Mailboxes that others may use: who may do what in them, public accounts, annotations, and SQL for people under the same rights.

alter table directory.account
  add column public boolean not null default false;
comment on column directory.account.public is 'A public account is nobody''s: it receives mail, nobody can log in, and its mailboxes are shown below Shared/ to those whom store.acl gives rights';

create table store.acl (
  account_id bigint not null,
  mailbox_id bigint not null,
  grantee_id bigint references directory.account on delete cascade,
  grantee_domain_id bigint references directory.domain on delete cascade,
  negative boolean not null default false,
  rights text collate "C" not null
    constraint "rights are some of the letters lrswipkxtena, in this order" check (
      rights <> '' and rights ~ '^l?r?s?w?i?p?k?x?t?e?n?a?$'),
  constraint "rights are given to an account or to a domain" check (num_nonnulls(grantee_id, grantee_domain_id) = 1),
  constraint "the owner of a mailbox has all rights in it" check (grantee_id <> account_id),
  constraint "this account or domain has an entry for this mailbox already" unique nulls not distinct (account_id, mailbox_id, grantee_id, grantee_domain_id, negative),
  foreign key (account_id, mailbox_id) references store.mailbox on delete cascade
);
create index acl_grantee on store.acl (grantee_id) where grantee_id is not null;
create index acl_grantee_domain on store.acl (grantee_domain_id) where grantee_domain_id is not null;
comment on table store.acl is 'Who may do what in the mailboxes of others (RFC 4314). The owner may do everything; the rights of all entries that are for somebody are added up, and what negative entries name is taken away';
comment on column store.acl.account_id is 'The owner of the mailbox';
comment on column store.acl.mailbox_id is 'The mailbox';
comment on column store.acl.grantee_id is 'The account that the entry is for';
comment on column store.acl.grantee_domain_id is 'Instead of an account: the entry is for all accounts of this domain. IMAP calls the owner''s own domain anyone, another one @example.test';
comment on column store.acl.negative is 'Whether these rights are taken away, whatever other entries give';
comment on column store.acl.rights is 'l see it, r read, s mark as read, w set other flags, i put mail into it, p (kept, not used), k make mailboxes below it, x delete or rename it, t mark as deleted, e expunge, n (kept, not used), a change these rights';

create table store.metadata (
  account_id bigint not null,
  mailbox_id bigint not null,
  user_id bigint not null,
  entry text collate "C" not null
    constraint "an entry is like /comment, in lower case" check (
      octet_length(entry) between 2 and 255 and entry ~ '^(/[^/*%[:cntrl:]]+)+$' and entry !~ '[A-Z]'),
  value bytea not null
    constraint "the value of an entry has up to 1048576 bytes" check (octet_length(value) <= 1048576),
  primary key (account_id, mailbox_id, user_id, entry)
);
create index metadata_user on store.metadata (user_id) where user_id <> 0;
comment on table store.metadata is 'Annotations of mailboxes, accounts and the server (RFC 5464)';
comment on column store.metadata.account_id is 'Whose mailbox it is; 0 = of the server';
comment on column store.metadata.mailbox_id is 'The mailbox; 0 = none: of the account or the server';
comment on column store.metadata.user_id is 'The account whose private value it is; 0 = shared by all who may read it';
comment on column store.metadata.entry is 'Name in lower case without /private or /shared in front, e.g. /comment';
comment on column store.metadata.value is 'The value';

alter table control.imap
  add column admin_contact text
    constraint "admin_contact is a URI, such as mailto:postmaster@example.test" check (
      admin_contact ~ '^[a-z][a-z0-9+.-]*:[!-~]+$' and octet_length(admin_contact) <= 1000),
  add column server_comment text
    constraint "server_comment has up to 1000 bytes" check (octet_length(server_comment) <= 1000),
  add column max_metadata_bytes integer not null default 65536
    constraint "max_metadata_bytes is from 0 to 65536" check (max_metadata_bytes between 0 and 65536),
  add column max_metadata_entries integer not null default 100
    constraint "max_metadata_entries is from 0 to 10000" check (max_metadata_entries between 0 and 10000);
comment on column control.imap.admin_contact is 'How the administrator is reached, as a URI such as mailto:postmaster@example.test: mail programs read it as /shared/admin (RFC 5464). Empty = not said';
comment on column control.imap.server_comment is 'A comment on this server that mail programs can show, read as /shared/comment (RFC 5464). Empty = none';
comment on column control.imap.max_metadata_bytes is 'Largest value of an annotation (METADATA), bytes';
comment on column control.imap.max_metadata_entries is 'Annotations that a mailbox may have shared, and that each user may have private on it';

create table directory.sql_login (
  role_name name primary key,
  account_id bigint not null references directory.account on delete cascade
);
create index sql_login_account on directory.sql_login (account_id);
comment on table directory.sql_login is 'SQL login roles of people: what they see and change in schema store is what their account may. The role must be a member of mailwright_user';
comment on column directory.sql_login.role_name is 'Name of the login role';
comment on column directory.sql_login.account_id is 'The account that it stands for';

-- What these may do is said by the policies in sql/logic/rights.sql. The owner of the tables, the daemon, is not subject to them.
alter table store.mailbox enable row level security;
alter table store.message enable row level security;
alter table store.content enable row level security;
alter table store.content_chunk enable row level security;
alter table store.subscription enable row level security;
alter table store.expunged enable row level security;
alter table store.acl enable row level security;
alter table store.metadata enable row level security;
