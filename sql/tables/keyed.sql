-- The rows of page $1 with keys $2.
select logic.page_keyed($1, $2)
