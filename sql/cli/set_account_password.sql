-- Sets password hash ($2) and SCRAM keys ($3) of account $1.
update directory.account set password_hash = $2::text, scram = $3::text where id = $1
