-- What the object ids, save dates, previews and authorized URLs of IMAP need.

-- Messages that are there already have been saved at a time that nobody noted.
alter table store.message add column saved_at timestamptz;
alter table store.message alter column saved_at set default now();
comment on column store.message.saved_at is 'When it was put into this mailbox (SAVEDATE, RFC 8514); empty where that was not noted';

alter table store.content add column thread_id text, add column preview text;
comment on column store.content.thread_id is 'The conversation it belongs to (THREADID, RFC 8474), made of the first message-id of References, In-Reply-To or Message-ID; '''' = none, empty = not worked out when it was stored';
comment on column store.content.preview is 'Beginning of its text, at most 200 characters (PREVIEW, RFC 8970); empty until somebody has asked for it';

-- No foreign key to the mailbox: a key belongs to whoever makes URLs, and the mailbox may be somebody else's.
create table store.url_key (
  account_id bigint not null references directory.account on delete cascade,
  mailbox_id bigint not null,
  key bytea not null
    constraint "a key of URLs has 32 bytes" check (octet_length(key) = 32),
  created_at timestamptz not null default now(),
  primary key (account_id, mailbox_id)
);
create index url_key_mailbox on store.url_key (mailbox_id);
comment on table store.url_key is 'With what the URLs are signed that an account has given away for messages in a mailbox (URLAUTH, RFC 4467); deleting a row makes all of them invalid';
comment on column store.url_key.key is 'The secret, 32 bytes';
comment on column store.url_key.created_at is 'When it was made';

alter table control.imap add column submission_accounts text[] not null default '{}';
comment on column control.imap.submission_accounts is 'Addresses of the accounts by which submission servers log in: they may fetch what URLs made for submission (submit+) lead to';
