-- The row of page $1 with key $2.
select logic.page_row($1, $2)
