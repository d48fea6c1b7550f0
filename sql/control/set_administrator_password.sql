-- Sets the password hash ($2) of administrator $1, who has to choose another at his first login in the browser where $3 says so.
update control.administrator set password_hash = $2::text, must_change_password = $3 where name = $1
