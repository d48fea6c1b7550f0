-- Does $2 on page $1 with the rows $3.
select logic.page_act($1, $2, $3)
