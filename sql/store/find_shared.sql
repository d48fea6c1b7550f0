-- The mailbox named $5 of another account, and what account $1 may do in it: of $2@$3, whose domain is that of account $1
-- where $3 is null, and which is a public account or is not ($4).
select m.name, m.id, m.uid_validity, m.uid_next, m.recent_uid, m.highest_modseq, null::text, false,
  m.account_id, logic.rights(m.account_id, m.id, $1)
from directory.domain d
join directory.account o on o.domain_id = d.id and o.local_part = $2 and o.public = $4 and o.id <> $1
join store.mailbox m on m.account_id = o.id and m.name = $5
where d.name = $3::text or $3::text is null and d.id = (select domain_id from directory.account where id = $1)
