-- Contents of a batch, each digest once. One that is stored already stays, marked as used so that the collector spares it.
insert into store.content (id, digest, size, header_size, sent_at, structure_version, subject, from_address, message_id,
  to_addresses, attachments, header, envelope, structure, thread_id)
select id, digest, size, header_size, sent_at, version, subject, from_address, message_id,
  string_to_array(to_addresses, e'\n'), string_to_array(attachments, e'\n'), header, envelope, structure, thread_id
from unnest($1::bigint[], $2::bytea[], $3::bigint[], $4::integer[], $5::timestamptz[], $6::smallint[], $7::text[], $8::text[],
  $9::text[], $10::text[], $11::text[], $12::bytea[], $13::bytea[], $14::bytea[], $15::text[])
  as c (id, digest, size, header_size, sent_at, version, subject, from_address, message_id, to_addresses, attachments, header, envelope,
    structure, thread_id)
on conflict (digest) do update set used_at = now()
