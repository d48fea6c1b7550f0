-- Comments that were missing: they are the help in the pages, and the text of docs/sql.md.

do $$
declare c record;
begin
  for c in
    select a.attrelid::regclass as of_table, a.attname,
      case
        when a.attname = 'only_row' then 'Always true: there is one row'
        when a.attname = 'id' then 'Number of the row'
        when a.attname = 'account_id' then 'The account'
        when a.attname = 'mailbox_id' then 'The mailbox'
        when a.attname = 'content_id' then 'The content, a row of store.content'
        when a.attname = 'message_id' and k.relname = 'recipient' then 'The message, a row of queue.message' end as words
    from pg_attribute a
    join pg_class k on k.oid = a.attrelid and k.relkind = 'r'
    join pg_namespace n on n.oid = k.relnamespace
    where n.nspname in ('control', 'directory', 'store', 'queue', 'screen', 'live', 'log')
      and a.attnum > 0 and not a.attisdropped and col_description(a.attrelid, a.attnum) is null
  loop
    if c.words is not null then
      execute format('comment on column %s.%I is %L', c.of_table, c.attname, c.words);
    end if;
  end loop;
end $$;

comment on column live.session.id is 'Number of the session, as log.event and log.trace call it';
comment on column store.mailbox.id is 'Number of the mailbox: MAILBOXID of IMAP (RFC 8474) is made of it';
comment on column store.batch.id is 'Name of the batch';
