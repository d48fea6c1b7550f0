-- Messages that have left for other servers, and recipients that wait.
select (select count(*) from queue.attempt where outcome = 'delivered'), (select count(*) from queue.recipient)
