-- Rows of page $1 with the words $2, in the order of column $3 ($4: downwards), that match $5, from behind $6, $7 at most.
select logic.page_rows($1, $2, $3, $4, $5, $6, $7)
