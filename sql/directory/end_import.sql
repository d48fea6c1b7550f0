-- The import of session $1 is over: $2 whether it was done, $3 what is to be said. The users, and their passwords, are forgotten.
update live.user_import i set state = case when $2 then 'done' else 'failed' end::live.import_state, said = $3, sealed = null, touched_at = now()
from live.web_session s where s.id = i.session_id and s.token_hash = $1
