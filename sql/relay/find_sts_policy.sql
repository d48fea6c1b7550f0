-- The policy of domain $1 while it holds, with its age and what is left of its life, in seconds.
select policy_id, mode, mx, extract(epoch from now() - fetched_at)::float8,
  (max_age - extract(epoch from now() - fetched_at))::float8, max_age
from queue.sts_policy where domain = $1 and fetched_at + max_age * interval '1 second' > now()
