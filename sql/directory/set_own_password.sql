-- A new password for administrator $1: hash $2. His other sessions ($3 is this one's cookie) end.
with ended as (
  delete from live.web_session where login = $1 and account_id is null and token_hash <> $3
)
update control.administrator set password_hash = $2::text, must_change_password = false where name = $1
