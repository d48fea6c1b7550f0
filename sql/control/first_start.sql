-- What a new installation begins with: the administrator "system" without a password, and a self-signed certificate ($1
-- chain, $2 key, $3 names) where there is none. Returns whether the administrator was made now, and whether a password is set.
with a as (
  insert into control.administrator (name) values ('system') on conflict do nothing returning 1
), c as (
  insert into control.certificate (chain, key, names, source)
  select $1, $2::text, $3::text[], 'self-signed' where not exists (select 1 from control.certificate) returning 1
)
select exists (select 1 from a), exists (select 1 from c)
