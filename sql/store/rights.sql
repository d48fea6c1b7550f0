-- What account $3 may do in mailbox $2 of account $1.
select logic.rights($1, $2, $3)
