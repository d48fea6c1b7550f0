-- Renames mailbox $2 of account $1 and all below it to $3; the owner's subscriptions to them follow.
with renamed as (
  update store.mailbox set name = $3::text || substring(name from length($2::text) + 1)
  where account_id = $1 and (name = $2::text or starts_with(name, $2::text || '/'))
), followed as (
  delete from store.subscription
  where account_id = $1 and (name = $2::text or starts_with(name, $2::text || '/'))
  returning name
)
insert into store.subscription (account_id, name)
select $1, $3::text || substring(name from length($2::text) + 1) from followed
on conflict do nothing
