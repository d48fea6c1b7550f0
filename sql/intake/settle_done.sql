-- The recipients $1 leave the queue.
delete from queue.recipient where id = any($1::bigint[])
