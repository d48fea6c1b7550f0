-- What became of attempts to deliver, made by node $1.
insert into queue.attempt (node, message_id, recipient, sender, account_id, content_id, size, outcome, attempt, host, address, tls, reply, milliseconds)
select $1, message_id, recipient, sender, account_id, content_id, size, outcome, attempt, host, address::inet, tls, reply, milliseconds
from unnest($2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::text[], $9::integer[], $10::text[], $11::text[],
  $12::text[], $13::text[], $14::integer[])
  as v (message_id, recipient, sender, account_id, content_id, size, outcome, attempt, host, address, tls, reply, milliseconds)
