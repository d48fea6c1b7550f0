-- The view that session $1 has open of the mailbox of account $2.
select logic.mailbox_view($1, $2)
