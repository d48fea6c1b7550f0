-- Whether account $1 may give $2@$3 (both in their key form) as sender.
select logic.may_send_as($1, $2, $3)
