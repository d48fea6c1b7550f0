-- All that is known of page $1.
select logic.page($1)
