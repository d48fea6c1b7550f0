-- What the overview shows of the whole server, for the last hour, day or month ($1).
select logic.overview($1)
