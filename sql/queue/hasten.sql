-- Has what waits for domain $1, and for those below it where $2, tried now. Returns how many recipients wait there.
select logic.hasten($1, $2)
