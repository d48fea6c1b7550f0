-- Rows of query $1 with parameters $2: $3 at most, in $4 bytes at most, each as the JSON of its values.
select * from logic.run_report($1, $2, $3, $4)
