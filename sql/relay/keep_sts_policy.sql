-- Keeps the policy of domain $1: id $2, mode $3, names $4, max_age $5. What has expired goes.
with expired as (
  delete from queue.sts_policy where fetched_at + max_age * interval '1 second' < now() and domain <> $1
)
insert into queue.sts_policy (domain, policy_id, mode, mx, max_age) values ($1, $2, $3, $4, $5)
on conflict (domain) do update set policy_id = excluded.policy_id, mode = excluded.mode, mx = excluded.mx,
  max_age = excluded.max_age, fetched_at = now()
