-- The bytes and messages that account $1 may still keep.
select quota_bytes - coalesce(used_bytes, 0), max_messages - coalesce(used_messages, 0)
from logic.account where account_id = $1
