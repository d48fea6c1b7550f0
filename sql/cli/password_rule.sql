-- The shortest password allowed.
select min_password_length from control.directory
