-- The file that session $1 has brought, if it has done so within an hour; and whether the node that imported it has died.
select i.state::text, i.report, i.total, i.hashed, i.said, i.state = 'importing' and i.touched_at < now() - interval '1 minute'
from live.user_import i join live.web_session s on s.id = i.session_id
where s.token_hash = $1 and (i.created_at > now() - interval '1 hour' or i.state = 'importing')
