-- An account $2 of the demonstration in domain $1, with password hash $3 and SCRAM keys $4, unless it is there.
insert into directory.account (domain_id, local_part, password_hash, scram)
select d.id, $2::text, $3::text, $4::text from directory.domain d where d.name = $1
  and not exists (select 1 from directory.address a where a.domain_id = d.id and a.local_part = $2::text)
