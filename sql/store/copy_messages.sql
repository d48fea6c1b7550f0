-- Copies the messages $3 of mailbox $2 of account $1 into mailbox $5 of account $4, dates kept, and those flags that $6 lets
-- through (a bitmap as in set_flags.sql, 32 for keywords). They count for account $4; where it has no room for them, nothing is
-- copied. Returns old and new UIDs, the target's UIDVALIDITY, and whether there was room; of new UIDs there are none when
-- nothing was copied.
with src as (
  select m.*, row_number() over (order by m.uid) as nth from store.message m
  where m.account_id = $1 and m.mailbox_id = $2 and m.uid = any($3::bigint[])
), room as (
  select coalesce(a.quota_bytes - coalesce(a.used_bytes, 0) >= (select sum(size) from src), true)
    and coalesce(a.max_messages - coalesce(a.used_messages, 0) >= (select count(*) from src), true) as enough
  from logic.account a where a.account_id = $4
), b as (
  update store.mailbox set uid_next = uid_next + (select count(*) from src), highest_modseq = highest_modseq + 1
  where account_id = $4 and id = $5 and exists (select 1 from src) and (select enough from room)
  returning uid_next - (select count(*) from src) - 1 as last_uid, highest_modseq, uid_validity
), placed as (
  insert into store.message (account_id, mailbox_id, uid, content_id, internal_date, modseq, size, zone_minutes,
    seen, answered, flagged, deleted, draft, keywords, prefix)
  select $4, $5, b.last_uid + s.nth, s.content_id, s.internal_date, b.highest_modseq, s.size, s.zone_minutes,
    s.seen and $6::int & 1 <> 0, s.answered and $6::int & 2 <> 0, s.flagged and $6::int & 4 <> 0, s.deleted and $6::int & 8 <> 0,
    s.draft and $6::int & 16 <> 0, case when $6::int & 32 <> 0 then s.keywords end, s.prefix
  from src s, b
), used as (
  update store.usage u set bytes = u.bytes + s.bytes, messages = u.messages + s.messages
  from (select sum(size) as bytes, count(*) as messages from src having count(*) > 0) s where u.account_id = $4 and exists (select 1 from b)
)
select s.uid, b.last_uid + s.nth, b.uid_validity, (select enough from room) from src s left join b on true order by s.uid
