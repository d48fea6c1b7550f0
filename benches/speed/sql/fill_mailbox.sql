-- Puts $3 messages into the empty mailbox $2 of account $1, one for each ten minutes until now, with the contents of its INBOX in turn.
with source as (
  select m.content_id, m.size, row_number() over (order by m.uid) - 1 as place, count(*) over () as contents
  from store.message m join store.mailbox b on b.account_id = m.account_id and b.id = m.mailbox_id
  where b.account_id = $1 and b.name = 'INBOX'
), placed as (
  insert into store.message (account_id, mailbox_id, uid, content_id, internal_date, modseq, size, seen)
  select $1, $2, n, s.content_id, now() - ($3::bigint - n) * interval '10 minutes', n + 1, s.size, n % 10 <> 0
  from generate_series(1, $3::bigint) n join source s on s.place = n % s.contents
  order by n
  returning size
), counted as (
  update store.mailbox set uid_next = $3 + 1, recent_uid = $3 + 1, highest_modseq = $3 + 1 where account_id = $1 and id = $2
)
update store.usage u set bytes = u.bytes + p.bytes, messages = u.messages + p.messages
from (select sum(size)::bigint as bytes, count(*) as messages from placed) p where u.account_id = $1
