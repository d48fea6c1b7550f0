-- Forgets the account with the authority of directory $1, and all orders there: the authority does not know it (any more).
with gone as (delete from control.acme_order where directory = $1)
delete from control.acme_account where directory = $1
