-- Switches second factor $1 off.
delete from directory.second_factor where id = $1
