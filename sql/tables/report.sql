-- All that is known of report $1.
select logic.report($1)
