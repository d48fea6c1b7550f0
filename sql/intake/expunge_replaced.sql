-- Removes the messages that those of a batch replace: UID $3 of mailbox $2 of account $1, as long as mailbox $5 of account $4, into
-- which the new one went, is there. All of these mailboxes are locked.
with r as (
  select r.* from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
    as r (account_id, mailbox_id, uid, to_account, to_mailbox)
  where exists (select 1 from store.mailbox t where t.account_id = r.to_account and t.id = r.to_mailbox)
), gone as (
  delete from store.message m using r
  where m.account_id = r.account_id and m.mailbox_id = r.mailbox_id and m.uid = r.uid
  returning m.*
), b as (
  update store.mailbox b set highest_modseq = b.highest_modseq + 1
  from (select distinct account_id, mailbox_id from gone) g
  where b.account_id = g.account_id and b.id = g.mailbox_id
  returning b.account_id, b.id, b.highest_modseq
), kept as (
  insert into store.expunged (account_id, mailbox_id, uid, modseq, content_id, internal_date, size, zone_minutes,
    seen, answered, flagged, draft, keywords, prefix)
  select g.account_id, g.mailbox_id, g.uid, b.highest_modseq, g.content_id, g.internal_date, g.size, g.zone_minutes,
    g.seen, g.answered, g.flagged, g.draft, g.keywords, g.prefix
  from gone g join b on b.account_id = g.account_id and b.id = g.mailbox_id
), orphans as (
  insert into store.orphan (content_id) select distinct content_id from gone on conflict do nothing
), used as (
  update store.usage u set bytes = u.bytes - g.bytes, messages = u.messages - g.messages
  from (select account_id, sum(size) as bytes, count(*) as messages from gone group by account_id) g
  where u.account_id = g.account_id
)
select account_id, mailbox_id, uid from gone
