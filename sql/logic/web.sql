-- Who may see and change what in the web pages. Each request runs in a transaction under the role mailwright_web, which owns
-- nothing, and says who has logged in by settings; row-level security does the rest, so that a page that forgets to ask shows
-- nothing. There are four kinds: system sees and changes everything, an auditor sees everything, a domain administrator sees
-- and changes what belongs to the domain of his account, a user sees his own account and changes little of it.

-- What kind of administrator this transaction works for; null = none. Only the daemon's own role is believed, and only while it works
-- as the role of the pages: the query of a report, which may set the same setting, cannot become that role.
create function logic.web_kind() returns text language sql stable security definer set search_path = pg_catalog as $$
  select case when session_user = pg_get_userbyid(c.relowner) and current_setting('role') = 'mailwright_web' then nullif(current_setting('mailwright.kind', true), '') end
  from pg_class c where c.oid = 'store.mailbox'::regclass
$$;

-- Whoever reads a table asks these, also those who may not look into schema logic: so their bodies are no texts.
create function logic.web_sees() returns boolean language sql stable return coalesce(logic.web_kind() in ('system', 'auditor'), false);
create function logic.web_changes() returns boolean language sql stable return coalesce(logic.web_kind() = 'system', false);

-- The domain that a domain administrator manages, as long as he does.
create function logic.web_domain() returns bigint language sql stable security definer set search_path = pg_catalog as $$
  select a.domain_id from directory.account a join directory.domain d on d.id = a.domain_id
  where logic.web_kind() = 'domain' and a.id = nullif(current_setting('mailwright.account', true), '')::bigint
    and a.manages_domain and a.active and d.active
$$;

-- The account of a user, as long as he may log in.
create function logic.web_account() returns bigint language sql stable security definer set search_path = pg_catalog as $$
  select a.id from directory.account a join directory.domain d on d.id = a.domain_id
  where logic.web_kind() = 'user' and a.id = nullif(current_setting('mailwright.account', true), '')::bigint
    and a.active and d.active and not a.public
$$;

-- Whether an account, named by its id, belongs to that domain.
create function logic.web_has_account(account bigint) returns boolean language sql stable security definer set search_path = pg_catalog as $$
  select exists (select 1 from directory.account a where a.id = account and a.domain_id = logic.web_domain())
$$;

-- Whether an account administers its domain.
create function logic.web_manages(account bigint) returns boolean language sql stable security definer set search_path = pg_catalog as $$
  select exists (select 1 from directory.account a where a.id = account and a.manages_domain)
$$;

-- Everybody who reads these tables under a role of his own sees what the policies let him: the owner of the tables, which is
-- the daemon, and superusers see everything.
do $$
declare
  t record;
  own text;
begin
  for t in
    select n.nspname, c.relname, format('%I.%I', n.nspname, c.relname) as name, c.oid,
      exists (select 1 from pg_attribute a where a.attrelid = c.oid and a.attname = 'domain_id' and not a.attisdropped) as by_domain,
      exists (select 1 from pg_attribute a where a.attrelid = c.oid and a.attname = 'account_id' and not a.attisdropped) as by_account
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind = 'r' and n.nspname in ('control', 'directory', 'queue', 'live', 'log', 'screen')
  loop
    execute format('alter table %s enable row level security', t.name);
    execute format('create policy web_sees on %s for select using ((select logic.web_sees()))', t.name);
    execute format('create policy web_changes on %s using ((select logic.web_changes())) with check ((select logic.web_changes()))', t.name);
    own := case
      when t.name = 'directory.domain' then 'id = (select logic.web_domain())'
      when t.nspname in ('directory', 'log') and t.by_domain then 'domain_id = (select logic.web_domain())'
      when t.nspname in ('directory', 'live') and t.by_account then 'logic.web_has_account(account_id)' end;
    if own is not null then
      execute format('create policy web_domain_sees on %s for select using (%s)', t.name, own);
    end if;
    if t.name = 'directory.account' then
      execute format('create policy web_user_sees on %s for select using (id = (select logic.web_account()))', t.name);
      execute format('create policy web_user_changes on %s for update using (id = (select logic.web_account())) with check (id = (select logic.web_account()))', t.name);
    elsif t.name in ('live.session', 'live.web_session') then
      execute format('create policy web_user_sees on %s for select using (account_id = (select logic.web_account()))', t.name);
      execute format('create policy web_user_ends on %s for delete using (account_id = (select logic.web_account()))', t.name);
    end if;
    if t.name in ('directory.account', 'directory.alias') then
      execute format('create policy web_domain_changes on %s using (%s) with check (%s)', t.name, own, own);
    elsif t.name = 'directory.domain' then
      execute format('create policy web_domain_changes on %s for update using (%s) with check (%s)', t.name, own, own);
    elsif t.name = 'directory.second_factor' then
      -- Of his users, not of those who administer beside him.
      execute format('create policy web_domain_resets on %s for delete using (%s and not logic.web_manages(account_id))', t.name, own);
    elsif t.name in ('live.session', 'live.web_session') then
      execute format('create policy web_domain_changes on %s for delete using (%s)', t.name, own);
    end if;
  end loop;
