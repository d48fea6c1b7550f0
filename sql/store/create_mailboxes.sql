-- Creates the mailboxes $2 of account $1 that do not exist yet, the last one with special use $3. UIDVALIDITY is counted
-- up in the account, so that a name that comes back gets a higher one (RFC 9051, 2.3.1.1). Returns the new names.
with n as (
  update store.usage set next_uid_validity = greatest(next_uid_validity, extract(epoch from now())::bigint) + cardinality($2::text[])
  where account_id = $1 returning next_uid_validity - cardinality($2::text[]) - 1 as last
)
insert into store.mailbox (account_id, name, uid_validity, special_use)
select $1, name, n.last + place, case when place = cardinality($2::text[]) then $3::text end
from n, unnest($2::text[]) with ordinality as w (name, place)
where not exists (select 1 from store.mailbox m where m.account_id = $1 and m.name = w.name)
on conflict (account_id, name) do nothing
returning name
