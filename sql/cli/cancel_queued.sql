-- Takes message $1 out of the queue; how many recipients.
select queue.cancel($1::bigint)
