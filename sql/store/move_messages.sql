-- Moves the messages $3 of mailbox $2 of account $1 to mailbox $4, both locked already. Returns old and new UIDs, and the
-- target's UIDVALIDITY.
with src as (
  select m.uid, row_number() over (order by m.uid) as nth from store.message m
  where m.account_id = $1 and m.mailbox_id = $2 and m.uid = any($3::bigint[])
), here as (
  update store.mailbox set highest_modseq = highest_modseq + 1
  where account_id = $1 and id = $2 and exists (select 1 from src) returning highest_modseq
), there as (
  update store.mailbox set uid_next = uid_next + (select count(*) from src), highest_modseq = highest_modseq + 1
  where account_id = $1 and id = $4 and exists (select 1 from src)
  returning uid_next - (select count(*) from src) - 1 as last_uid, highest_modseq, uid_validity
), gone as (
  insert into store.expunged (account_id, mailbox_id, uid, modseq)
  select $1, $2, src.uid, here.highest_modseq from src, here, there
), moved as (
  update store.message m set mailbox_id = $4, uid = there.last_uid + src.nth, modseq = there.highest_modseq, saved_at = now()
  from src, there where m.account_id = $1 and m.mailbox_id = $2 and m.uid = src.uid
)
select src.uid, there.last_uid + src.nth, there.uid_validity from src, there order by src.uid
