-- Begins the session of a browser: $1 what stands for its cookie, $2 kind, $3 login, $4 account, $5 peer, $6 what it says it is, $7
-- whether a code has to come before it opens anything.
insert into live.web_session (token_hash, kind, login, account_id, peer, browser, awaits_code) values ($1, $2, $3, $4, $5::text::inet, $6, $7)
