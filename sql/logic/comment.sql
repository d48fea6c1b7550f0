-- Comments are the help in the pages and the text of docs/sql.md: `mailwright docs` refuses to leave any out.

comment on schema logic is 'How it works inside: functions, triggers, and what the policies ask. Not for people, and rebuilt with each version';
comment on schema report is 'What there is and what has happened, for people and their reporting tools: views whose names and columns stay';

-- What the columns of a view lack of comments is taken from the columns of that name of a table.
create function logic.take_comments(of_view regclass, of_table regclass) returns void language plpgsql as $$
declare c record;
begin
  for c in
    select a.attname, col_description(of_table, b.attnum) as words
    from pg_attribute a join pg_attribute b on b.attrelid = of_table and b.attname = a.attname and b.attnum > 0 and not b.attisdropped
    where a.attrelid = of_view and a.attnum > 0 and col_description(of_view, a.attnum) is null
  loop
    execute format('comment on column %s.%I is %L', of_view, c.attname, c.words);
  end loop;
end $$;
