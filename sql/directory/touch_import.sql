-- The import of session $1 goes on: $2 passwords are hashed.
update live.user_import i set hashed = $2, touched_at = now() from live.web_session s where s.id = i.session_id and s.token_hash = $1
