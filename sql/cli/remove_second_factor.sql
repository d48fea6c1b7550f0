-- Removes the second factor of administrator $1, or of account $2 of domain $3, and forgets its wrong codes ($4). Returns how many
-- there were.
with gone as (
  delete from directory.second_factor f
  where f.administrator = $1
    or f.account_id = (select a.id from directory.account a join directory.domain d on d.id = a.domain_id where a.local_part = $2 and d.name = $3)
  returning f.id
), forgotten as (
  delete from live.login_failure where key = $4
)
select count(*) from gone
