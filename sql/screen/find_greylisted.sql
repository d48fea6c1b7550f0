-- What is known of sender $2 writing to recipient $3 from network $1, in seconds since 1970, and of the network. Always one row.
select extract(epoch from g.first_at)::bigint, extract(epoch from g.last_at)::bigint, extract(epoch from g.passed_at)::bigint,
  n.passed, extract(epoch from n.last_at)::bigint
from (select 1) one
left join screen.greylist g on g.network = $1::text::cidr and g.sender = $2 and g.recipient = $3
left join screen.greylist_network n on n.network = $1::text::cidr
