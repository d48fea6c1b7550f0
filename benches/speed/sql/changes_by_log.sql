-- The messages of mailbox $1 that its last ten changes touched.
select m.uid, m.modseq, m.seen, m.keywords
from (select distinct uid from with_log.change where account_id = $1 and mailbox_id = $1
  and modseq > (select highest_modseq - 10 from with_log.mailbox where account_id = $1 and id = $1)) c
join with_log.message m on m.account_id = $1 and m.mailbox_id = $1 and m.uid = c.uid
