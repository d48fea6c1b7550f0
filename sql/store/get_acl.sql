-- Who has rights in mailbox $2 of account $1, the owner first, unless it is a public account, which is nobody's.
select 0 as place, logic.identifier(o.id, null, o.id) as identifier, 'lrswipkxtena' as rights
from directory.account o where o.id = $1 and not o.public
union all
select 1, case when a.negative then '-' else '' end || logic.identifier(a.grantee_id, a.grantee_domain_id, $1), a.rights
from store.acl a where a.account_id = $1 and a.mailbox_id = $2
order by 1, 2
