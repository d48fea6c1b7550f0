-- The code was right: the session whose cookie was $1 goes on under cookie $2, and begins now.
update live.web_session set token_hash = $2, awaits_code = false, since = now(), seen_at = now() where token_hash = $1 and awaits_code
