-- Ends the view that session $1 has of the mailbox of account $2.
select logic.close_mailbox_view($1, $2)
