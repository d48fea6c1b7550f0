-- Whether people of the domain $1 (lower case, ASCII) have their mail here.
select exists (select 1 from directory.domain_name where name = $1 and remote_id is null)
