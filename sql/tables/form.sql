-- The row of page $1 with key $2 as a form.
select logic.page_form($1, $2)
