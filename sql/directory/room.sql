-- Whether account $1 has room for $2 messages of $3 bytes together.
select coalesce(quota_bytes - coalesce(used_bytes, 0) >= $3::bigint, true)
  and coalesce(max_messages - coalesce(used_messages, 0) >= $2::bigint, true)
from logic.account where account_id = $1
