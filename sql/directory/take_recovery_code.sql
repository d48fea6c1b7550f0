-- Takes a recovery code of second factor $1, whose hash is $2, if it is still good.
update directory.recovery_code set used_at = now() where second_factor_id = $1 and code_hash = $2::text and used_at is null
