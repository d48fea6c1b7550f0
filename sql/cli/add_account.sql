-- Makes account $1 in domain $2: $3 password hash and $4 SCRAM keys (null = no password), $5 name, $6 quota, $7 largest message,
-- $8 forbidden services.
insert into directory.account (domain_id, local_part, password_hash, scram, display_name, quota_bytes, max_message_bytes, forbidden_services)
select d.id, $1::text, $3::text, $4::text, $5::text, $6::bigint, $7::bigint, coalesce($8::text[], '{}') from directory.domain d where d.name = $2
