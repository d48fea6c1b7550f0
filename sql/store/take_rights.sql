-- Takes the rights $6 out of the entry of account $3 or domain $4 for mailbox $2 of account $1, negative or not ($5). An entry
-- that nothing is left of goes.
with gone as (
  delete from store.acl
  where account_id = $1 and mailbox_id = $2 and grantee_id is not distinct from $3 and grantee_domain_id is not distinct from $4
    and negative = $5 and translate(rights, $6, '') = ''
)
update store.acl set rights = translate(rights, $6, '')
where account_id = $1 and mailbox_id = $2 and grantee_id is not distinct from $3 and grantee_domain_id is not distinct from $4
  and negative = $5 and translate(rights, $6, '') <> ''
