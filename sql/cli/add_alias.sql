-- Makes alias $1 in domain $2 with targets $3; $4: only for users who have logged in.
insert into directory.alias (domain_id, local_part, targets, authenticated_only)
select d.id, $1::text, $3::text[], $4::boolean from directory.domain d where d.name = $2
