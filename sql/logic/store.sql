-- Mail changed by people with SQL obeys the rules of the daemon: UIDs and modseqs from the mailbox row under its lock,
-- usage counted, deletions kept for their retention, clients told. The daemon's own statements do all that themselves
-- and switch these triggers off by the setting mailwright.daemon. People under row-level security cannot switch them off, and
-- need no rights of their own for what the triggers do: these run as the owner of the tables.

-- Tells the nodes which mailboxes have news. Equal bells within a transaction are one.
create function logic.ring_mailbox(account bigint, mailbox bigint) returns void language sql as $$
  select pg_notify('store', account || ':' || mailbox)
$$;

-- Counts up a mailbox and returns its row as it is then.
create function logic.number_mailbox(owner bigint, box bigint, uids integer) returns store.mailbox language plpgsql as $$
declare m store.mailbox;
begin
  update store.mailbox set uid_next = uid_next + uids, highest_modseq = highest_modseq + 1
  where account_id = owner and id = box returning * into m;
  if not found then
    raise exception 'account % has no mailbox %', owner, box using errcode = 'foreign_key_violation';
  end if;
  perform logic.ring_mailbox(owner, box);
  return m;
end $$;

-- Keywords of a message with others in their place (0), more of them (1) or some of them gone (2); compared without case.
-- None are null.
create function logic.change_keywords(old text[], how integer, words text[]) returns text[] language plpgsql immutable as $$
begin
  return nullif(case how
    when 0 then words
    when 1 then coalesce(old, '{}') || array(select k from unnest(words) k where not exists (select 1 from unnest(old) o where lower(o) = lower(k)))
    else array(select o from unnest(old) o where not exists (select 1 from unnest(words) k where lower(o) = lower(k)))
  end, '{}');
end $$;

create function logic.before_message() returns trigger language plpgsql security definer set search_path = pg_catalog as $$
declare m store.mailbox;
begin
  if tg_op = 'INSERT' then
    m := logic.number_mailbox(new.account_id, new.mailbox_id, 1);
    new.uid := m.uid_next - 1;
    new.modseq := m.highest_modseq;
    select coalesce(octet_length(new.prefix), 0) + c.size into new.size from store.content c where c.id = new.content_id;
    if not found then
      raise exception 'there is no content %', new.content_id using errcode = 'foreign_key_violation';
    end if;
    insert into store.usage as u (account_id, bytes, messages) values (new.account_id, new.size, 1)
    on conflict (account_id) do update set bytes = u.bytes + excluded.bytes, messages = u.messages + 1;
    return new;
  end if;
  if (new.content_id, new.size, new.prefix) is distinct from (old.content_id, old.size, old.prefix) then
    raise exception 'the content of a message cannot change (RFC 9051, 2.3.1.1): insert a new message and delete this one'
      using errcode = 'check_violation';
  end if;
  if new.account_id <> old.account_id then
    raise exception 'a message cannot move to another account: insert it there and delete it here' using errcode = 'check_violation';
  end if;
  if new.mailbox_id <> old.mailbox_id then
    -- A move: it leaves there and arrives here.
    m := logic.number_mailbox(old.account_id, old.mailbox_id, 0);
    insert into store.expunged (account_id, mailbox_id, uid, modseq) values (old.account_id, old.mailbox_id, old.uid, m.highest_modseq);
    m := logic.number_mailbox(new.account_id, new.mailbox_id, 1);
    new.uid := m.uid_next - 1;
    new.modseq := m.highest_modseq;
    new.saved_at := now();
    return new;
  end if;
  if new.uid <> old.uid then
    raise exception 'a UID is given by the server and never changes' using errcode = 'check_violation';
  end if;
  if new is not distinct from old then return new; end if;
  m := logic.number_mailbox(new.account_id, new.mailbox_id, 0);
  new.modseq := m.highest_modseq;
  insert into store.change (account_id, mailbox_id, modseq, uid) values (new.account_id, new.mailbox_id, new.modseq, new.uid);
  return new;
end $$;
create trigger by_hand before insert or update on store.message for each row
  when (current_setting('mailwright.daemon', true) is distinct from 'on' or row_security_active('store.message'::regclass)) execute function logic.before_message();

