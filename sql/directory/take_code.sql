-- Takes the code of step $2 for second factor $1: no row when it, or a later one, was taken before. Both at once take turns here.
update directory.second_factor set last_step = $2 where id = $1 and last_step < $2
