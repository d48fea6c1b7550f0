-- Subscribes account $1 to name $2, unless it has $3 subscriptions already. Returns whether it is subscribed now.
with added as (
  insert into store.subscription (account_id, name)
  select $1, $2 where (select count(*) from store.subscription where account_id = $1) < $3::bigint
  on conflict do nothing returning 1
)
select exists (select from added) or exists (select from store.subscription where account_id = $1 and name = $2)
