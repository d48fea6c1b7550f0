-- Makes the accounts u1 to u$1 of example.test, with the password hash $2 and the SCRAM keys $3.
insert into directory.account (domain_id, local_part, password_hash, scram)
select d.id, 'u' || n::text, $2::text, $3::text from directory.domain d, generate_series(1, $1::integer) n where d.name = 'example.test'
