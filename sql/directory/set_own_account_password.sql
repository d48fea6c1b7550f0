-- A new password for account $1: hash $2, SCRAM keys $3. Its other sessions in the browser ($4 is this one's cookie) end.
with ended as (
  delete from live.web_session where account_id = $1 and token_hash <> $4
)
update directory.account set password_hash = $2::text, scram = $3::text where id = $1
