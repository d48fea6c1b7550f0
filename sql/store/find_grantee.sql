-- Whom the identifier $1 means in mailboxes of account $2: an account, or a domain.
select grantee_id, grantee_domain_id from logic.grantee($1, $2)