end $$;

-- Whether an address is in that domain, by its own or another name of it.
create function logic.web_has_address(address text) returns boolean language sql stable security definer set search_path = pg_catalog as $$
  select exists (
    select 1 from directory.domain_name n left join directory.domain_alias a on a.id = n.alias_id
    where n.name = lower(substring(address from '[^@]*$')) and coalesce(n.domain_id, a.domain_id) = logic.web_domain())
$$;

-- Whether a row of the trace is that domain's: of an account or an address of it, or of a message that one of its accounts has sent. That
-- somebody has given a sender in it is not enough: anybody can.
create function logic.web_has_trace(message text, recipient text, account bigint) returns boolean
language sql stable security definer set search_path = pg_catalog as $$
  select coalesce(logic.web_has_account(account), false) or coalesce(logic.web_has_address(recipient), false)
    or exists (select 1 from log.trace t where t.message = web_has_trace.message and t.step = 'accepted' and logic.web_has_account(t.account_id))
$$;

create function logic.web_has_queued(message bigint) returns boolean language sql stable security definer set search_path = pg_catalog as $$
  select exists (select 1 from queue.message m where m.id = message and logic.web_has_account(m.account_id))
$$;

-- What became of the mail of his domain a domain administrator sees as well, and who has changed his accounts and aliases. These are
-- asked row by row, where an index has led to few of them; who sees everything never gets so far.
create policy web_domain_sees on log.trace for select
  using ((select logic.web_domain()) is not null and logic.web_has_trace(message, recipient, account_id));
create policy web_domain_sees on queue.attempt for select
  using ((select logic.web_domain()) is not null and (logic.web_has_account(account_id) or logic.web_has_address(recipient)));
create policy web_domain_sees on queue.recipient for select
  using ((select logic.web_domain()) is not null and (logic.web_has_address(address) or logic.web_has_queued(message_id)));
-- Both before and after the row must have been of his domain: what came from another one is not his to see.
create policy web_domain_sees on log.audit for select
  using (table_name in ('directory.account', 'directory.alias') and coalesce(new, old) ->> 'domain_id' = (select logic.web_domain())::text
    and coalesce(old, new) ->> 'domain_id' = (select logic.web_domain())::text);

-- A domain administrator may not raise what limits him, nor move anything to where he has no say.
create function logic.guard_domain() returns trigger language plpgsql as $$
begin
  if (new.name, new.active, new.is_default, new.catch_all, new.max_accounts, new.quota_bytes, new.max_message_bytes, new.administrators_read_mail)
    is distinct from (old.name, old.active, old.is_default, old.catch_all, old.max_accounts, old.quota_bytes, old.max_message_bytes,
      old.administrators_read_mail) then
    raise exception 'only a system administrator may change the name and the limits of a domain' using errcode = 'insufficient_privilege';
  end if;
  return new;
end $$;
create trigger a_guard before update on directory.domain for each row
  when (logic.web_kind() = 'domain') execute function logic.guard_domain();

create function logic.guard_account() returns trigger language plpgsql as $$
declare
  d directory.domain;
