-- Turns \Seen of message $2 in mailbox $1 over; the index lists the change.
with b as (
  update with_index.mailbox set highest_modseq = highest_modseq + 1 where account_id = $1 and id = $1 returning highest_modseq
)
update with_index.message m set seen = not seen, modseq = b.highest_modseq
from b where m.account_id = $1 and m.mailbox_id = $1 and m.uid = $2
