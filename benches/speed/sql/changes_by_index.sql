-- The messages of mailbox $1 that its last ten changes touched.
select m.uid, m.modseq, m.seen, m.keywords from with_index.message m
where m.account_id = $1 and m.mailbox_id = $1
  and m.modseq > (select highest_modseq - 10 from with_index.mailbox where account_id = $1 and id = $1)
