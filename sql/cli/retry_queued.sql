-- Tries message $1, or everything if it is null, again now; how many recipients.
select queue.retry($1::bigint)
