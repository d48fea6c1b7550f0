-- For a transaction that is about to run a report: it may take $1, and the query is understood as the role of reports.
select set_config('statement_timeout', $1, true), set_config('lock_timeout', '5s', true), set_config('timezone', 'UTC', true),
  set_config('search_path', 'pg_catalog, pg_temp', true), set_config('application_name', 'report', true), set_config('enable_seqscan', 'on', true),
  set_config('role', 'mailwright_report', true)
