-- The session whose cookie is $1, if it waits for its code and has done so for no more than five minutes.
select kind, login, account_id from live.web_session
where token_hash = $1 and awaits_code and since > now() - interval '5 minutes'
