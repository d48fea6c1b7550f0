-- Moves the messages $3 of mailbox $2 of account $1 into mailbox $5 of account $4, another one, both locked already. They
-- come with those flags only that $6 lets through (as in copy_messages.sql), and count for their new owner; the old one can
-- restore them as if they had been deleted. Returns old and new UIDs, and the target's UIDVALIDITY.
with src as (
  select m.*, row_number() over (order by m.uid) as nth from store.message m
  where m.account_id = $1 and m.mailbox_id = $2 and m.uid = any($3::bigint[])
), here as (
  update store.mailbox set highest_modseq = highest_modseq + 1
  where account_id = $1 and id = $2 and exists (select 1 from src) returning highest_modseq
), there as (
  update store.mailbox set uid_next = uid_next + (select count(*) from src), highest_modseq = highest_modseq + 1
  where account_id = $4 and id = $5 and exists (select 1 from src)
  returning uid_next - (select count(*) from src) - 1 as last_uid, highest_modseq, uid_validity
), gone as (
  delete from store.message m using src, there
  where m.account_id = $1 and m.mailbox_id = $2 and m.uid = src.uid
  returning m.*
), kept as (
  insert into store.expunged (account_id, mailbox_id, uid, modseq, content_id, internal_date, size, zone_minutes,
    seen, answered, flagged, draft, keywords, prefix)
  select gone.account_id, gone.mailbox_id, gone.uid, here.highest_modseq, gone.content_id, gone.internal_date, gone.size, gone.zone_minutes,
    gone.seen, gone.answered, gone.flagged, gone.draft, gone.keywords, gone.prefix
  from gone, here
), placed as (
  insert into store.message (account_id, mailbox_id, uid, content_id, internal_date, modseq, size, zone_minutes,
    seen, answered, flagged, deleted, draft, keywords, prefix)
  select $4, $5, there.last_uid + s.nth, s.content_id, s.internal_date, there.highest_modseq, s.size, s.zone_minutes,
    s.seen and $6::int & 1 <> 0, s.answered and $6::int & 2 <> 0, s.flagged and $6::int & 4 <> 0, s.deleted and $6::int & 8 <> 0,
    s.draft and $6::int & 16 <> 0, case when $6::int & 32 <> 0 then s.keywords end, s.prefix
  from src s, there
), used as (
  update store.usage u set bytes = u.bytes + case u.account_id when $4 then w.bytes else -w.bytes end,
    messages = u.messages + case u.account_id when $4 then w.messages else -w.messages end
  from (select sum(src.size) as bytes, count(*) as messages from src, there having count(*) > 0) w
  where u.account_id in ($1, $4)
)
select s.uid, there.last_uid + s.nth, there.uid_validity from src s, there order by s.uid
