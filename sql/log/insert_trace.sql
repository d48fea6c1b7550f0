-- Writes a batch of the trace of node $1. What a crash of the database would take along is the last half second of the trace,
-- never mail, so the commit need not wait for the disk.
insert into log.trace (node, at, message, step, session_id, peer, account_id, command, sender, recipient, size, message_id,
  mailbox_id, uid, queue_id, reply)
select $1, v.at, v.message, v.step::log.step, v.session_id, v.peer, v.account_id, v.command, v.sender, v.recipient, v.size, v.message_id,
  v.mailbox_id, v.uid, v.queue_id, v.reply
from unnest($2::timestamptz[], $3::text[], $4::text[], $5::bigint[], $6::inet[], $7::bigint[], $8::text[], $9::text[], $10::text[],
    $11::bigint[], $12::text[], $13::bigint[], $14::bigint[], $15::bigint[], $16::text[])
    with ordinality as v (at, message, step, session_id, peer, account_id, command, sender, recipient, size, message_id,
      mailbox_id, uid, queue_id, reply, place),
  (select set_config('synchronous_commit', 'off', true)) off
order by v.place
