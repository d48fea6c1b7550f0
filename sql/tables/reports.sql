-- The reports that may be run.
select logic.reports()
