-- All mailboxes of account $1 and all names it has subscribed to (id is null for a name without mailbox), and the mailboxes
-- of others that it may look up, with their owner and its rights.
select coalesce(m.name, s.name), m.id, m.uid_validity, m.uid_next, m.recent_uid, m.highest_modseq, m.special_use, s.name is not null,
  null::bigint, null::text, null::text, null::text, null::boolean
from (select * from store.mailbox where account_id = $1) m
full join (select * from store.subscription where account_id = $1) s on s.name = m.name
union all
select m.name, m.id, m.uid_validity, m.uid_next, m.recent_uid, m.highest_modseq, null, false,
  g.account_id, g.rights, o.local_part::text, nullif(d.name, (
    select h.name from directory.account a join directory.domain h on h.id = a.domain_id where a.id = $1 and o.public)), o.public
from logic.granted($1) g
join store.mailbox m on m.account_id = g.account_id and m.id = g.mailbox_id
join directory.account o on o.id = g.account_id
join directory.domain d on d.id = o.domain_id
