-- Lets message $1 go that was held; how many recipients.
select queue.release($1::bigint)
