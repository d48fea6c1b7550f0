-- Where mail for $1@$2 goes (both in their key form), for a sender who has logged in or not ($3).
select kind, address, account_id, inbox_id, quota_bytes, used_bytes, max_message_bytes, forwarded_by, used_messages,
  max_messages
from logic.resolve($1, $2, $3)
