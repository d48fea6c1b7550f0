-- All messages of mailbox $2 of account $1 as a view has them, in UID order. Flags are a bitmap: seen, answered, flagged,
-- deleted, draft from the lowest bit.
select uid, modseq, seen::int | (answered::int << 1) | (flagged::int << 2) | (deleted::int << 3) | (draft::int << 4), keywords
from store.message where account_id = $1 and mailbox_id = $2 order by uid
