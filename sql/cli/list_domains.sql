-- All domains, each as one JSON value.
select to_jsonb(x) from (
  select d.name, d.active, d.is_default, d.catch_all, d.max_accounts, d.quota_bytes, d.max_message_bytes,
    (select count(*) from directory.account a where a.domain_id = d.id) as accounts,
    (select count(*) from directory.alias a where a.domain_id = d.id) as aliases,
    (select coalesce(sum(u.bytes), 0)::bigint from directory.account a join store.usage u on u.account_id = a.id
      where a.domain_id = d.id) as used_bytes
  from directory.domain d
) x order by x.name
