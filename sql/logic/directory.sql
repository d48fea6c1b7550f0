-- What must hold among domains, accounts and aliases; and the one question the daemon asks: where does this address go?

create function logic.normalise_domain() returns trigger language plpgsql as $$
begin
  new.name := lower(rtrim(btrim(new.name), '.'));
  new.catch_all := lower(btrim(new.catch_all));
  return new;
end $$;
create trigger normalise before insert or update of name, catch_all on directory.domain
for each row execute function logic.normalise_domain();

create function logic.normalise_local_part() returns trigger language plpgsql as $$
begin
  new.local_part := lower(normalize(new.local_part, nfc));
  return new;
end $$;
create trigger normalise before insert or update of local_part on directory.account
for each row execute function logic.normalise_local_part();

create function logic.normalise_alias() returns trigger language plpgsql as $$
declare bad text;
begin
  new.local_part := lower(normalize(new.local_part, nfc));
  select t into bad from unnest(new.targets) t where t !~ '^[^@[:space:][:cntrl:]]+@[^@[:space:][:cntrl:]]+$' or octet_length(t) > 320 limit 1;
  if found then
    raise exception '"%" is no target for an alias: write an address like someone@example.test', bad using errcode = 'check_violation';
  end if;
  return new;
end $$;
create trigger normalise before insert or update on directory.alias
for each row execute function logic.normalise_alias();

create function logic.check_max_accounts() returns trigger language plpgsql as $$
declare over record;
begin
  select d.name, d.max_accounts, count(*) as n into over
  from directory.domain d join directory.account a on a.domain_id = d.id
  where d.max_accounts > 0 and d.id in (select domain_id from new_rows)
  group by d.id having count(*) > d.max_accounts limit 1;
  if found then
    raise exception 'domain % would have % accounts, and its max_accounts is %', over.name, over.n, over.max_accounts
      using errcode = 'check_violation', hint = 'Raise max_accounts of the domain, or remove accounts.';
  end if;
  return null;
end $$;
create trigger check_max_accounts after insert on directory.account referencing new table as new_rows
for each statement execute function logic.check_max_accounts();

-- An account that moves to another domain is a new one there. Where nothing moves nothing is asked: a domain may have
-- more accounts than its limit, if that was lowered.
create function logic.check_max_accounts_moved() returns trigger language plpgsql as $$
declare over record;
begin
  select d.name, d.max_accounts, count(*) as n into over
  from directory.domain d join directory.account a on a.domain_id = d.id
  where d.max_accounts > 0
    and d.id in (select n.domain_id from new_rows n join old_rows o on o.id = n.id and o.domain_id <> n.domain_id)
  group by d.id having count(*) > d.max_accounts limit 1;
  if found then
    raise exception 'domain % would have % accounts, and its max_accounts is %', over.name, over.n, over.max_accounts
      using errcode = 'check_violation', hint = 'Raise max_accounts of the domain, or remove accounts.';
  end if;
  return null;
end $$;
create trigger check_max_accounts_moved after update on directory.account
referencing old table as old_rows new table as new_rows
for each statement execute function logic.check_max_accounts_moved();

create function logic.mirror_account() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    insert into directory.address (domain_id, local_part, account_id) values (new.domain_id, new.local_part, new.id);
  else
    update directory.address set domain_id = new.domain_id, local_part = new.local_part where account_id = new.id;
  end if;
  return null;
end $$;
create trigger mirror after insert or update of domain_id, local_part on directory.account
for each row execute function logic.mirror_account();

create function logic.mirror_alias() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    insert into directory.address (domain_id, local_part, alias_id) values (new.domain_id, new.local_part, new.id);
  else
    update directory.address set domain_id = new.domain_id, local_part = new.local_part where alias_id = new.id;
  end if;
  return null;
end $$;
create trigger mirror after insert or update of domain_id, local_part on directory.alias
for each row execute function logic.mirror_alias();

-- A new account gets the mailboxes that mail programs expect.
create function logic.furnish_account() returns trigger language plpgsql as $$
declare validity bigint := greatest(extract(epoch from now())::bigint, 1);
begin
  insert into store.usage (account_id, next_uid_validity) values (new.id, validity + 6);
  insert into store.mailbox (account_id, name, uid_validity, special_use)
  values (new.id, 'INBOX', validity, null), (new.id, 'Archive', validity + 1, '\Archive'), (new.id, 'Drafts', validity + 2, '\Drafts'),
    (new.id, 'Junk', validity + 3, '\Junk'), (new.id, 'Sent', validity + 4, '\Sent'), (new.id, 'Trash', validity + 5, '\Trash');
  insert into store.subscription (account_id, name)
  select new.id, name from unnest(array['INBOX', 'Archive', 'Drafts', 'Junk', 'Sent', 'Trash']) name;
  return null;
