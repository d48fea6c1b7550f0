-- The UIDs that have left mailbox $2 of account $1 by changes above modseq $3, up to $4, as ranges in order. The first row
-- is none of them: its second column says whether some of the deletions asked for are forgotten. One statement, so that
-- what is pruned meanwhile is either listed or known to be missing.
select 0::bigint as first, (forgotten_modseq > $3)::int::bigint as last
from store.mailbox where account_id = $1 and id = $2
union all
select min(uid), max(uid) from (
  select uid, uid - row_number() over (order by uid) as island from store.expunged
  where account_id = $1 and mailbox_id = $2 and modseq > $3 and modseq <= $4
) gone
group by island
order by 1
