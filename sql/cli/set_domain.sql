-- Changes domain $1; null leaves a column as it is: $2 default, $3 catch-all ($4: none), $5 most accounts, $6 quota ($7: inherited),
-- $8 largest message ($9: inherited), $10 active.
update directory.domain set
  is_default = coalesce($2::boolean, is_default),
  catch_all = case when $4::boolean then null else coalesce($3::text, catch_all) end,
  max_accounts = coalesce($5::integer, max_accounts),
  quota_bytes = case when $7::boolean then null else coalesce($6::bigint, quota_bytes) end,
  max_message_bytes = case when $9::boolean then null else coalesce($8::bigint, max_message_bytes) end,
  active = coalesce($10::boolean, active)
where name = $1
