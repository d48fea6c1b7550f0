-- The recipients $1 wait until $2; $3 was said about them, and their senders have been told where $4 says so. Who is held meanwhile
-- stays held.
update queue.recipient r set attempts = r.attempts + 1, next_attempt_at = v.next, last_attempt_at = now(), last_reply = v.reply,
  delay_reported = r.delay_reported or v.reported, leased_by = null, leased_until = null
from unnest($1::bigint[], $2::timestamptz[], $3::text[], $4::boolean[]) as v (id, next, reply, reported)
where r.id = v.id
