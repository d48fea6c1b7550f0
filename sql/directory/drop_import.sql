-- Forgets what session $1 has brought, unless it is being imported.
delete from live.user_import i using live.web_session s
where s.id = i.session_id and s.token_hash = $1 and (i.state <> 'importing' or i.touched_at < now() - interval '1 minute')
