-- Makes users $1, all or none.
select logic.import_users($1)
