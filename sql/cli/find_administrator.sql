-- The administrator $1.
select 1 from control.administrator where name = $1
