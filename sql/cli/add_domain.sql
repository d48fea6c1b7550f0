-- Makes domain $1; $2 default, $3 catch-all, $4 most accounts, $5 quota and $6 largest message in bytes (null = inherited).
insert into directory.domain (name, is_default, catch_all, max_accounts, quota_bytes, max_message_bytes)
values ($1, $2::boolean, $3::text, coalesce($4::integer, 0), $5::bigint, $6::bigint)
