-- The limits of account $1: messages and recipients in an hour; null = as the server says.
select coalesce(a.max_messages_per_hour, d.max_messages_per_hour)::bigint, coalesce(a.max_recipients_per_hour, d.max_recipients_per_hour)::bigint
from directory.account a join directory.domain d on d.id = a.domain_id where a.id = $1
