-- Forgets what was kept for a time only: expunged messages after $1 days, flag changes and batches after an hour. Mailboxes
-- whose history was cut remember up to where, so that nobody who asks for more is told too little.
with expunged as (
  delete from store.expunged where expunged_at < now() - make_interval(days => $1)
  returning account_id, mailbox_id, modseq, content_id
), changes as (
  delete from store.change where changed_at < now() - interval '1 hour' returning account_id, mailbox_id, modseq
), batches as (
  delete from store.batch where committed_at < now() - interval '1 hour'
), orphans as (
  insert into store.orphan (content_id) select distinct content_id from expunged where content_id is not null on conflict do nothing
)
update store.mailbox b set pruned_modseq = greatest(b.pruned_modseq, p.modseq)
from (select account_id, mailbox_id, max(modseq) as modseq
  from (select account_id, mailbox_id, modseq from expunged union all select account_id, mailbox_id, modseq from changes) x
  group by account_id, mailbox_id) p
where b.account_id = p.account_id and b.id = p.mailbox_id
