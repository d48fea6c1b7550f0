-- The two designs, each in a schema of its own: store.message as it is with the log, and the same with an index on modseq.
-- 100,000 messages in 100 mailboxes, one of each account, with a prefix of the usual size.
do $$
declare
  design text;
  options text := (select array_to_string(reloptions, ', ') from pg_class where oid = 'store.message'::regclass);
  mailbox_options text := (select array_to_string(reloptions, ', ') from pg_class where oid = 'store.mailbox'::regclass);
begin
  foreach design in array array['with_log', 'with_index'] loop
    execute format('create schema %I', design);
    execute format('create table %I.mailbox (like store.mailbox including all) with (%s)', design, mailbox_options);
    execute format('create table %I.message (like store.message including all) with (%s)', design, options);
    execute format('create table %I.change (like store.change including all)', design);
    execute format('insert into %I.mailbox (account_id, id, name, uid_validity, uid_next)
      select n, n, ''INBOX'', 1, 1001 from generate_series(1, 100) n', design);
    execute format('insert into %I.message (account_id, mailbox_id, uid, content_id, modseq, size, prefix)
      select n, n, uid, (uid - 1) * 100 + n, 1, 10240, convert_to(repeat(''x'', 200), ''UTF8'')
      from generate_series(1, 1000) uid, generate_series(1, 100) n', design);
  end loop;
end $$;
create index message_modseq on with_index.message (account_id, mailbox_id, modseq);
