-- Makes the roles for people's SQL, for the web pages and for reports, where they are missing (they belong to the whole cluster), and
-- grants them what they need, where they have nothing yet. Returns for each why that could not be done.
select case
  when to_regrole('mailwright_user') is null or not has_schema_privilege('mailwright_user', 'store', 'usage')
  then logic.arrange_user_role() end,
case
  when to_regrole('mailwright_web') is null or not has_schema_privilege('mailwright_web', 'admin', 'usage')
  then logic.arrange_web_role() end,
case
  when to_regrole('mailwright_report') is null
    or (select pg_get_userbyid(proowner) from pg_proc where oid = 'logic.run_report(text,text[],integer,bigint)'::regprocedure) <> 'mailwright_report'
  then logic.arrange_report_role() end
