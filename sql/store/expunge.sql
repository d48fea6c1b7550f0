-- Removes the messages $3 from mailbox $2 of account $1, with $4 only those with \Deleted. Returns first uid 0 and the
-- mailbox's modseq then, after that the uids that are gone. As with flags the disk is not waited for: what a crash of the
-- database within the last half second could undo is a deletion.
with off as (
  select set_config('synchronous_commit', 'off', true)
), b as (
  select highest_modseq + 1 as highest_modseq from store.mailbox, off where account_id = $1 and id = $2 for no key update of mailbox
), gone as (
  delete from store.message m using b
  where m.account_id = $1 and m.mailbox_id = $2 and m.uid = any($3::bigint[]) and (m.deleted or not $4::boolean)
  returning m.*, b.highest_modseq
), counted as (
  update store.mailbox set highest_modseq = highest_modseq + 1
  where account_id = $1 and id = $2 and exists (select from gone)
), kept as (
  insert into store.expunged (account_id, mailbox_id, uid, modseq, content_id, internal_date, size, zone_minutes,
    seen, answered, flagged, draft, keywords, prefix)
  select account_id, mailbox_id, uid, highest_modseq, content_id, internal_date, size, zone_minutes,
    seen, answered, flagged, draft, keywords, prefix from gone
), orphans as (
  insert into store.orphan (content_id) select distinct content_id from gone on conflict do nothing
), used as (
  update store.usage u set bytes = u.bytes - g.bytes, messages = u.messages - g.messages
  from (select sum(size) as bytes, count(*) as messages from gone having count(*) > 0) g where u.account_id = $1
)
select 0 as uid, highest_modseq - (not exists (select from gone))::int as highest_modseq from b
union all
select uid, highest_modseq from gone order by uid
