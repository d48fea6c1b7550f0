-- What is in the queue: the $2 fullest destinations whose name contains $1.
select logic.queue_counts($1, $2)
