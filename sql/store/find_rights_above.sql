-- Who owns the mailboxes of $2@$3 (as in find_shared.sql; $4: a public account), and what account $1 may do in the one above
-- the name $5.
select o.id, logic.rights_above(o.id, $5::text, $1)
from directory.domain d
join directory.account o on o.domain_id = d.id and o.local_part = $2 and o.public = $4 and o.id <> $1
where d.name = $3::text or $3::text is null and d.id = (select domain_id from directory.account where id = $1)
