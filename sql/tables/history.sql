-- What was changed in the row of page $1 with key $2.
select logic.page_history($1, $2)
