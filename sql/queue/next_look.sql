-- In how many seconds something may be due.
select extract(epoch from min(greatest(look_at, down_until)) - now())::double precision from queue.destination
