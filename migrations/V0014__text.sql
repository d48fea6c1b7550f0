-- The text index: what SEARCH looks for, ready to be looked at. The daemon's background worker fills it; whatever is
-- not in it is read from the message itself.

create table store.text (
  content_id bigint primary key references store.content on delete cascade,
  version smallint not null,
  left_out text constraint "text is left out because it is too large or damaged" check (left_out in ('too large', 'damaged')),
  indexed_at timestamptz not null default now(),
  fields bytea,
  signature bytea
    constraint "a signature has 64 to 4096 bytes, a power of two" check (octet_length(signature) in (64, 128, 256, 512, 1024, 2048, 4096)),
  text bytea
);
-- The search goes through fields and signatures of a whole mailbox: they stay in the row, the text goes out of it.
alter table store.text alter fields set storage plain, alter signature set storage plain, alter text set storage external;
comment on table store.text is 'The text index: the text of each content as SEARCH sees it, made by the server in the background. Rows may be deleted: they are made again, and what is missing is read from the message';
comment on column store.text.version is 'How the text was made; the server makes it anew when it has learned to do it better';
comment on column store.text.left_out is 'Why there is no text, so that the message itself is read by each search: it is too large, or damaged; empty = the text is there';
comment on column store.text.indexed_at is 'When the row was made';
comment on column store.text.fields is 'Date, From, To, Cc, Bcc and Subject, decoded, in the daemon''s own form';
comment on column store.text.signature is 'Bits that say which strings are not in the text; empty = the text is too long for that';
comment on column store.text.text is 'Header and text parts, decoded and in lower case, zstd, in the daemon''s own form';

alter table control.store
  add column index_text boolean not null default true,
  add column index_text_max_bytes integer not null default 1048576
    constraint "index_text_max_bytes is from 65536 to 16777216" check (index_text_max_bytes between 65536 and 16777216);
comment on column control.store.index_text is 'Whether the text of mail is indexed in the background, so that searches in large mailboxes are fast. Search finds the same without';
comment on column control.store.index_text_max_bytes is 'Messages with more text than this are not indexed, but read by each search; bytes of header and text parts';
