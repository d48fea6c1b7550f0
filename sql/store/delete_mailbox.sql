-- Deletes mailbox $2 of account $1; its messages go along (trigger), counted and collected as if a person had deleted it.
delete from store.mailbox where account_id = $1 and id = $2
