-- Turns \Seen of message $2 in mailbox $1 over, and lists the change.
with b as (
  update with_log.mailbox set highest_modseq = highest_modseq + 1 where account_id = $1 and id = $1 returning highest_modseq
), changed as (
  update with_log.message m set seen = not seen, modseq = b.highest_modseq
  from b where m.account_id = $1 and m.mailbox_id = $1 and m.uid = $2
  returning m.uid, m.modseq
)
insert into with_log.change (account_id, mailbox_id, modseq, uid) select $1, $1, modseq, uid from changed
