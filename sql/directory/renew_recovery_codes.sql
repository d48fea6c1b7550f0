-- New recovery codes, by their hashes $2, in place of those of second factor $1.
with gone as (
  delete from directory.recovery_code where second_factor_id = $1
)
insert into directory.recovery_code (second_factor_id, code_hash) select f.id, h from directory.second_factor f, unnest($2::text[]) h where f.id = $1
