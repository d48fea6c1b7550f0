-- The whole configuration, from one moment.
select control.snapshot()
