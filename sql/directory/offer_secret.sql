-- The secret that session $1 is being offered: $2, if it has none yet.
update live.web_session set offered_secret = coalesce(offered_secret, $2::text) where token_hash = $1 and not awaits_code returning offered_secret
