-- Contents of a batch, as plainly as they can be inserted.
insert into store.content (id, digest, size, header_size, sent_at, structure_version, subject, from_address, message_id,
  to_addresses, attachments, header, envelope, structure)
select id, digest, size, header_size, sent_at, version, subject, from_address, message_id,
  string_to_array(to_addresses, e'\n'), string_to_array(attachments, e'\n'), header, envelope, structure
from unnest($1::bigint[], $2::bytea[], $3::bigint[], $4::integer[], $5::timestamptz[], $6::smallint[], $7::text[], $8::text[],
  $9::text[], $10::text[], $11::text[], $12::bytea[], $13::bytea[], $14::bytea[])
  as c (id, digest, size, header_size, sent_at, version, subject, from_address, message_id, to_addresses, attachments, header, envelope, structure)
