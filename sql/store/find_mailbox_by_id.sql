-- The counters of mailbox $2 of account $1.
select uid_validity, uid_next, highest_modseq from store.mailbox where account_id = $1 and id = $2
