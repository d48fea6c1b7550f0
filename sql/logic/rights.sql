-- Who may do what in which mailbox (RFC 4314): one function says it, for IMAP and for people with SQL. The owner may do
-- everything; all others what store.acl gives them. Who may not look a mailbox up (l) may do nothing there: for them it
-- does not exist.

create function logic.ordered_rights(letters text) returns text language sql immutable parallel safe as $$
  select coalesce(string_agg(letter, '' order by place), '')
  from string_to_table('l r s w i p k x t e n a', ' ') with ordinality known (letter, place)
  where position(letter in translate(letters, 'c', 'k')) > 0 or letter in ('x', 't', 'e') and position('d' in letters) > 0
$$;

-- The rights of account who in mailbox box of account owner, as letters; each may be there more than once.
create function logic.rights(owner bigint, box bigint, who bigint) returns text language sql stable as $$
  select case when owner = who then 'lrswipkxtena' else coalesce((
    select case when position('l' in g.held) > 0 then g.held end
    from (
      select translate(string_agg(a.rights, '') filter (where not a.negative),
        coalesce(string_agg(a.rights, '') filter (where a.negative), ''), '') as held
      from store.acl a
      where a.account_id = owner and a.mailbox_id = box
        and (a.grantee_id = who or a.grantee_domain_id = (select domain_id from directory.account where id = who))
    ) g), '') end
$$;

-- The mailboxes of others in which account who has rights, and which.
create function logic.granted(who bigint) returns table (account_id bigint, mailbox_id bigint, rights text) language sql stable as $$
  select e.account_id, e.mailbox_id, g.rights
  from (
    select a.account_id, a.mailbox_id from store.acl a where a.grantee_id = who
    union
    select a.account_id, a.mailbox_id from store.acl a
    where a.grantee_domain_id = (select domain_id from directory.account where id = who) and a.account_id <> who
  ) e
  cross join lateral (select logic.rights(e.account_id, e.mailbox_id, who) as rights) g
  where g.rights <> ''
$$;

-- The rights of account who for making a mailbox of this name with owner: those in the nearest mailbox above it. In a
-- public account, which is nobody's, INBOX is above the names of the first level.
create function logic.rights_above(owner bigint, name text, who bigint) returns text language sql stable as $$
  select case when owner = who then 'lrswipkxtena' else coalesce((
    select logic.rights(owner, m.id, who)
    from store.mailbox m join directory.account o on o.id = owner
    where m.account_id = owner and (starts_with(rights_above.name, m.name || '/') or m.name = 'INBOX' and o.public)
    order by starts_with(rights_above.name, m.name || '/') desc, length(m.name) desc limit 1), '') end
$$;

-- Whom an identifier means in the mailboxes of account owner: anyone (the owner's domain), @example.test (another domain
-- here), or an account, whose domain may be left out where it is the owner's. The domain comes in ASCII.
create function logic.grantee(who text, owner bigint, out grantee_id bigint, out grantee_domain_id bigint) language sql stable as $$
  select case when k.local <> '' then x.account_id end, case when k.local = '' then d.id end
  from (
    select case when lower(who) = 'anyone' then '' else lower(normalize(split_part(who, '@', 1), nfc)) end as local,
      lower(split_part(who, '@', 2)) as domain
  ) k
  join directory.domain d
    on d.name = k.domain or k.domain = '' and d.id = (select domain_id from directory.account where id = owner)
  left join directory.address x on x.domain_id = d.id and x.local_part = k.local
$$;

-- And how it is written.
create function logic.identifier(grantee_id bigint, grantee_domain_id bigint, owner bigint) returns text language sql stable as $$
  select case
    when grantee_id is not null then (
      select a.local_part || '@' || d.name from directory.account a join directory.domain d on d.id = a.domain_id where a.id = grantee_id)
    when grantee_domain_id = (select domain_id from directory.account where id = owner) then 'anyone'
    else (select '@' || name from directory.domain where id = grantee_domain_id) end
$$;

-- Entries are kept in the order of the letters, c and d of RFC 2086 as what became of them; sessions that look at the
-- mailbox hear of the change.
create function logic.before_acl() returns trigger language plpgsql security definer set search_path = pg_catalog as $$
begin
  if tg_op = 'INSERT' and (select count(*) from store.acl a where a.account_id = new.account_id and a.mailbox_id = new.mailbox_id) >= 1000 then
    raise exception 'a mailbox can be shared with 1000 others at most: share it with a whole domain instead' using errcode = 'check_violation';
  end if;
  if new.rights ~ '^[lrswipkxtenacd]+$' then new.rights := logic.ordered_rights(new.rights); end if;
  return new;
end $$;
create trigger order_rights before insert or update on store.acl for each row execute function logic.before_acl();

