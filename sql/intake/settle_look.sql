-- Somebody is to look at the domains $1 from $2 on.
select logic.look_at_destinations($1, $2)
