-- Queues one message of a batch for other servers: content by digest ($1), envelope, and a row for each recipient.
with m as (
  insert into queue.message (content_id, prefix, size, sender, account_id, envelope_id, return_full, smtputf8, body_type)
  select c.id, $2, $3, $4, $5, $6, $7, $8, $9 from store.content c where c.digest = $1
  returning id
)
insert into queue.recipient (message_id, address, domain, notify, original_recipient)
select m.id, r.address, r.domain, string_to_array(r.notify, ','), r.original
from m, unnest($10::text[], $11::text[], $12::text[], $13::text[]) as r (address, domain, notify, original)