create function logic.ring_acl() returns trigger language plpgsql security definer set search_path = pg_catalog as $$
declare a store.acl;
begin
  if tg_op = 'DELETE' then a := old; else a := new; end if;
  -- Those who wait look further only where the number has moved. No row: the mailbox itself goes.
  update store.mailbox set highest_modseq = highest_modseq + 1 where account_id = a.account_id and id = a.mailbox_id;
  perform logic.ring_mailbox(a.account_id, a.mailbox_id);
  return null;
end $$;
create trigger ring after insert or update or delete on store.acl for each row execute function logic.ring_acl();

-- A new mailbox is shared as the one above it is.
create function logic.inherit_acl() returns trigger language plpgsql security definer set search_path = pg_catalog as $$
begin
  insert into store.acl (account_id, mailbox_id, grantee_id, grantee_domain_id, negative, rights)
  select a.account_id, new.id, a.grantee_id, a.grantee_domain_id, a.negative, a.rights
  from store.acl a
  where a.account_id = new.account_id and a.mailbox_id = (
    select m.id from store.mailbox m join directory.account o on o.id = m.account_id
    where m.account_id = new.account_id and m.id <> new.id
      and (starts_with(new.name, m.name || '/') or m.name = 'INBOX' and o.public)
    order by starts_with(new.name, m.name || '/') desc, length(m.name) desc limit 1)
  on conflict do nothing;
  return null;
end $$;
create trigger inherit_acl after insert on store.mailbox for each row execute function logic.inherit_acl();

-- Annotations go with the account, as owner and as user; those of mailboxes go with the mailbox.
create function logic.clear_metadata() returns trigger language plpgsql as $$
begin
  delete from store.metadata where account_id = old.id or user_id = old.id;
  return null;
end $$;
create trigger clear_metadata after delete on directory.account for each row execute function logic.clear_metadata();

-- People with SQL ----------------------------------------------------------------------------------------------

-- The account that this SQL session stands for. The daemon's own role, when it has taken on another (SET ROLE), says it by
-- a setting; nobody else is believed.
create function logic.me() returns bigint language sql stable security definer set search_path = pg_catalog as $$
  select case when session_user = pg_get_userbyid(c.relowner) then nullif(current_setting('mailwright.account', true), '')::bigint
    else (
      select s.account_id from directory.sql_login s
      join directory.account a on a.id = s.account_id join directory.domain d on d.id = a.domain_id
      where s.role_name = session_user and a.active and d.active) end
  from pg_class c where c.oid = 'store.mailbox'::regclass
$$;

-- The mailboxes in which it has all of these rights, and one of those besides ('' = none needed).
create function logic.allowed(needed text, one_of text default '') returns table (account_id bigint, mailbox_id bigint)
language sql stable security definer set search_path = pg_catalog as $$
  select m.account_id, m.id from store.mailbox m where m.account_id = logic.me()
  union all
  select g.account_id, g.mailbox_id from logic.granted(logic.me()) g
  where translate(needed, g.rights, '') = '' and (one_of = '' or translate(one_of, g.rights, '') <> one_of)
$$;

-- The accounts whose mailboxes these are: what an index can be asked for.
create function logic.owners() returns bigint[] language sql stable security definer set search_path = pg_catalog as $$
  select array(select logic.me() union select g.account_id from logic.granted(logic.me()) g)
$$;

create function logic.may_make(owner bigint, name text) returns boolean language sql stable security definer set search_path = pg_catalog as $$
  select position('k' in logic.rights_above(owner, name, logic.me())) > 0
$$;

-- The limits that IMAP keeps.
create function logic.has_room_for_mailbox(owner bigint) returns boolean language sql stable security definer set search_path = pg_catalog as $$
  select (select count(*) from store.mailbox m where m.account_id = owner) < (select max_mailboxes from control.imap)
$$;

create function logic.has_room_for_subscription(owner bigint) returns boolean language sql stable security definer set search_path = pg_catalog as $$
  select (select count(*) from store.subscription s where s.account_id = owner) < (select max_mailboxes from control.imap)
$$;

create function logic.has_room_for_value(owner bigint, box bigint, whose bigint, bytes integer) returns boolean
language sql stable security definer set search_path = pg_catalog as $$
  select bytes <= max_metadata_bytes and max_metadata_entries > (
    select count(*) from store.metadata m where m.account_id = owner and m.mailbox_id = box and m.user_id = whose)
  from control.imap
$$;

-- Policies cannot compare a row with what it was: which flags a person may change, and where messages may move.
create function logic.guard_message() returns trigger language plpgsql security definer set search_path = pg_catalog as $$
declare
  me bigint := logic.me();
  held text := logic.rights(case tg_op when 'INSERT' then new.account_id else old.account_id end,
    case tg_op when 'INSERT' then new.mailbox_id else old.mailbox_id end, me);
  needed text := '';
  missing text;