create function logic.after_message_delete() returns trigger language plpgsql security definer set search_path = pg_catalog as $$
begin
  -- Whole mailboxes that go take their messages along: nothing is left to number.
  with n as (
    update store.mailbox b set highest_modseq = b.highest_modseq + 1
    from (select account_id, mailbox_id from old_rows group by 1, 2 order by 1, 2) o
    where b.account_id = o.account_id and b.id = o.mailbox_id
    returning b.account_id, b.id, b.highest_modseq, logic.ring_mailbox(b.account_id, b.id)
  )
  insert into store.expunged (account_id, mailbox_id, uid, modseq, content_id, internal_date, size, zone_minutes,
    seen, answered, flagged, draft, keywords, prefix)
  select o.account_id, o.mailbox_id, o.uid, n.highest_modseq, o.content_id, o.internal_date, o.size, o.zone_minutes,
    o.seen, o.answered, o.flagged, o.draft, o.keywords, o.prefix
  from old_rows o join n on n.account_id = o.account_id and n.id = o.mailbox_id;
  insert into store.orphan (content_id) select distinct content_id from old_rows on conflict do nothing;
  update store.usage u set bytes = u.bytes - o.bytes, messages = u.messages - o.messages
  from (select account_id, sum(size) as bytes, count(*) as messages from old_rows group by account_id) o
  where u.account_id = o.account_id;
  return null;
end $$;
create trigger by_hand_delete after delete on store.message referencing old table as old_rows for each statement
  when (current_setting('mailwright.daemon', true) is distinct from 'on' or row_security_active('store.message'::regclass)) execute function logic.after_message_delete();

-- A new mailbox by SQL needs only account and name; a deleted one takes its messages along.
create function logic.before_mailbox() returns trigger language plpgsql security definer set search_path = pg_catalog as $$
begin
  if upper(new.name) = 'INBOX' then new.name := 'INBOX'; end if;
  if new.name ~* '^inbox/' then new.name := 'INBOX' || right(new.name, -5); end if;
  new.name := normalize(new.name, nfc);
  if new.uid_validity is null then
    insert into store.usage as u (account_id, next_uid_validity) values (new.account_id, extract(epoch from now())::bigint + 1)
    on conflict (account_id) do update set next_uid_validity = greatest(u.next_uid_validity, extract(epoch from now())::bigint) + 1
    returning next_uid_validity - 1 into new.uid_validity;
  end if;
  return new;
end $$;
create trigger complete before insert on store.mailbox for each row execute function logic.before_mailbox();

create function logic.clear_mailbox() returns trigger language plpgsql security definer set search_path = pg_catalog as $$
declare as_before text := coalesce(current_setting('mailwright.daemon', true), '');
begin
  perform set_config('mailwright.daemon', 'off', true);
  delete from store.message where account_id = old.account_id and mailbox_id = old.id;
  perform set_config('mailwright.daemon', as_before, true);
  with gone as (
    delete from store.expunged where account_id = old.account_id and mailbox_id = old.id returning content_id
  )
  insert into store.orphan (content_id) select distinct content_id from gone where content_id is not null on conflict do nothing;
  delete from store.change where account_id = old.account_id and mailbox_id = old.id;
  delete from store.metadata where account_id = old.account_id and mailbox_id = old.id;
  delete from store.url_key where mailbox_id = old.id;
  perform logic.ring_mailbox(old.account_id, old.id);
  return null;
end $$;
create trigger clear after delete on store.mailbox for each row execute function logic.clear_mailbox();

-- Whether a signature (store.text) says that string n, from 0, is not in the text: one of the bits that it would set, 8 at
-- most, is not set. Bits are numbered for the largest signature; in a smaller one their upper digits do not count. Null
-- when that can't be said. Called for every message of a mailbox: kept such that it becomes part of the statement.
create function logic.lacks(signature bytea, probes integer[], n integer) returns boolean language sql immutable parallel safe as $$
  select not (get_bit(signature, probes[n * 8 + 1] & (octet_length(signature) * 8 - 1)) = 1
    and get_bit(signature, probes[n * 8 + 2] & (octet_length(signature) * 8 - 1)) = 1
    and get_bit(signature, probes[n * 8 + 3] & (octet_length(signature) * 8 - 1)) = 1
    and get_bit(signature, probes[n * 8 + 4] & (octet_length(signature) * 8 - 1)) = 1
    and get_bit(signature, probes[n * 8 + 5] & (octet_length(signature) * 8 - 1)) = 1
    and get_bit(signature, probes[n * 8 + 6] & (octet_length(signature) * 8 - 1)) = 1
    and get_bit(signature, probes[n * 8 + 7] & (octet_length(signature) * 8 - 1)) = 1
    and get_bit(signature, probes[n * 8 + 8] & (octet_length(signature) * 8 - 1)) = 1)
$$;
-- Whoever deletes from store.expunged, the daemon after the retention or a person, leaves behind up to where deletions are
-- forgotten: a client that comes back with less is told of all that is missing, instead of too little.
create function logic.after_expunged_delete() returns trigger language plpgsql as $$
begin
  -- In key order, as everybody locks mailboxes.
  perform 1 from store.mailbox b
  where (b.account_id, b.id) in (select account_id, mailbox_id from old_rows)
  order by b.account_id, b.id for no key update;
  update store.mailbox b set forgotten_modseq = o.modseq
  from (select account_id, mailbox_id, max(modseq) as modseq from old_rows group by 1, 2) o
  where b.account_id = o.account_id and b.id = o.mailbox_id and b.forgotten_modseq < o.modseq;
  return null;
