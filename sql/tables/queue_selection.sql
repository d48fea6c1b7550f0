-- How much of the queue is of destination $1 and in state $2 (null = any).
select logic.queue_selection($1, $2)