begin
  if tg_op = 'INSERT' then
    needed := 'i' || case when new.seen then 's' else '' end || case when new.deleted then 't' else '' end
      || case when new.answered or new.flagged or new.draft or new.keywords is not null then 'w' else '' end;
    if not exists (
      select 1 from store.message m join logic.allowed('r') r using (account_id, mailbox_id) where m.content_id = new.content_id) then
      raise exception 'you can read no message with content %', new.content_id using errcode = 'insufficient_privilege';
    end if;
    if exists (
      select 1 from logic.account a, store.content c
      where a.account_id = new.account_id and c.id = new.content_id and a.used_bytes + c.size > a.quota_bytes) then
      raise exception 'the quota of the account is used up: delete something first' using errcode = 'check_violation';
    end if;
  else
    needed := case when new.seen <> old.seen then 's' else '' end || case when new.deleted <> old.deleted then 't' else '' end
      || case when (new.answered, new.flagged, new.draft) <> (old.answered, old.flagged, old.draft)
          or new.keywords is distinct from old.keywords then 'w' else '' end;
    if new.mailbox_id <> old.mailbox_id then
      needed := needed || 'te';
      if position('i' in logic.rights(new.account_id, new.mailbox_id, me)) = 0 then
        raise exception 'this takes the right i on the mailbox that the message moves to' using errcode = 'insufficient_privilege';
      end if;
    end if;
  end if;
  missing := translate(needed, held, '');
  if missing <> '' then
    raise exception 'this takes the right % on the mailbox', missing using errcode = 'insufficient_privilege';
  end if;
  if cardinality(new.keywords) > 100
    or exists (select 1 from unnest(new.keywords) k where k is null or k !~ '^[!-~]{1,100}$' or k ~ '[][(){%*"\\]') then
    raise exception 'a keyword has up to 100 printable ASCII characters without spaces and ()[]{%%*"\' using errcode = 'check_violation';
  end if;
  return new;
end $$;
-- Before the trigger by_hand, which numbers: triggers run in the order of their names.
create trigger a_guard before insert or update on store.message for each row
  when (row_security_active('store.message'::regclass)) execute function logic.guard_message();

-- Each function in a sub-select, so that it is asked once for a statement; the accounts by = any, so that indexes serve; and
-- the mailboxes exactly.
create policy looked_up on store.mailbox for select
  using (account_id = any ((select logic.owners())::bigint[]) and (account_id, id) in (select * from logic.allowed('l')));
create policy made on store.mailbox for insert
  with check (logic.may_make(account_id, name) and logic.has_room_for_mailbox(account_id));
create policy renamed on store.mailbox for update
  using (name <> 'INBOX' and (account_id, id) in (select * from logic.allowed('x')))
  with check (name <> 'INBOX' and logic.may_make(account_id, name));
create policy deleted on store.mailbox for delete
  using (name <> 'INBOX' and (account_id, id) in (select * from logic.allowed('x')));

create policy read on store.message for select
  using (account_id = any ((select logic.owners())::bigint[]) and (account_id, mailbox_id) in (select * from logic.allowed('r')));
create policy put on store.message for insert
  with check ((account_id, mailbox_id) in (select * from logic.allowed('i')));
create policy marked on store.message for update
  using ((account_id, mailbox_id) in (select * from logic.allowed('r', 'swt')))
  with check ((account_id, mailbox_id) in (select * from logic.allowed('', 'swti')));
create policy expunged on store.message for delete
  using ((account_id, mailbox_id) in (select * from logic.allowed('te')));

-- These name no function of this schema, so they do not go with it when it is built anew.
drop policy if exists read on store.content;
drop policy if exists read on store.content_chunk;
create policy read on store.content for select
  using (exists (select 1 from store.message m where m.content_id = content.id));
create policy read on store.content_chunk for select
  using (exists (select 1 from store.message m where m.content_id = content_chunk.content_id));

create policy read on store.expunged for select
  using (account_id = any ((select logic.owners())::bigint[]) and (account_id, mailbox_id) in (select * from logic.allowed('r')));

create policy own on store.subscription
  using (account_id = (select logic.me())) with check (account_id = (select logic.me()) and logic.has_room_for_subscription(account_id));

create policy administered on store.acl
  using (account_id = any ((select logic.owners())::bigint[]) and (account_id, mailbox_id) in (select * from logic.allowed('a')));