end $$;
create trigger forgotten after delete on store.expunged referencing old table as old_rows for each statement
  execute function logic.after_expunged_delete();

create function logic.after_expunged_truncate() returns trigger language plpgsql as $$
begin
  update store.mailbox set forgotten_modseq = highest_modseq where forgotten_modseq < highest_modseq;
  return null;
end $$;
create trigger forgotten_all after truncate on store.expunged for each statement
  execute function logic.after_expunged_truncate();

-- Names, subscriptions, rights and annotations that change ring for the account as a whole: mailbox 0. What concerns
-- everybody rings for account 0. The daemon rings for its own changes of names itself, outside of their transactions.
create function logic.ring_names() returns trigger language plpgsql security definer set search_path = pg_catalog as $$
begin
  if tg_op <> 'INSERT' then perform logic.ring_mailbox(old.account_id, 0); end if;
  if tg_op <> 'DELETE' then perform logic.ring_mailbox(new.account_id, 0); end if;
  return null;
end $$;
create trigger ring_names after insert or delete or update of name, special_use on store.mailbox for each row
  when (current_setting('mailwright.daemon', true) is distinct from 'on' or row_security_active('store.mailbox'::regclass)) execute function logic.ring_names();
create trigger ring_names after insert or delete or update on store.subscription for each row
  when (current_setting('mailwright.daemon', true) is distinct from 'on' or row_security_active('store.subscription'::regclass)) execute function logic.ring_names();
create trigger ring_names after insert or delete or update on store.metadata for each row execute function logic.ring_names();

-- An annotation that changes counts its mailbox up (RFC 7162, 3.2).
create function logic.count_annotation() returns trigger language plpgsql security definer set search_path = pg_catalog as $$
declare m store.metadata;
begin
  m := case when tg_op = 'DELETE' then old else new end;
  if m.mailbox_id = 0 or (tg_op = 'UPDATE' and old is not distinct from new) then return null; end if;
  update store.mailbox set highest_modseq = highest_modseq + 1 where account_id = m.account_id and id = m.mailbox_id;
  if found then perform logic.ring_mailbox(m.account_id, m.mailbox_id); end if;
  return null;
end $$;
create trigger count_annotation after insert or delete or update on store.metadata for each row
  execute function logic.count_annotation();

create trigger ring_names after insert or delete or update on store.acl for each row execute function logic.ring_names();

create function logic.ring_grantee() returns trigger language plpgsql security definer set search_path = pg_catalog as $$
begin
  -- A whole domain is too many to ring for one by one.
  if tg_op <> 'INSERT' then perform logic.ring_mailbox(coalesce(old.grantee_id, 0), 0); end if;
  if tg_op <> 'DELETE' then perform logic.ring_mailbox(coalesce(new.grantee_id, 0), 0); end if;
  return null;
end $$;
create trigger ring_grantee after insert or delete or update on store.acl for each row execute function logic.ring_grantee();

-- What people call ---------------------------------------------------------------------------------------------

create or replace function store.mailbox_id(account text, mailbox text) returns bigint language sql stable as $$
  select m.id from store.mailbox m join directory.account a on a.id = m.account_id join directory.domain d on d.id = a.domain_id
  where a.local_part || '@' || d.name = lower(account) and m.name = case when upper(mailbox) = 'INBOX' then 'INBOX' else mailbox end
$$;
comment on function store.mailbox_id(text, text) is 'Id of a mailbox: store.mailbox_id(''alice@example.test'', ''INBOX'')';

-- Brings deleted messages back into their mailbox, with new UIDs; returns how many.
create or replace function store.restore(account bigint, mailbox bigint, since timestamptz default '-infinity') returns bigint
language plpgsql as $$
declare n bigint;
begin
  create temporary table if not exists restoring on commit drop as select * from store.expunged limit 0;
  truncate restoring;
  insert into restoring
  select e.* from store.expunged e
  where e.account_id = account and e.mailbox_id = mailbox and e.expunged_at >= since
    and e.content_id is not null and exists (select 1 from store.content c where c.id = e.content_id)
  for update;
  insert into store.message (account_id, mailbox_id, uid, content_id, internal_date, modseq, size, zone_minutes,
    seen, answered, flagged, draft, keywords, prefix)
  select account_id, mailbox_id, 0, content_id, internal_date, 0, size, zone_minutes, seen, answered, flagged, draft, keywords, prefix
  from restoring order by uid;
  get diagnostics n = row_count;
  -- Under its old UID a restored message stays gone, but it cannot be restored twice.
  update store.expunged e set content_id = null from restoring r
  where e.account_id = r.account_id and e.mailbox_id = r.mailbox_id and e.uid = r.uid;
  return n;
end $$;
comment on function store.restore(bigint, bigint, timestamptz) is
  'Brings messages deleted from a mailbox (since a time) back into it; returns how many';
