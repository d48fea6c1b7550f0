-- The account $1 of domain $2.
select a.id from directory.account a join directory.domain d on d.id = a.domain_id where a.local_part = $1 and d.name = $2
