-- Stores $4 on page $1: a new row, or that with key $2 and mark $3.
select logic.page_save($1, $2, $3, $4)
