-- Sets the password hash ($2) of administrator $1.
update control.administrator set password_hash = $2::text, must_change_password = false where name = $1
