-- Views for people with a reporting tool; their names and columns are kept stable.

create view report.account as
select a.address, a.active, a.used_bytes, u.messages, a.quota_bytes,
  round(100.0 * a.used_bytes / nullif(a.quota_bytes, 0), 1) as used_percent, a.max_messages
from logic.account a left join store.usage u on u.account_id = a.account_id;
comment on view report.account is 'Accounts and what they keep';
comment on column report.account.address is 'Its address';
comment on column report.account.active is 'Whether it takes mail and may log in';
comment on column report.account.used_bytes is 'Bytes of mail that it keeps';
comment on column report.account.messages is 'Messages that it keeps';
comment on column report.account.quota_bytes is 'Bytes that it may keep; empty = no limit';
comment on column report.account.used_percent is 'How much of that is used';
comment on column report.account.max_messages is 'Messages that it may keep; empty = no limit';

create view report.mailbox as
select l.address, m.name as mailbox, m.special_use, n.messages, n.unseen, n.bytes, m.account_id, m.id as mailbox_id
from store.mailbox m
join logic.account l on l.account_id = m.account_id
cross join lateral (
  select count(*) as messages, count(*) filter (where not x.seen) as unseen, coalesce(sum(x.size), 0)::bigint as bytes
  from store.message x where x.account_id = m.account_id and x.mailbox_id = m.id
) n;
comment on view report.mailbox is 'Mailboxes with their number of messages';
comment on column report.mailbox.address is 'Whose it is';
comment on column report.mailbox.mailbox is 'Its name';
comment on column report.mailbox.messages is 'Messages in it';
comment on column report.mailbox.unseen is 'Those that have not been read';
comment on column report.mailbox.bytes is 'Bytes in it';
comment on column report.mailbox.mailbox_id is 'Number of the mailbox';
select logic.take_comments('report.mailbox', 'store.mailbox');

create view report.message as
select l.address, b.name as mailbox, m.uid, m.internal_date, c.from_address, c.subject, c.sent_at, m.size, m.seen, m.answered,
  m.flagged, m.deleted, m.draft, m.keywords, c.to_addresses, c.attachments, c.message_id, m.account_id, m.mailbox_id, m.content_id
from store.message m
join store.mailbox b on b.account_id = m.account_id and b.id = m.mailbox_id
join store.content c on c.id = m.content_id
join logic.account l on l.account_id = m.account_id;
comment on view report.message is 'Messages as people look for them';
comment on column report.message.address is 'Whose it is';
comment on column report.message.mailbox is 'Name of the mailbox';
select logic.take_comments('report.message', 'store.message');
select logic.take_comments('report.message', 'store.content');

create view report.queue as
select q.id as message_id, r.id as recipient_id, q.sender, r.address as recipient, r.state, r.attempts, r.next_attempt_at,
  q.received_at, q.size, c.subject, r.domain, r.last_attempt_at, r.last_reply, d.down_until, d.down_reason,
  case when r.leased_until > now() then r.leased_by end as being_sent_by
from queue.message q join queue.recipient r on r.message_id = q.id left join store.content c on c.id = q.content_id
left join queue.destination d on d.domain = r.domain;
comment on view report.queue is 'Mail on its way to other servers';
comment on column report.queue.recipient_id is 'Number of the recipient in the queue';
comment on column report.queue.recipient is 'Where it goes';
comment on column report.queue.being_sent_by is 'The node that is sending it now; empty = none';
select logic.take_comments('report.queue', 'queue.recipient');
select logic.take_comments('report.queue', 'queue.message');
select logic.take_comments('report.queue', 'queue.destination');
select logic.take_comments('report.queue', 'store.content');

create view report.attempt as
select a.at, a.message_id, a.sender, a.recipient, a.outcome, a.attempt, a.host, host(a.address) as address, a.tls, a.reply, a.milliseconds, a.size,
  c.subject, c.message_id as header_message_id, a.node
from queue.attempt a left join store.content c on c.id = a.content_id;
comment on view report.attempt is 'What became of each attempt to deliver mail to other servers';
comment on column report.attempt.header_message_id is 'Message-ID, without angle brackets';
select logic.take_comments('report.attempt', 'queue.attempt');
select logic.take_comments('report.attempt', 'store.content');

create view report.quota_drift as
select u.account_id, u.bytes as counted_bytes, coalesce(s.bytes, 0) as real_bytes, u.messages as counted_messages, coalesce(s.messages, 0) as real_messages
from store.usage u
left join (select account_id, sum(size)::bigint as bytes, count(*) as messages from store.message group by account_id) s on s.account_id = u.account_id
where (u.bytes, u.messages) is distinct from (coalesce(s.bytes, 0), coalesce(s.messages, 0));
comment on view report.quota_drift is 'Accounts whose counted usage differs from what they keep; always empty';
comment on column report.quota_drift.account_id is 'The account';
comment on column report.quota_drift.counted_bytes is 'Bytes by the count that is kept';
comment on column report.quota_drift.real_bytes is 'Bytes by its messages';
comment on column report.quota_drift.counted_messages is 'Messages by the count that is kept';
comment on column report.quota_drift.real_messages is 'Messages that there are';

create view report.text_index as
select c.contents, coalesce(t.indexed, 0) as indexed, greatest(c.contents - coalesce(t.known, 0), 0) as waiting,
  coalesce(t.too_large, 0) as too_large, coalesce(t.damaged, 0) as damaged, t.last_indexed_at,
  pg_total_relation_size('store.text') as disk_bytes, s.index_text as enabled
from control.store s cross join (select count(*) as contents from store.content) c
-- Rows of older versions are made again, so they wait.
left join (select count(*) as known, count(*) filter (where left_out is null) as indexed,
    count(*) filter (where left_out = 'too large') as too_large, count(*) filter (where left_out = 'damaged') as damaged,
    max(indexed_at) as last_indexed_at
  from store.text group by version order by version desc limit 1) t on true;
comment on view report.text_index is 'How far the text index has come: messages that are in it, wait for it, or are left out and read by each search';
comment on column report.text_index.contents is 'Messages there are';
comment on column report.text_index.indexed is 'Those in the index';
comment on column report.text_index.waiting is 'Those that wait for it';
comment on column report.text_index.too_large is 'Those left out because of their size';
comment on column report.text_index.damaged is 'Those left out because their text could not be read';
comment on column report.text_index.last_indexed_at is 'When the last one came in';
comment on column report.text_index.disk_bytes is 'Bytes on disk';
comment on column report.text_index.enabled is 'Whether new mail is indexed (control.store.index_text)';
