-- What account $1 keeps and may keep.
select used_bytes, quota_bytes from logic.account where account_id = $1
