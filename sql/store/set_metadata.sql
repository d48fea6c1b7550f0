-- Sets the annotations $4 of mailbox $3 of account $2, private ones of account $1 where $5 is true, to the values $6; those
-- whose value is null go. Returns whether it did: not, where a mailbox would have more than $7 of one user or shared.
with wanted as (
  select case when private then $1::bigint else 0 end as user_id, entry, value
  from unnest($4::text[], $5::boolean[], $6::bytea[]) w (entry, private, value)
), over as (
  select 1 from (
    select user_id from wanted where value is not null
    union all
    select m.user_id from store.metadata m
    where m.account_id = $2 and m.mailbox_id = $3 and m.user_id in (select user_id from wanted where value is not null)
      and not exists (select 1 from wanted w where w.user_id = m.user_id and w.entry = m.entry)
  ) u
  group by user_id having count(*) > $7::int
), gone as (
  delete from store.metadata m using wanted w
  where m.account_id = $2 and m.mailbox_id = $3 and m.user_id = w.user_id and m.entry = w.entry and w.value is null
    and not exists (select 1 from over)
), put as (
  insert into store.metadata (account_id, mailbox_id, user_id, entry, value)
  select $2, $3, user_id, entry, value from wanted where value is not null and not exists (select 1 from over)
  on conflict (account_id, mailbox_id, user_id, entry) do update set value = excluded.value
)
select not exists (select 1 from over)
