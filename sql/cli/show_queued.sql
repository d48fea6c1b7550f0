-- What is known of message $1, as one JSON value: its envelope while it is in the queue, its recipients there, and the attempts made
-- so far, which are known for longer.
select jsonb_build_object(
  'id', $1::bigint,
  'envelope', (select jsonb_build_object('sender', m.sender, 'account', a.local_part || '@' || d.name, 'subject', c.subject, 'message_id', c.message_id,
      'received_at', m.received_at, 'size', m.size, 'body_type', m.body_type, 'smtputf8', m.smtputf8, 'require_tls', m.require_tls,
      'priority', m.priority, 'deliver_by', m.deliver_by, 'envelope_id', m.envelope_id)
    from queue.message m left join store.content c on c.id = m.content_id
    left join directory.account a on a.id = m.account_id left join directory.domain d on d.id = a.domain_id
    where m.id = $1),
  'recipients', (select coalesce(jsonb_agg(jsonb_build_object('address', q.recipient, 'state', q.state, 'attempts', q.attempts,
      'next_attempt_at', q.next_attempt_at, 'due_in_seconds', extract(epoch from q.next_attempt_at - now())::bigint,
      'last_reply', coalesce(q.last_reply, q.down_reason), 'being_sent_by', q.being_sent_by) order by q.recipient_id), '[]')
    from report.queue q where q.message_id = $1),
  'attempts', (select coalesce(jsonb_agg(jsonb_build_object('at', to_char(t.at, 'YYYY-MM-DD HH24:MI:SS'), 'recipient', t.recipient, 'outcome', t.outcome,
      'attempt', t.attempt, 'host', t.host, 'address', t.address, 'tls', t.tls, 'reply', t.reply, 'milliseconds', t.milliseconds) order by t.at), '[]')
    from report.attempt t where t.message_id = $1))
