-- Mean size of the messages that have left for other servers, in bytes.
select avg(size)::float8 from queue.attempt where outcome = 'delivered'
