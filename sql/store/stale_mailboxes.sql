-- Of the mailboxes ($1 accounts, $2 ids) that are known at modseqs $3, those that have moved on or are gone.
select v.account_id, v.mailbox_id
from unnest($1::bigint[], $2::bigint[], $3::bigint[]) as v (account_id, mailbox_id, modseq)
left join store.mailbox m on m.account_id = v.account_id and m.id = v.mailbox_id
where m.highest_modseq is distinct from v.modseq
