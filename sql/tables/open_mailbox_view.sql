-- Opens a view of the mailbox of account $2 for session $1, because of $3.
select logic.open_mailbox_view($1, $2, $3)
