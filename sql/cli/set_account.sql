-- Changes account $1 of domain $2; null leaves a column as it is: $3 name, $4 quota ($5: inherited), $6 largest message ($7:
-- inherited), $8 forbidden services, $9 active, $10 password hash, $11 SCRAM keys. A name of '' is none.
update directory.account a set
  display_name = nullif(coalesce($3::text, display_name), ''),
  quota_bytes = case when $5::boolean then null else coalesce($4::bigint, a.quota_bytes) end,
  max_message_bytes = case when $7::boolean then null else coalesce($6::bigint, a.max_message_bytes) end,
  forbidden_services = coalesce($8::text[], forbidden_services),
  active = coalesce($9::boolean, a.active),
  password_hash = coalesce($10::text, password_hash),
  scram = coalesce($11::text, scram)
from directory.domain d where d.id = a.domain_id and a.local_part = $1 and d.name = $2
