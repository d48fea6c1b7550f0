-- Locks the queued messages $1 in key order: of two nodes that settle the last recipients of one, the later sees what the
-- earlier has done.
select 1 from queue.message where id = any($1::bigint[]) order by id for update
