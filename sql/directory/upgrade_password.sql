-- Replaces an imported password hash ($2) of account $1 by a better one ($3) and its SCRAM keys ($4), unless it was changed meanwhile.
update directory.account set password_hash = $3::text, scram = $4::text where id = $1 and password_hash = $2::text
