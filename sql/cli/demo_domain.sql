-- The domain of the demonstration.
insert into directory.domain (name, is_default) select $1, not exists (select 1 from directory.domain where is_default)
on conflict do nothing
