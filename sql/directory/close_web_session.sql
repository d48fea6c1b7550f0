-- Ends the session whose cookie is $1, and takes away what is over anyway ($2 hours).
delete from live.web_session where token_hash = $1 or since < now() - make_interval(hours => $2)
