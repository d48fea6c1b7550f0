-- The secret of second factor $1.
select secret from directory.second_factor where id = $1
