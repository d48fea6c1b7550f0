-- Begins the import of what session $1 has brought: once, however often the button is pressed.
update live.user_import i set state = 'importing', touched_at = now()
from live.web_session s
where s.id = i.session_id and s.token_hash = $1 and i.state = 'checked' and i.created_at > now() - interval '1 hour'
returning i.sealed