end $$;
create trigger furnish after insert on directory.account for each row execute function logic.furnish_account();

-- An account and what delivery and login need to know of it, effective limits filled in.
create view logic.account as
select a.id as account_id, a.domain_id, a.local_part || '@' || d.name as address, a.active and d.active as active,
  a.password_hash, a.scram, a.forbidden_services,
  nullif(coalesce(a.quota_bytes, d.quota_bytes, (select quota_bytes from control.directory)), 0)::bigint as quota_bytes,
  coalesce(a.max_message_bytes, d.max_message_bytes, (select max_message_bytes from control.smtp))::bigint as max_message_bytes,
  u.bytes as used_bytes, i.id as inbox_id
from directory.account a
join directory.domain d on d.id = a.domain_id
left join store.usage u on u.account_id = a.id
left join store.mailbox i on i.account_id = a.id and i.name = 'INBOX';

-- Where mail for a local address goes. The address comes in lower case, NFC, its domain in ASCII.
-- Rows: kind 'account' (account_id and the rest), 'remote' (address), 'unknown', 'restricted' (only for users who have
-- logged in) or 'not local' when the domain is none of ours. Aliases are followed to the end, each address once,
-- however they point at one another, up to 20 levels and 10,000 addresses.
create function logic.resolve(local text, domain text, authenticated boolean)
returns table (kind text, address text, account_id bigint, inbox_id bigint, quota_bytes bigint, used_bytes bigint, max_message_bytes bigint)
language plpgsql stable as $$
#variable_conflict use_column
declare
  d directory.domain;
  found_address directory.address;
  separator text := (select subaddress_separator from control.directory);
  pending text[] := array[local || '@' || domain];
  seen text[] := pending;
  next text[];
  level integer := 0;
  item text;
  item_local text;
  item_domain text;
  base text;
  target_alias directory.alias;
  target logic.account;
  catches boolean;
begin
  select * into d from directory.domain x where x.name = resolve.domain;
  if not found then
    return query select 'not local', local || '@' || domain, null::bigint, null::bigint, null::bigint, null::bigint, null::bigint;
    return;
  end if;
  while cardinality(pending) > 0 and level < 20 loop
    next := '{}';
    foreach item in array pending loop
      -- The last @ divides: a quoted local part may hold one.
      item_domain := substring(item from '[^@]*$');
      item_local := left(item, length(item) - length(item_domain) - 1);
      select * into d from directory.domain x where x.name = item_domain;
      if not found then
        return query select 'remote', item, null::bigint, null::bigint, null::bigint, null::bigint, null::bigint;
        continue;
      end if;
      found_address := null;
      catches := false;
      if d.active then
        select * into found_address from directory.address x where x.domain_id = d.id and x.local_part = item_local;
        if not found and separator <> '' and position(separator in item_local) > 1 then
          base := split_part(item_local, separator, 1);
          select * into found_address from directory.address x where x.domain_id = d.id and x.local_part = base;
        end if;
        catches := found_address.domain_id is null and d.catch_all is not null;
      end if;
      if found_address.account_id is not null then
        select * into target from logic.account x where x.account_id = found_address.account_id;
        if target.active then
          return query select 'account', target.address, target.account_id, target.inbox_id, target.quota_bytes, target.used_bytes, target.max_message_bytes;
        else
          return query select 'unknown', item, null::bigint, null::bigint, null::bigint, null::bigint, null::bigint;
        end if;
        continue;
      end if;
      if found_address.alias_id is not null then
        select * into target_alias from directory.alias x where x.id = found_address.alias_id;
        if not target_alias.active then
          return query select 'unknown', item, null::bigint, null::bigint, null::bigint, null::bigint, null::bigint;
        elsif target_alias.authenticated_only and not authenticated then
          return query select 'restricted', item, null::bigint, null::bigint, null::bigint, null::bigint, null::bigint;
        else
          next := next || array(select distinct lower(t) from unnest(target_alias.targets) t where lower(t) <> all (seen));
          seen := seen || next;
        end if;
      elsif catches and d.catch_all <> all (seen) then
        next := next || d.catch_all;
        seen := seen || d.catch_all;
      else
        return query select 'unknown', item, null::bigint, null::bigint, null::bigint, null::bigint, null::bigint;
      end if;
      exit when cardinality(seen) > 10000;
    end loop;
    pending := next;
    level := level + 1;
  end loop;
end $$;
