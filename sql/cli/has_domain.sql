-- Whether there is a domain $1.
select exists (select 1 from directory.domain where name = $1)
