-- Makes the role for people's SQL, if it is missing (it belongs to the whole cluster), and grants it what it needs, if it
-- has nothing yet. Returns why that could not be done.
select case
  when to_regrole('mailwright_user') is null or not has_schema_privilege('mailwright_user', 'store', 'usage')
  then logic.arrange_user_role() end
