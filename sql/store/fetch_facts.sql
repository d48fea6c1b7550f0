-- What FETCH needs of the messages $3 in mailbox $2 of account $1, without bodies. $4 is a bitmap of the wide columns wanted:
-- 1 header, 2 envelope, 4 structure, 8 conversation, 16 preview, 32 structure where the preview is not known yet. Where the
-- conversation was not worked out when the message was stored, its header comes instead.
select m.uid, m.content_id, m.internal_date, m.zone_minutes, m.size, m.prefix, c.header_size, c.size,
  case when $4::int & 1 <> 0 or $4::int & 8 <> 0 and c.thread_id is null then c.header end,
  case when $4::int & 2 <> 0 then c.envelope end,
  case when $4::int & 4 <> 0 or $4::int & 32 <> 0 and c.preview is null then c.structure end, m.pop3_uidl,
  m.saved_at, case when $4::int & 8 <> 0 then c.thread_id end, case when $4::int & 16 <> 0 then c.preview end
from store.message m join store.content c on c.id = m.content_id
where m.account_id = $1 and m.mailbox_id = $2 and m.uid = any($3::bigint[]) order by m.uid
