-- Recipients in the queue that are next to be tried, at most $3, each as one JSON value: of domain $1 and in state $2, where
-- these are not null.
select to_jsonb(x) - 'recipient_id' from (
  select q.message_id, q.recipient_id, q.sender, q.recipient, q.state, q.attempts, q.next_attempt_at, q.received_at, q.size, q.subject, q.being_sent_by,
    extract(epoch from q.next_attempt_at - now())::bigint as due_in_seconds, coalesce(q.last_reply, q.down_reason) as last_reply
  from report.queue q
  where ($1::text is null or q.domain = $1) and ($2::text is null or q.state::text = $2)
  order by q.next_attempt_at, q.message_id, q.recipient_id limit $3
) x order by x.next_attempt_at, x.message_id, x.recipient_id
