-- What would be lost with account $1 of domain $2: messages and bytes. No row: there is no such account.
select coalesce(u.messages, 0), coalesce(u.bytes, 0)
from directory.account a join directory.domain d on d.id = a.domain_id left join store.usage u on u.account_id = a.id
where a.local_part = $1 and d.name = $2
