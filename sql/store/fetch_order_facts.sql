-- What SORT and THREAD need of the messages $3 in mailbox $2 of account $1. $4 is a bitmap of the columns wanted beside the dates:
-- 1 subject, 2 envelope, 4 header. Where no date could be read when the message was stored, its header comes in any case.
select m.uid, m.internal_date, m.size, c.sent_at, case when $4::int & 1 <> 0 then c.subject end,
  case when $4::int & 2 <> 0 then c.envelope end, case when $4::int & 4 <> 0 or c.sent_at is null then c.header end
from store.message m join store.content c on c.id = m.content_id
where m.account_id = $1 and m.mailbox_id = $2 and m.uid = any($3::bigint[]) order by m.uid
