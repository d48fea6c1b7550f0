-- Keeps message $1 in the queue; how many recipients.
select queue.hold($1::bigint)
