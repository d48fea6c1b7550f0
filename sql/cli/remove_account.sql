-- Removes account $1 of domain $2 and its mail.
delete from directory.account a using directory.domain d where d.id = a.domain_id and a.local_part = $1 and d.name = $2
