-- The domain that is meant where none is named: the default one, else the oldest.
select name from directory.domain where active order by is_default desc, id limit 1
