-- Which of the recipients $1 are still to be delivered to by node $2: not cancelled, held, or taken over.
select id from queue.recipient where id = any($1::bigint[]) and leased_by = $2 and state = 'waiting' and leased_until > now()
