-- Counts what the mailboxes of each domain keep, today.
insert into log.domain_storage as s (day, domain_id, accounts, messages, bytes)
select (now() at time zone 'UTC')::date, d.id, count(a.id), coalesce(sum(u.messages), 0), coalesce(sum(u.bytes), 0)
from directory.domain d left join directory.account a on a.domain_id = d.id left join store.usage u on u.account_id = a.id
group by d.id
on conflict (day, domain_id) do update set accounts = excluded.accounts, messages = excluded.messages, bytes = excluded.bytes,
  looked_at = excluded.looked_at
