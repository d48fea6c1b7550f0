-- What FETCH needs of the messages $3 in mailbox $2 of account $1, without bodies. $4 is a bitmap of the wide columns wanted:
-- 1 header, 2 envelope, 4 structure.
select m.uid, m.content_id, m.internal_date, m.zone_minutes, m.size, m.prefix, c.header_size, c.size,
  case when $4::int & 1 <> 0 then c.header end, case when $4::int & 2 <> 0 then c.envelope end,
  case when $4::int & 4 <> 0 then c.structure end, m.pop3_uidl
from store.message m join store.content c on c.id = m.content_id
where m.account_id = $1 and m.mailbox_id = $2 and m.uid = any($3::bigint[]) order by m.uid
