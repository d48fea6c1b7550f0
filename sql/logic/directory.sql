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

create function logic.check_addresses(addresses text[], what text) returns void language plpgsql immutable as $$
declare bad text;
begin
  select t into bad from unnest(addresses) t where t !~ '^[^@[:space:][:cntrl:]]+@[^@[:space:][:cntrl:]]+$' or octet_length(t) > 320 limit 1;
  if found then
    raise exception '"%" is no target for %: write an address like someone@example.test', bad, what using errcode = 'check_violation';
  end if;
end $$;

create function logic.normalise_alias() returns trigger language plpgsql as $$
begin
  new.local_part := lower(normalize(new.local_part, nfc));
  perform logic.check_addresses(new.targets, 'an alias');
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
  u.bytes as used_bytes, i.id as inbox_id, a.forward_to, a.forward_keep,
  coalesce(a.max_priority, (select max_priority from control.smtp))::smallint as max_priority,
  u.messages as used_messages,
  nullif(coalesce(a.max_messages, d.max_messages, (select max_messages from control.directory)), 0)::bigint as max_messages,
  coalesce(a.max_mailboxes, d.max_mailboxes, (select max_mailboxes from control.imap))::bigint as max_mailboxes,
  a.manages_domain
from directory.account a
join directory.domain d on d.id = a.domain_id
left join store.usage u on u.account_id = a.id
left join store.mailbox i on i.account_id = a.id and i.name = 'INBOX';

-- Where mail for a local address goes. The address comes in lower case, NFC, its domain in ASCII.
-- Rows: kind 'account' (account_id and the rest), 'remote' (address, and forwarded_by: the address here that forwards
-- to it, none where mail of a remote domain is passed on), 'unknown', 'restricted' (only for users who have logged in) or
-- 'not local' when the domain is none of ours. Aliases and forwarding are followed to the end, each address once, however
-- they point at one another, up to 20 levels and 10,000 addresses.
create function logic.resolve(local text, domain text, authenticated boolean)
returns table (kind text, address text, account_id bigint, inbox_id bigint, quota_bytes bigint, used_bytes bigint, max_message_bytes bigint,
  forwarded_by text, used_messages bigint, max_messages bigint)
language plpgsql stable as $$
#variable_conflict use_column
declare
  d directory.domain;
  remote directory.remote_domain;
  known directory.domain_name;
  found_address directory.address;
  separator text := (select subaddress_separator from control.directory);
  pending text[] := array[local || '@' || domain];
  -- Who forwards to these.
  senders text[] := array[null::text];
  seen text[] := pending;
  next text[];
  next_senders text[];
  targets text[];
  level integer := 0;
  item text;
  item_local text;
  item_domain text;
  base text;
  target_alias directory.alias;
  target logic.account;
  sender text;
begin
  if not exists (select 1 from directory.domain_name x where x.name = resolve.domain) then
    return query select 'not local', local || '@' || domain, null::bigint, null::bigint, null::bigint, null::bigint, null::bigint, null::text,
      null::bigint, null::bigint;
    return;
  end if;
  while cardinality(pending) > 0 and level < 20 loop
    next := '{}';
    next_senders := '{}';
    for place in 1 .. cardinality(pending) loop
      item := pending[place];
      -- The last @ divides: a quoted local part may hold one.
      item_domain := substring(item from '[^@]*$');
      item_local := left(item, length(item) - length(item_domain) - 1);
      base := case when separator <> '' and position(separator in item_local) > 1 then split_part(item_local, separator, 1) end;
      targets := '{}';
      sender := null;
      select * into known from directory.domain_name x where x.name = item_domain;
      if not found then
        return query select 'remote', item, null::bigint, null::bigint, null::bigint, null::bigint, null::bigint, senders[place],
          null::bigint, null::bigint;
        continue;
      end if;
      if known.remote_id is not null then
        select * into remote from directory.remote_domain x where x.id = known.remote_id;
        if not remote.active or exists (select 1 from directory.remote_recipient x where x.domain_id = remote.id)
          and not exists (select 1 from directory.remote_recipient x where x.domain_id = remote.id and x.local_part in (item_local, base)) then
          return query select 'unknown', item, null::bigint, null::bigint, null::bigint, null::bigint, null::bigint, null::text,
            null::bigint, null::bigint;
          continue;
        end if;
        if remote.forward = 'remote host' then
          return query select 'remote', item, null::bigint, null::bigint, null::bigint, null::bigint, null::bigint, senders[place],
            null::bigint, null::bigint;
          continue;
        end if;
        targets := array[case when remote.forward = 'one address' then remote.address
          else item_local || '@' || (select x.name from directory.domain x where x.id = remote.local_domain_id) end];
        sender := item;
      else
        select * into d from directory.domain x
        where x.id = coalesce(known.domain_id, (select x.domain_id from directory.domain_alias x where x.id = known.alias_id));
        found_address := null;
        if d.active then
          select * into found_address from directory.address x where x.domain_id = d.id and x.local_part = item_local;
          if not found then
            select * into found_address from directory.address x where x.domain_id = d.id and x.local_part = base;
          end if;
        end if;
        if found_address.account_id is not null then
          select * into target from logic.account x where x.account_id = found_address.account_id;
          sender := target.address;
          if target.active then
            targets := logic.forward_targets(target.forward_to, d.forwarding_forbidden);
            if target.forward_keep or targets = '{}' or target.address = any(targets) then
              return query select 'account', target.address, target.account_id, target.inbox_id, target.quota_bytes, target.used_bytes,
                target.max_message_bytes, null::text, target.used_messages, target.max_messages;
            end if;
          else
            return query select 'unknown', item, null::bigint, null::bigint, null::bigint, null::bigint, null::bigint, null::text,
              null::bigint, null::bigint;
          end if;
        elsif found_address.alias_id is not null then
          select * into target_alias from directory.alias x where x.id = found_address.alias_id;
          sender := target_alias.local_part || '@' || d.name;
          if not target_alias.active then
            return query select 'unknown', item, null::bigint, null::bigint, null::bigint, null::bigint, null::bigint, null::text,
              null::bigint, null::bigint;
          elsif target_alias.authenticated_only and not authenticated then
            return query select 'restricted', item, null::bigint, null::bigint, null::bigint, null::bigint, null::bigint, null::text,
              null::bigint, null::bigint;
          else
            targets := logic.forward_targets(target_alias.targets, d.forwarding_forbidden);
          end if;
        elsif d.active and d.catch_all is not null then
          targets := array[d.catch_all];
          sender := item;
        else
          return query select 'unknown', item, null::bigint, null::bigint, null::bigint, null::bigint, null::bigint, null::text,
            null::bigint, null::bigint;
        end if;
      end if;
      targets := array(select distinct lower(t) from unnest(targets) t where lower(t) <> all (seen));
      next := next || targets;
      next_senders := next_senders || array_fill(sender, array[cardinality(targets)]);
      seen := seen || targets;
      exit when cardinality(seen) > 10000;
    end loop;
    pending := next;
    senders := next_senders;
    level := level + 1;
  end loop;
end $$;

-- Addresses that mail may go on to: all, or those that are ours.
create function logic.forward_targets(targets text[], only_ours boolean) returns text[] language sql stable as $$
  select case when not only_ours then targets
    else array(select t from unnest(targets) t
      where exists (select 1 from directory.domain_name n where n.name = lower(substring(t from '[^@]*$')) and n.remote_id is null)) end
$$;