begin
  select * into d from directory.domain where id = new.domain_id;
  if new.quota_bytes is not null and (tg_op = 'INSERT' or new.quota_bytes is distinct from old.quota_bytes)
    and coalesce(d.quota_bytes, 0) > 0 and (new.quota_bytes = 0 or new.quota_bytes > d.quota_bytes) then
    raise exception 'the quota of an account of this domain is at most % bytes', d.quota_bytes using errcode = 'insufficient_privilege';
  end if;
  if new.max_message_bytes is not null and (tg_op = 'INSERT' or new.max_message_bytes is distinct from old.max_message_bytes)
    and new.max_message_bytes > d.max_message_bytes then
    raise exception 'the largest message of an account of this domain is at most % bytes', d.max_message_bytes using errcode = 'insufficient_privilege';
  end if;
  return new;
end $$;
create trigger a_guard before insert or update on directory.account for each row
  when (logic.web_kind() = 'domain') execute function logic.guard_account();

-- A user changes of his account what harms nobody. A new password is asked for with the old one, and comes by another way.
create function logic.guard_own_account() returns trigger language plpgsql as $$
begin
  if to_jsonb(new) - '{display_name,forward_to,forward_keep}'::text[] is distinct from to_jsonb(old) - '{display_name,forward_to,forward_keep}'::text[] then
    raise exception 'of your account you may change your name and the forwarding, nothing else' using errcode = 'insufficient_privilege';
  end if;
  if char_length(new.display_name) > 200 or new.display_name ~ '[[:cntrl:]]' then
    raise exception 'a name has at most 200 characters' using errcode = 'check_violation', column = 'display_name';
  end if;
  if (new.forward_to, new.forward_keep) is distinct from (old.forward_to, old.forward_keep)
    and not (select d.users_may_forward from directory.domain d where d.id = new.domain_id) then
    raise exception 'the administrator of your domain does not let users forward their mail' using errcode = 'insufficient_privilege';
  end if;
  return new;
end $$;
create trigger a_guard_own before update on directory.account for each row
  when (logic.web_kind() = 'user') execute function logic.guard_own_account();

-- The triggers of settings, directory, queue and sessions write where the role of the pages may not: they run as the owner.
do $$
declare f record;
begin
  for f in
    select p.oid::regprocedure as name from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where n.nspname = 'logic' and p.prorettype = 'trigger'::regtype and not p.prosecdef
  loop
    execute format('alter function %s security definer set search_path = pg_catalog, pg_temp', f.name);
  end loop;
end $$;

-- Gives the role of the pages what the policies then narrow down: of all tables, all columns that are no secrets. Returns why
-- the role could not be made, if so.
create function logic.arrange_web_role() returns text language plpgsql as $$
declare t record;
begin
  if to_regrole('mailwright_web') is null then
    begin
      create role mailwright_web nologin;
      execute format('grant mailwright_web to %I', current_user);
    exception
      when duplicate_object or unique_violation then null;
      when insufficient_privilege then
        return format('the administration pages cannot be used: the role mailwright_web does not exist, and may not be made by the role %I. '
          'Let somebody who may run: create role mailwright_web nologin; grant mailwright_web to %I', current_user, current_user);
    end;
  end if;
  grant usage on schema control, directory, queue, live, log, screen, logic, admin to mailwright_web;
  grant select on logic.page to mailwright_web;
  for t in
    select format('%I.%I', n.nspname, c.relname) as name,
      string_agg(quote_ident(a.attname), ', ') filter (where n.nspname = 'admin' or a.atttypid <> 'control.secret'::regtype) as readable,
      string_agg(quote_ident(a.attname), ', ') as columns
    from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.relkind in ('r', 'v') and n.nspname in ('control', 'directory', 'queue', 'live', 'log', 'screen', 'admin')
      and c.relname not in ('generation', 'touched', 'lease', 'logic', 'sql_login')
    group by 1
  loop
    execute format('revoke all on %2$s from mailwright_web; grant select (%1$s) on %2$s to mailwright_web', t.readable, t.name);
    -- What is in a log stays as it is.
    execute format(case when t.name like 'log.%' then 'grant insert (%1$s) on %2$s to mailwright_web'
      else 'grant insert (%1$s), update (%1$s), delete on %2$s to mailwright_web' end, t.columns, t.name);
  end loop;
  return null;
end $$;
