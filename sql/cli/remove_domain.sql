-- Removes domain $1; accounts, aliases and mail go along.
delete from directory.domain where name = $1
