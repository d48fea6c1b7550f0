-- All accounts, of domain $1 if it is not null, each as one JSON value.
select to_jsonb(x) from (
  select l.local_part, d.name as domain, l.display_name, l.active and d.active as active, l.password_hash is not null as has_password,
    u.messages, u.bytes as used_bytes, a.quota_bytes, a.max_message_bytes, l.forbidden_services
  from directory.account l
  join directory.domain d on d.id = l.domain_id
  join logic.account a on a.account_id = l.id
  left join store.usage u on u.account_id = l.id
  where $1::text is null or d.name = $1
) x order by x.domain, x.local_part
