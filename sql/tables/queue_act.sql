-- Does $1 to at most $4 recipients of destination $2 and in state $3 (null = any).
select logic.queue_act($1, $2, $3, $4)
