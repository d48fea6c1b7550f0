-- Leases what is due to node $1 for $2 seconds: of at most $3 domains not in $5, at most $4 recipients each. In the order in which
-- they are to be sent, recipients of one message together.
select recipient_id, message_id, address, domain, attempts, array_to_string(notify, ','), original_recipient, delay_reported, failures,
  content_id, content_size, prefix, size, sender, account_id, received_at, envelope_id, return_full, smtputf8, body_type,
  require_tls, priority, deliver_by, deliver_by_return, deliver_by_trace, trace
from logic.claim_due($1, make_interval(secs => $2), $3, $4, $5)
