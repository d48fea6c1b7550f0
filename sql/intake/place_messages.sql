-- Puts the messages of a batch into their mailboxes, which are locked: UIDs and modseqs are taken here and nowhere
-- earlier, so that they become visible in their order. Returns the place in the batch, and what was given to it; a
-- mailbox that is gone returns nothing. A session that brings a message and has the mailbox open takes \Recent of it ($11)
-- where nobody else's message is in between; whether it got it is returned.
with d as (
  select d.*, row_number() over (partition by account_id, mailbox_id order by place) as nth
  from unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::timestamptz[], $5::smallint[], $6::bigint[], $7::smallint[], $8::text[], $9::bytea[],
      $10::text[], $11::boolean[])
    with ordinality as d (account_id, mailbox_id, digest, internal_date, zone_minutes, size, flags, keywords, prefix, pop3_uidl, takes_recent, place)
), m as (
  update store.mailbox b set uid_next = b.uid_next + n.messages, highest_modseq = b.highest_modseq + 1,
    recent_uid = case when n.take_recent and b.recent_uid = b.uid_next then b.uid_next + n.messages else b.recent_uid end
  from (select account_id, mailbox_id, count(*) as messages, bool_and(takes_recent) as take_recent from d group by account_id, mailbox_id) n
  where b.account_id = n.account_id and b.id = n.mailbox_id
  returning b.account_id, b.id, b.uid_next - n.messages - 1 as last_uid, b.highest_modseq, b.uid_validity, b.recent_uid = b.uid_next as taken
), placed as (
  insert into store.message (account_id, mailbox_id, uid, content_id, internal_date, modseq, size, zone_minutes,
    seen, answered, flagged, deleted, draft, keywords, prefix, pop3_uidl)
  select d.account_id, d.mailbox_id, m.last_uid + d.nth, c.id, d.internal_date, m.highest_modseq, d.size, d.zone_minutes,
    d.flags & 1 <> 0, d.flags & 2 <> 0, d.flags & 4 <> 0, d.flags & 8 <> 0, d.flags & 16 <> 0, string_to_array(d.keywords, ' '), d.prefix,
    d.pop3_uidl
  from d join m on m.account_id = d.account_id and m.id = d.mailbox_id join store.content c on c.digest = d.digest
  returning account_id, size
), used as (
  update store.usage u set bytes = u.bytes + p.bytes, messages = u.messages + p.messages
  from (select account_id, sum(size) as bytes, count(*) as messages from placed group by account_id) p
  where u.account_id = p.account_id
  returning u.account_id, u.bytes
)
select d.place, m.last_uid + d.nth, m.uid_validity, m.highest_modseq, used.bytes, m.taken
from d join m on m.account_id = d.account_id and m.id = d.mailbox_id left join used on used.account_id = d.account_id
