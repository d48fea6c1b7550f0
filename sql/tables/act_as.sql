-- For this transaction: the role of the web pages, for an administrator of kind $1, called $2, with account $3, from $4. Changes
-- are noted and obeyed like those of any person. What they ask is planned for reading much, unlike what the daemon asks for itself.
select set_config('mailwright.daemon', 'off', true), set_config('mailwright.kind', $1, true), set_config('mailwright.actor', $2, true),
  set_config('mailwright.account', $3, true), set_config('mailwright.peer', $4, true), set_config('application_name', 'web pages', true),
  set_config('statement_timeout', (select w.search_seconds from control.web w) || 's', true), set_config('enable_seqscan', 'on', true), set_config('role', 'mailwright_web', true)
