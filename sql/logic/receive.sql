-- Who may give which sender.

create function logic.normalise_permission() returns trigger language plpgsql as $$
begin
  new.pattern := lower(normalize(btrim(new.pattern), nfc));
  return new;
end $$;
create trigger normalise before insert or update of pattern on directory.sender_permission
for each row execute function logic.normalise_permission();

-- The domain here that a name means: its own, or another name of it; null where there is none.
create function logic.domain_of(name text) returns bigint language sql stable as $$
  select coalesce(n.domain_id, (select a.domain_id from directory.domain_alias a where a.id = n.alias_id))
  from directory.domain_name n where n.name = domain_of.name
$$;

-- Which entry of directory.address an address is, its detail left aside; null where there is none.
create function logic.address_of(local text, domain text) returns directory.address language sql stable as $$
  select x from directory.address x
  where x.domain_id = logic.domain_of(address_of.domain)
    and (x.local_part = address_of.local or x.local_part = (
      select split_part(address_of.local, s.subaddress_separator, 1) from control.directory s
      where s.subaddress_separator <> '' and position(s.subaddress_separator in address_of.local) > 1))
  order by x.local_part = address_of.local desc limit 1
$$;

-- What is known of a sender's address: no row where its domain is none of ours. It comes in key form.
create function logic.sender(local text, domain text) returns table (exists_here boolean, needs_login boolean)
language sql stable as $$
  select exists (select 1 from logic.resolve(sender.local, sender.domain, true) r where r.kind in ('account', 'remote')),
    coalesce(
      (select a.sender_needs_login from directory.account a where a.id = (logic.address_of(sender.local, sender.domain)).account_id),
      d.sender_needs_login, (select local_senders_need_login from control.smtp))
  from directory.domain d where d.id = logic.domain_of(sender.domain)
$$;

-- Whether an account may give an address, in key form, as sender.
create function logic.may_send_as(account bigint, local text, domain text) returns boolean language sql stable as $$
  select coalesce(a.mail_from_policy, (select mail_from_policy from control.smtp)) = 'any'
    or coalesce(x.account_id = a.id, false)
    -- Aliases are followed to the end, as mail is.
    or x.alias_id is not null
      and exists (select 1 from logic.resolve(may_send_as.local, may_send_as.domain, true) r where r.kind = 'account' and r.account_id = a.id)
    or exists (select 1 from directory.sender_permission p where p.account_id = a.id
      and p.pattern in (may_send_as.local || '@' || may_send_as.domain, '*@' || may_send_as.domain))
  from directory.account a left join lateral logic.address_of(may_send_as.local, may_send_as.domain) x on true
  where a.id = may_send_as.account
$$;

-- Has what waits for another attempt to a domain tried now, and says how many recipients wait there. What its sender holds
-- back stays (it has had no attempt).
create function logic.hasten(name text, subdomains boolean) returns bigint language plpgsql as $$
declare domains text[]; waiting bigint;
begin
  select array_agg(distinct r.domain) into domains from queue.recipient r
  where r.state = 'waiting' and (r.domain = name or subdomains and right(r.domain, length(name) + 1) = '.' || name);
  if domains is null then return 0; end if;
  perform logic.look_at_destinations(domains, array_fill(now(), array[cardinality(domains)]));
  update queue.destination set down_until = null where domain = any (domains);
  update queue.recipient set next_attempt_at = now()
  where state = 'waiting' and domain = any (domains) and attempts > 0 and next_attempt_at > now();
  select count(*) into waiting from queue.recipient where state = 'waiting' and domain = any (domains);
  perform pg_notify('queue', '');
  return waiting;
end $$;
