-- What has happened in mailbox $2 of account $1 since modseq $3 and uid_next $4, in one statement and so from one moment.
-- kind 0: the mailbox itself (uid = uid_next, modseq = highest, flags = pruned_modseq is above $3; no row: it is gone);
-- 1: added; 2: changed; 3: gone.
select 0 as kind, uid_next as uid, highest_modseq as modseq, (pruned_modseq > $3)::int as flags, null::text[] as keywords
from store.mailbox where account_id = $1 and id = $2
union all
select 1, uid, modseq, seen::int | (answered::int << 1) | (flagged::int << 2) | (deleted::int << 3) | (draft::int << 4), keywords
from store.message where account_id = $1 and mailbox_id = $2 and uid >= $4
union all
select 2, m.uid, m.modseq, m.seen::int | (m.answered::int << 1) | (m.flagged::int << 2) | (m.deleted::int << 3) | (m.draft::int << 4), m.keywords
from (select distinct uid from store.change where account_id = $1 and mailbox_id = $2 and modseq > $3) c
join store.message m on m.account_id = $1 and m.mailbox_id = $2 and m.uid = c.uid
where m.uid < $4
union all
select 3, uid, modseq, 0, null from store.expunged where account_id = $1 and mailbox_id = $2 and modseq > $3
order by kind, uid
