-- For this transaction: what comes next may take a while.
select set_config('statement_timeout', '5min', true)
