-- Removes alias $1 of domain $2.
delete from directory.alias a using directory.domain d where d.id = a.domain_id and a.local_part = $1 and d.name = $2
