-- The account with the authority of directory $1.
select url, key::text, contact from control.acme_account where directory = $1
