-- What a reference to page $1 may choose from.
select logic.page_options($1)