-- RFC 5464, 3.3: who may look a mailbox up and do one of r, s, w, i, p there has annotations of their own and reads the
-- shared ones; here it takes w to change those.
create policy read on store.metadata for select
  using (user_id in (0, (select logic.me()))
    and (mailbox_id = 0 and account_id = 0 or (account_id, mailbox_id) in (select * from logic.allowed('l', 'rswip'))));
create policy added on store.metadata for insert
  with check (logic.has_room_for_value(account_id, mailbox_id, user_id, octet_length(value))
    and case when user_id = 0 then (account_id, mailbox_id) in (select * from logic.allowed('lw'))
      else user_id = (select logic.me()) and (mailbox_id = 0 and account_id = 0 or (account_id, mailbox_id) in (select * from logic.allowed('l', 'rswip'))) end);
create policy removed on store.metadata for delete
  using (case when user_id = 0 then (account_id, mailbox_id) in (select * from logic.allowed('lw')) else user_id = (select logic.me()) end);

-- Gives people's role what the policies then narrow down. Roles belong to the whole cluster: another database may have
-- made it. Returns why it could not be made, if so.
create function logic.arrange_user_role() returns text language plpgsql as $$
begin
  if to_regrole('mailwright_user') is null then
    begin
      create role mailwright_user nologin;
      -- For SET ROLE by the daemon.
      execute format('grant mailwright_user to %I', current_user);
    exception
      when duplicate_object or unique_violation then null;
      when insufficient_privilege then
        return 'people cannot be given SQL of their own: the role mailwright_user does not exist, and may not be made by the role '
          || current_user || '. Let somebody who may run: create role mailwright_user nologin';
    end;
  end if;
  grant usage on schema store to mailwright_user;
  grant select, delete on store.mailbox, store.message to mailwright_user;
  grant insert (account_id, name), update (name) on store.mailbox to mailwright_user;
  grant insert (account_id, mailbox_id, content_id, internal_date, zone_minutes, seen, answered, flagged, deleted, draft, keywords, prefix),
    update (mailbox_id, seen, answered, flagged, deleted, draft, keywords) on store.message to mailwright_user;
  grant select on store.content, store.content_chunk, store.expunged to mailwright_user;
  grant select, insert, delete on store.subscription to mailwright_user;
  grant select, insert, update, delete on store.acl to mailwright_user;
  grant select, insert, delete on store.metadata to mailwright_user;
  return null;
end $$;
select logic.arrange_user_role();

-- What people call ---------------------------------------------------------------------------------------------

create or replace function store.share(account text, mailbox text, who text, rights text, negative boolean default false) returns void
language plpgsql as $$
declare
  box bigint := store.mailbox_id(account, mailbox);
  owner bigint := (select m.account_id from store.mailbox m where m.id = box);
  g record;
begin
  if box is null then
    raise exception '% has no mailbox %', account, mailbox using errcode = 'no_data_found';
  end if;
  select * into g from logic.grantee(who, owner);
  if num_nonnulls(g.grantee_id, g.grantee_domain_id) = 0 then
    raise exception 'there is nobody called %: name an account, @domain, or anyone', who using errcode = 'no_data_found';
  end if;
  if rights = '' then
    delete from store.acl a
    where a.account_id = owner and a.mailbox_id = box and a.negative = share.negative
      and (a.grantee_id, a.grantee_domain_id) is not distinct from (g.grantee_id, g.grantee_domain_id);
  else
    insert into store.acl as a (account_id, mailbox_id, grantee_id, grantee_domain_id, negative, rights)
    values (owner, box, g.grantee_id, g.grantee_domain_id, share.negative, share.rights)
    on conflict on constraint "this account or domain has an entry for this mailbox already" do update set rights = excluded.rights;
  end if;
end $$;
comment on function store.share(text, text, text, text, boolean) is
  'Shares a mailbox: store.share(''team@example.test'', ''INBOX'', ''anyone'', ''lrs''). No rights: takes the entry away';

create or replace function store.my_account() returns bigint language sql stable security definer set search_path = pg_catalog as $$
  select logic.me()
$$;
comment on function store.my_account() is 'The account that this SQL login stands for (directory.sql_login)';

create or replace function store.my_mailboxes()
returns table (owner text, account_id bigint, mailbox_id bigint, name text, rights text)
language sql stable security definer set search_path = pg_catalog as $$
  select a.local_part || '@' || d.name, m.account_id, m.id, m.name, logic.ordered_rights(logic.rights(m.account_id, m.id, logic.me()))
  from logic.allowed('l') l
  join store.mailbox m on m.account_id = l.account_id and m.id = l.mailbox_id
  join directory.account a on a.id = m.account_id
  join directory.domain d on d.id = a.domain_id
  order by m.account_id <> logic.me(), 1, 4
$$;
comment on function store.my_mailboxes() is 'The mailboxes that this SQL login may look up, its own first, with its rights';
