-- What is wrong with users $1 that are to be made.
select logic.check_users($1)
