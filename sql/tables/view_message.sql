-- The view that session $1 has open of account $2, for message $4 of mailbox $3: it is noted that it was looked at.
select logic.view_message($1, $2, $3, $4)
