-- What has happened in the mailboxes $2 of accounts $1 since each was known at modseq $3 and uid_next $4: how many messages
-- are there from that UID on, how many below it have left, whether flags have changed, and whether some of it is forgotten, so
-- that counting up from what was known does not do. Costs what has happened, not what the mailboxes hold.
select b.account_id, b.id, b.uid_validity, b.uid_next, b.highest_modseq,
  (select count(*) from store.message m where m.account_id = b.account_id and m.mailbox_id = b.id and m.uid >= k.uid_next),
  (select count(*) from store.expunged e
    where e.account_id = b.account_id and e.mailbox_id = b.id and e.modseq > k.modseq and e.uid < k.uid_next),
  b.pruned_modseq > k.modseq or exists (select 1 from store.change c
    where c.account_id = b.account_id and c.mailbox_id = b.id and c.modseq > k.modseq),
  b.forgotten_modseq > k.modseq
from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) as k (account_id, mailbox_id, modseq, uid_next)
join store.mailbox b on b.account_id = k.account_id and b.id = k.mailbox_id
where b.highest_modseq > k.modseq
