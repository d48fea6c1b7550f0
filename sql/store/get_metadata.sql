-- The annotations of mailboxes (owners $2, ids $3; 0 and 0: the server) that the names $4 cover, each private or shared ($5),
-- as account $1 sees them. Depth $6: 0 only these, 1 also those directly below, -1 all below.
select distinct m.mailbox_id, m.user_id <> 0, m.entry, m.value
from unnest($2::bigint[], $3::bigint[]) o (account_id, mailbox_id)
cross join unnest($4::text[], $5::boolean[]) w (entry, private)
join store.metadata m on m.account_id = o.account_id and m.mailbox_id = o.mailbox_id and m.user_id = case when w.private then $1::bigint else 0 end
where m.entry = w.entry
  or $6::int <> 0 and starts_with(m.entry, w.entry || '/') and ($6::int < 0 or strpos(substring(m.entry from length(w.entry) + 2), '/') = 0)
order by 1, 2 desc, 3
