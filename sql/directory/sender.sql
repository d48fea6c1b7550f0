-- What is known of the sender $1@$2 (both in their key form); no row where its domain is none of ours.
select exists_here, needs_login from logic.sender($1, $2)
