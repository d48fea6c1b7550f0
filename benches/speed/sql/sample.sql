-- The rows of one message, as the client inserts them again.
select c.size, c.header_size, c.sent_at, c.structure_version, c.subject, c.from_address, c.message_id,
  array_to_string(c.to_addresses, e'\n'), array_to_string(c.attachments, e'\n'), c.header, c.envelope, c.structure,
  k.size, k.codec, k.bytes, m.size, m.prefix
from store.message m join store.content c on c.id = m.content_id join store.content_chunk k on k.content_id = c.id
limit 1
