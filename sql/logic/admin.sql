-- The pages of the administration: a view is a page, a function that takes the row of a view is a button on it. Views run with
-- the rights of who looks (security_invoker), and so do functions, but for the few that say otherwise. The comment of a view
-- is "Menu: Title. What it is for"; comments of columns are the help beside the fields, those of constraints' names what is said
-- when a value is refused. What a view leaves without a comment gets that of the table's column.

comment on schema admin is 'The administration: a view for each page, a function for each button. The pages in the browser show just this';

-- A name of the catalog as people write it.
create function logic.page_title(name text) returns text language sql immutable as $$
  select string_agg(case when word in ('acme', 'arc', 'dkim', 'dmarc', 'dns', 'imap', 'ip', 'oidc', 'pop3', 'rbl', 'scram', 'smtp', 'spf', 'srs', 'tls', 'uid', 'url')
    then upper(word) when nth = 1 then upper(left(word, 1)) || substr(word, 2) else word end, ' ' order by nth)
  from regexp_split_to_table(name, '_') with ordinality w (word, nth)
$$;

-- The pages, in the order of the menu.
create table logic.page (
  name text primary key,
  of_table regclass,
  menu text not null,
  title text not null,
  help text,
  kinds text[] not null,
  place integer generated always as identity
);
comment on table logic.page is 'The pages of the administration; filled when the functions are built';
comment on column logic.page.name is 'The view in schema admin; without a table, what the daemon shows at /admin/NAME';
comment on column logic.page.of_table is 'The table that it is about: its key and its history are those of the page';
comment on column logic.page.menu is 'The part of the menu that has it';
comment on column logic.page.title is 'What it is called';
comment on column logic.page.help is 'What it is for';
comment on column logic.page.kinds is 'The kinds of logins that find it in their menu: system, auditor, domain, user';
comment on column logic.page.place is 'Order in the menu';

-- Enters a page: its key and its history are those of this table, and so are the comments that its columns lack. Of further
-- tables only comments are taken.
create function logic.describe_page(page regclass, of_table regclass) returns void language sql as $$
  insert into logic.page (name, of_table, menu, title, help, kinds)
  select relname, of_table, m[1], m[2], nullif(m[3], ''),
    case when relname in ('session', 'change') or of_table::text like 'directory.%' and of_table <> 'directory.remote_domain'::regclass
      then '{system,auditor,domain}' else '{system,auditor}' end::text[]
  from pg_class, regexp_match(obj_description(oid), '^([^:]*): ([^.]*)\. ?(.*)$') m
  where oid = page on conflict do nothing;
  select logic.take_comments(page, of_table);
$$;

-- Enters a page that is more than a table: the daemon shows it at /admin/NAME to these kinds of administrators.
create function logic.place_page(name text, menu text, title text, help text, kinds text[]) returns void language sql as $$
  insert into logic.page (name, menu, title, help, kinds) values (name, menu, title, help, kinds)
$$;

-- Whether this administrator finds the page in the menu.
create function logic.page_is_seen(page text) returns boolean language sql stable as $$
  select coalesce((select logic.web_kind() = any(p.kinds) from logic.page p where p.name = page), false)
$$;

-- Refuses who does not.
create function logic.must_see_page(page text) returns void language plpgsql stable as $$
begin
  if not logic.page_is_seen(page) then
    raise exception 'you may not see the page %', page using errcode = 'insufficient_privilege';
  end if;
end $$;

-- Running ------------------------------------------------------------------------------------------------------

select logic.place_page('overview', 'Running', 'Overview', 'What the server does now and has done, and what is to be done', '{system,auditor,domain}');
select logic.place_page('services', 'Running', 'Services', 'What runs, where it listens, and who is connected now', '{system,auditor}');

create view admin.service with (security_invoker) as
select s.name, s.enabled,
  (select string_agg(t.node || ': ' || t.state || coalesce(' (' || t.error || ')', ''), '; ' order by t.node)
   from live.service_status t where t.service = s.name) as state,
  (select count(*) from live.session l where l.service = s.name) as sessions,
  s.ip_list_id, s.max_connections, s.max_connections_per_peer, s.max_connections_per_account
from control.service s;
comment on view admin.service is 'Running: Connection control. Switching one off closes its listeners and sessions at once, on every node';
comment on column admin.service.state is 'How it is on each node';
comment on column admin.service.sessions is 'Sessions that are open now';
select logic.describe_page('admin.service', 'control.service');

create function admin.start(s admin.service) returns text language sql as $$
  update control.service set enabled = true where name = s.name returning s.name || ' starts'
$$;
comment on function admin.start is 'Start';
create function admin.stop(s admin.service) returns text language plpgsql as $$
begin
  if s.name = 'webmail' then
    raise exception 'stopping webmail would cut off this page: do it with SQL or on the command line' using errcode = 'check_violation';
  end if;
  update control.service set enabled = false where name = s.name;
  return s.name || ' stops: its listeners close, its sessions end';
end $$;
comment on function admin.stop is 'Stop!: ends all sessions of this service';
create function admin.end_sessions(s admin.service) returns text language plpgsql as $$
declare ended bigint;
begin
  delete from live.session where service = s.name;
  get diagnostics ended = row_count;
  return format('%s sessions of %s end', ended, s.name);
end $$;
comment on function admin.end_sessions is 'End all sessions!: sends away everybody who is connected to this service; they may come back';

-- All that the page of services shows: each with its state, its listeners and its limits, and the sessions that did something last.
create function logic.services_shown() returns jsonb language plpgsql stable as $$
begin
  perform logic.must_see_page('services');
  return jsonb_build_object(
    'services', (
      select jsonb_agg(jsonb_build_object('name', s.name, 'enabled', s.enabled,
        'nodes', coalesce((
          select jsonb_agg(jsonb_build_object('node', t.node, 'state', t.state, 'error', t.error, 'since', t.since) order by t.node)
          from live.service_status t where t.service = s.name), '[]'),
        'listeners', coalesce((
          select jsonb_agg(jsonb_build_object('id', l.id, 'address', l.address, 'port', l.port, 'tls', l.tls, 'mode', l.mode, 'enabled', l.enabled,
            'open', coalesce((
              select jsonb_agg(jsonb_build_object('node', o.node, 'port', o.port, 'state', o.state, 'error', o.error) order by o.node)
              from live.listener_status o where o.listener_id = l.id), '[]')) order by l.port, l.address)
          from control.listener l where l.service = s.name), '[]'),
        'sessions', coalesce(c.n, 0), 'ip_list', i.name, 'max_connections', s.max_connections,
        'max_connections_per_peer', s.max_connections_per_peer, 'max_connections_per_account', s.max_connections_per_account)
        order by s.enabled desc, s.name)
      from control.service s left join control.ip_list i on i.id = s.ip_list_id
      left join (select service, count(*) as n from live.session group by service) c on c.service = s.name),
    'sessions', coalesce((
      select jsonb_agg(to_jsonb(x)) from (
        select id, service, login, host(peer) as peer, tls, state, since, greatest(extract(epoch from now() - active_at), 0)::bigint as idle, node, client
        from live.session order by active_at desc, id limit 100) x), '[]'),
    'all_sessions', (select count(*) from live.session));
end $$;

create view admin.session with (security_invoker) as
select id, service, login, host(peer) as peer, tls, state, since, active_at, node
from live.session;
comment on view admin.session is 'Running: Sessions. Who is connected now, and what he is doing';
select logic.describe_page('admin.session', 'live.session');
comment on column admin.session.id is 'Number of the session';
create function admin.terminate(s admin.session) returns text language sql as $$
  delete from live.session where id = s.id returning 'the session ends'
$$;
comment on function admin.terminate is 'Terminate!: the client is sent away';

select logic.place_page('queue', 'Running', 'Queue', 'Mail that waits to go out: how much, where to, since when', '{system,auditor}');

create view admin.delivery with (security_invoker) as
select r.id, r.address as recipient, m.sender, r.state, r.attempts, r.next_attempt_at, r.last_reply, m.received_at, logic.queued_name(m.trace, m.id) as message,
  m.size, r.domain, r.message_id
from queue.recipient r join queue.message m on m.id = r.message_id;
comment on view admin.delivery is 'Running: Queued mail. Mail that waits to go out, one line for each recipient';
comment on column admin.delivery.message is 'Its story: what the trace calls the message';
select logic.describe_page('admin.delivery', 'queue.recipient');
select logic.describe_page('admin.delivery', 'queue.message');
comment on column admin.delivery.recipient is 'Where it goes';
create function admin.retry(d admin.delivery) returns text language plpgsql as $$
begin
  update queue.recipient set state = 'waiting', next_attempt_at = now() where id = d.id and state in ('waiting', 'failed');
  return case when found then 'it is tried now' when d.state = 'held' then 'it is held and stays so: to send it, release it' end;
end $$;
comment on function admin.retry is 'Retry now';
create function admin.hold(d admin.delivery) returns text language sql as $$
  update queue.recipient set state = 'held' where id = d.id returning 'it is held'
$$;
comment on function admin.hold is 'Hold';
create function admin.release(d admin.delivery) returns text language plpgsql as $$
begin
  update queue.recipient set state = 'waiting', next_attempt_at = now() where id = d.id and state = 'held';
  return case when found then 'it is released, and tried now' when d.state <> 'held' then 'it is not held' end;
end $$;
comment on function admin.release is 'Release';
create function admin.cancel(d admin.delivery) returns text language sql as $$
  delete from queue.recipient where id = d.id returning 'it is cancelled'
$$;
comment on function admin.cancel is 'Cancel!: the recipient never gets the message, and the sender is not told';

select logic.place_page('find', 'Running', 'Find messages', 'What became of a message, from beginning to end', '{system,auditor,domain}');

create view admin.change with (security_invoker) as
select id, at, actor, peer, path, table_name, action, key::text as key, old, new, undoes from log.audit;
comment on view admin.change is 'Running: Changes. Every change of settings and directory: who, from where, what; each can be taken back';
select logic.describe_page('admin.change', 'log.audit');
-- As the owner, for a row may have secrets; who may is asked here.
create function logic.undo_any(change bigint) returns bigint language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if not logic.web_changes() then
    raise exception 'only a system administrator may take this change back' using errcode = 'insufficient_privilege';
  end if;
  return control.undo(change);
end $$;

-- With the rights of a domain administrator, under row-level security and the guards of his pages: what he sees he may take back, as far as
-- he could do the same on the page of the row. So only columns of that page count.
create function logic.undo_own(change bigint) returns bigint language plpgsql as $$
declare
  a log.audit;
  page regclass;
  own text[];
  columns text[];
  now_there jsonb;
  hit bigint;
  touched bigint;
begin
  select * into a from log.audit x where x.id = change and x.table_name in ('directory.account', 'directory.alias');
  if not found then
    raise exception 'there is no such change that you may take back' using errcode = 'insufficient_privilege';
  end if;
  page := replace(a.table_name, 'directory.', 'admin.')::regclass;
  own := array(
    select t.attname from pg_attribute t join pg_attribute v on v.attrelid = page and v.attname = t.attname and not v.attisdropped
    where t.attrelid = a.table_name::regclass and t.attnum > 0 and not t.attisdropped order by t.attnum);
  execute format('select to_jsonb(x) from (select %s from %s where id = $1) x', (select string_agg(quote_ident(c), ', ') from unnest(own) c), a.table_name)
    into now_there using (a.key ->> 'id')::bigint;
  perform set_config('mailwright.undoes', change::text, true);
  if a.action = 'insert' then
    execute format('delete from %s where id = $1', a.table_name) using (a.key ->> 'id')::bigint;
  elsif a.action = 'delete' then
    if now_there is not null then
      raise exception 'the row that change % deleted is there again', change;
    end if;
    execute format('insert into %1$s (%2$s) select %2$s from jsonb_populate_record(null::%1$s, $1)', a.table_name,
      (select string_agg(quote_ident(c), ', ') from unnest(own) c)) using a.old;
  else
    columns := array(select o.key from jsonb_each(a.old) o where o.value is distinct from a.new -> o.key);
    if cardinality(columns) = 0 then
      raise exception 'change % was of a secret, which the log does not keep', change;
    elsif not columns <@ own then
      raise exception 'change % is of %, which only a system administrator may change', change,
        (select string_agg(c, ', ') from unnest(columns) c where c <> all (own)) using errcode = 'insufficient_privilege';
    end if;
    select min(later.id) into hit from unnest(logic.audit_ids(a.table_name, a.key)) later (id)
    where later.id > a.id
      and exists (select 1 from unnest(columns) c where a.new -> c is distinct from now_there -> c);
    if hit is not null then
      raise exception 'this row has been changed again since (change %): undo that one first', hit;
    end if;
    execute format('update %1$s x set (%2$s) = (select %2$s from jsonb_populate_record(null::%1$s, $2)) where x.id = $1', a.table_name,
      (select string_agg(quote_ident(c), ', ') from unnest(columns) c)) using (a.key ->> 'id')::bigint, a.old;
  end if;
  get diagnostics touched = row_count;
  perform set_config('mailwright.undoes', '', true);
  if touched = 0 then
    raise exception 'the row of change % is gone, or not yours', change;
  end if;
  return (select max(x.id) from log.audit x where x.undoes = change);
end $$;

create function admin.undo(c admin.change) returns text language plpgsql as $$
begin
  return format('change %s is taken back by change %s', c.id, case logic.web_kind() when 'domain' then logic.undo_own(c.id) else logic.undo_any(c.id) end);
end $$;
comment on function admin.undo is 'Undo';

create view admin.event with (security_invoker) as
select id, at, level, service, message, login, host(peer) as peer, node, session_id, fields from log.event;
comment on view admin.event is 'Running: Log. What the server says of itself';
select logic.describe_page('admin.event', 'log.event');

create view admin.trace with (security_invoker) as
select id, at, step, sender, recipient, reply, host(peer) as peer, message, command, size, message_id, queue_id, session_id, node from log.trace;
comment on view admin.trace is 'Running: Trace. What became of messages, one line for each step; all steps of one message bear the same message';
select logic.describe_page('admin.trace', 'log.trace');

create view admin.attempt with (security_invoker) as
select id, at, outcome, recipient, sender, host, host(address) as address, reply, milliseconds, attempt, tls, size, message_id, node from queue.attempt;
comment on view admin.attempt is 'Running: Attempts. What became of each attempt to deliver mail to other servers';
select logic.describe_page('admin.attempt', 'queue.attempt');

create view admin.login with (security_invoker) as
select id, login, kind, host(peer) as peer, browser, since, seen_at, awaits_code from live.web_session;
comment on view admin.login is 'Running: Logins. Who has logged in to these pages';
select logic.describe_page('admin.login', 'live.web_session');
create function admin.log_out(l admin.login) returns text language sql as $$
  delete from live.web_session where id = l.id returning l.login || ' has to log in again'
$$;
comment on function admin.log_out is 'Log out!: ends this login';

create view admin.lock with (security_invoker) as
select key, failures, last_at, locked_until from live.login_failure;
comment on view admin.lock is 'Running: Locks. Wrong passwords by name and by address, and what is locked because of them';
select logic.describe_page('admin.lock', 'live.login_failure');
create function admin.unlock(l admin.lock) returns text language sql as $$
  delete from live.login_failure where key = l.key returning l.key || ' is unlocked'
$$;
comment on function admin.unlock is 'Unlock';

select logic.place_page('reports', 'Running', 'Reports', 'Saved queries, as tables, charts and files', '{system,auditor}');

-- Mail ---------------------------------------------------------------------------------------------------------

create view admin.domain with (security_invoker) as
select id, name, active, is_default, (select count(*) from directory.account a where a.domain_id = d.id) as accounts,
  catch_all, max_accounts, quota_bytes, max_message_bytes, users_may_forward, administrators_read_mail, created_at
from directory.domain d;
comment on view admin.domain is 'Mail: Domains. Domains whose mail is kept here';
comment on column admin.domain.accounts is 'Accounts in this domain';
select logic.describe_page('admin.domain', 'directory.domain');

-- What the pages show of an account but may not read themselves.
create function logic.used_bytes(account bigint) returns bigint language sql stable security definer set search_path = pg_catalog as $$
  select bytes from store.usage where account_id = account
$$;

create view admin.account with (security_invoker) as
select id, domain_id, local_part, display_name, active, null::control.password as password, forward_to, forward_keep, logic.used_bytes(id) as used_bytes, quota_bytes,
  max_messages, max_message_bytes, forbidden_services, mail_from_policy, sender_needs_login, manages_domain,
  exists (select 1 from directory.second_factor f where f.account_id = account.id) as second_factor, created_at
from directory.account;
comment on view admin.account is 'Mail: Users. People (or things) with a mailbox';
comment on column admin.account.password is 'A new password; left empty, the old one stays';
comment on column admin.account.used_bytes is 'Bytes of mail that the account keeps';
comment on column admin.account.second_factor is 'Whether a login to these pages needs a code besides the password';
select logic.describe_page('admin.account', 'directory.account');

-- A password comes as the daemon has hashed it: {"hash": …, "scram": …}.
create function admin.write_account() returns trigger language plpgsql as $$
declare
  stored jsonb := nullif(new.password, '')::jsonb;
begin
  if tg_op = 'INSERT' then
    insert into directory.account (domain_id, local_part, display_name, active, password_hash, scram, forward_to, forward_keep, quota_bytes,
      max_messages, max_message_bytes, forbidden_services, mail_from_policy, sender_needs_login, manages_domain)
    values (new.domain_id, new.local_part, new.display_name, coalesce(new.active, true), stored ->> 'hash', stored ->> 'scram',
      coalesce(new.forward_to, '{}'), coalesce(new.forward_keep, true), new.quota_bytes, new.max_messages, new.max_message_bytes,
      coalesce(new.forbidden_services, '{}'), new.mail_from_policy, new.sender_needs_login, coalesce(new.manages_domain, false))
    returning id into new.id;
  else
    update directory.account set domain_id = new.domain_id, local_part = new.local_part, display_name = new.display_name, active = new.active,
      forward_to = new.forward_to, forward_keep = new.forward_keep, quota_bytes = new.quota_bytes, max_messages = new.max_messages,
      max_message_bytes = new.max_message_bytes, forbidden_services = new.forbidden_services, mail_from_policy = new.mail_from_policy,
      sender_needs_login = new.sender_needs_login, manages_domain = new.manages_domain
    where id = old.id;
    if stored is not null then
      update directory.account set password_hash = stored ->> 'hash', scram = stored ->> 'scram' where id = old.id;
    end if;
  end if;
  return new;
end $$;
create trigger write instead of insert or update on admin.account for each row execute function admin.write_account();
create function admin.delete_account() returns trigger language plpgsql as $$
begin
  delete from directory.account where id = old.id;
  return old;
end $$;
create trigger remove instead of delete on admin.account for each row execute function admin.delete_account();
create function admin.reset_second_factor(a admin.account) returns text language sql as $$
  delete from directory.second_factor where account_id = a.id returning a.local_part || ' logs in with the password alone'
$$;
comment on function admin.reset_second_factor(admin.account) is 'Reset second factor!: logs in with the password alone, until a new one is set up';

create view admin.alias with (security_invoker) as
select id, domain_id, local_part, targets, active, authenticated_only from directory.alias;
comment on view admin.alias is 'Mail: Aliases. Addresses that expand to others';
select logic.describe_page('admin.alias', 'directory.alias');

-- Of two tables, so that it is read only: the server writes it.
create view admin.dns_record with (security_invoker) as
select r.domain_id, r.place, r.name, r.type, r.content, r.need, r.state, r.found, r.checked_at
from directory.dns_record r join directory.domain d on d.id = r.domain_id;
comment on view admin.dns_record is 'Mail: DNS records. What the DNS should say of each domain here, and whether it does. Nothing is looked for while the server has no name (Settings: Server)';
select logic.describe_page('admin.dns_record', 'directory.dns_record');
-- As the owner, for an administrator of a domain may not write there; who may is asked here.
create function logic.want_dns_check(domain bigint) returns text language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if not (logic.web_changes() or coalesce(logic.web_domain() = domain, false)) then
    raise exception 'you may not do this here' using errcode = 'insufficient_privilege';
  end if;
  insert into directory.dns_check (domain_id) values (domain) on conflict (domain_id) do update set wanted_at = excluded.wanted_at;
  return 'the DNS is asked: look again in a moment';
end $$;
create function admin.check_records(r admin.dns_record) returns text language sql as $$ select logic.want_dns_check(r.domain_id) $$;
comment on function admin.check_records is 'Look again';
create function admin.check_dns(d admin.domain) returns text language sql as $$ select logic.want_dns_check(d.id) $$;
comment on function admin.check_dns is 'Check DNS';

-- What a user finds -------------------------------------------------------------------------------------------

-- Facts of his own account, and of no other, that the policies do not show him.
create function logic.own_address() returns text language sql stable security definer set search_path = pg_catalog as $$
  select a.address from logic.account a where a.account_id = logic.web_account()
$$;
create function logic.own_quota() returns bigint language sql stable security definer set search_path = pg_catalog as $$
  select a.quota_bytes from logic.account a where a.account_id = logic.web_account()
$$;
-- Addresses that lead to him. Who else is behind them is not his to know.
create function logic.own_aliases() returns table (id bigint, address text, active boolean) language sql stable security definer set search_path = pg_catalog as $$
  select a.id, a.local_part || '@' || d.name, a.active and d.active
  from directory.alias a join directory.domain d on d.id = a.domain_id
  where exists (select 1 from unnest(a.targets) t where lower(t) = logic.own_address())
$$;

create view admin.my_account with (security_invoker) as
select id, logic.own_address() as address, display_name, forward_to, forward_keep, logic.used_bytes(id) as used_bytes, logic.own_quota() as quota_bytes
from directory.account where id = (select logic.web_account());
comment on view admin.my_account is 'Mine: Account. Your address, your name, and where your mail goes on to';
comment on column admin.my_account.address is 'Your address';
comment on column admin.my_account.display_name is 'Your name';
comment on column admin.my_account.forward_to is 'Addresses that get your mail, e.g. someone@example.net';
comment on column admin.my_account.forward_keep is 'Whether forwarded mail is kept in your mailbox as well';
comment on column admin.my_account.used_bytes is 'Bytes of mail that you keep';
comment on column admin.my_account.quota_bytes is 'Bytes of mail that you may keep; empty = no limit';
select logic.describe_page('admin.my_account', 'directory.account');
create view admin.my_alias with (security_invoker) as select id, address, active from logic.own_aliases();
comment on view admin.my_alias is 'Mine: Aliases. Further addresses whose mail comes to you';
comment on column admin.my_alias.address is 'The address';
select logic.describe_page('admin.my_alias', 'directory.alias');
-- Who has looked into his mailbox: nobody does so unseen.
create function logic.own_views() returns table (id bigint, at timestamptz, actor text, reason text, mailbox text, uid bigint)
language sql stable security definer set search_path = pg_catalog as $$
  select a.id, a.at, a.actor, a.new ->> 'reason', a.new ->> 'mailbox', (a.new ->> 'uid')::bigint from log.audit a
  where a.table_name = 'directory.account' and a.key = jsonb_build_object('id', logic.web_account()) and a.action = 'view'
$$;
create view admin.my_mailbox_view with (security_invoker) as select id, at, actor, reason, mailbox, uid from logic.own_views();
comment on view admin.my_mailbox_view is 'Mine: Looks into your mailbox. Which administrator has looked into your mailbox, when, and the reason given; a line with a folder is a message that was opened';
comment on column admin.my_mailbox_view.actor is 'The administrator';
comment on column admin.my_mailbox_view.reason is 'The reason that the administrator gave';
comment on column admin.my_mailbox_view.mailbox is 'The folder of a message that was opened';
comment on column admin.my_mailbox_view.uid is 'The number of that message in its folder (UID)';
select logic.describe_page('admin.my_mailbox_view', 'log.audit');
update logic.page set kinds = '{user}' where name in ('my_account', 'my_alias', 'my_mailbox_view');
update logic.page set kinds = '{system,auditor,domain,user}' where name in ('session', 'login');

select logic.place_page('import', 'Mail', 'Import of users', 'Makes users from a CSV file', '{system,domain}');

-- Server -------------------------------------------------------------------------------------------------------

create view admin.administrator with (security_invoker) as
select name, role, active, null::control.password as password, must_change_password,
  exists (select 1 from directory.second_factor f where f.administrator = name) as second_factor
from control.administrator;
comment on view admin.administrator is 'Server: Administrators. They manage the whole server, and have no address and no mailbox';
comment on column admin.administrator.password is 'A new password; left empty, the old one stays';
comment on column admin.administrator.second_factor is 'Whether a login needs a code besides the password';
select logic.describe_page('admin.administrator', 'control.administrator');
create function admin.write_administrator() returns trigger language plpgsql as $$
declare
  stored jsonb := nullif(new.password, '')::jsonb;
begin
  if tg_op = 'INSERT' then
    insert into control.administrator (name, role, active, password_hash, must_change_password)
    values (new.name, coalesce(new.role, 'system'), coalesce(new.active, true), stored ->> 'hash', coalesce(new.must_change_password, false));
  else
    update control.administrator set name = new.name, role = new.role, active = new.active, must_change_password = new.must_change_password
    where name = old.name;
    if stored is not null then
      update control.administrator set password_hash = stored ->> 'hash' where name = new.name;
    end if;
  end if;
  return new;
end $$;
create trigger write instead of insert or update on admin.administrator for each row execute function admin.write_administrator();
create function admin.delete_administrator() returns trigger language plpgsql as $$
begin
  delete from control.administrator where name = old.name;
  return old;
end $$;
create trigger remove instead of delete on admin.administrator for each row execute function admin.delete_administrator();
create function admin.reset_second_factor(a admin.administrator) returns text language sql as $$
  delete from directory.second_factor where administrator = a.name returning a.name || ' logs in with the password alone'
$$;
comment on function admin.reset_second_factor(admin.administrator) is 'Reset second factor!: logs in with the password alone, until a new one is set up';

select logic.place_page('certificate-upload', 'Server', 'Certificate upload', 'Bring a certificate from files, or make one that signs itself', '{system}');

create view admin.certificate with (security_invoker) as
select id, names, source, active, own_names, not_after, error, chain, null::control.secret as key, created_at from control.certificate;
comment on view admin.certificate is 'Server: Certificates. TLS certificates, chosen by the name that the client asks for';
comment on column admin.certificate.key is 'Private key, PEM; it is never shown. Left empty, the old one stays';
select logic.describe_page('admin.certificate', 'control.certificate');
create function admin.write_certificate() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    insert into control.certificate (names, chain, key, source, active)
    values (coalesce(new.names, '{}'), new.chain, new.key, coalesce(new.source, 'uploaded'), coalesce(new.active, true)) returning id into new.id;
  else
    update control.certificate set names = new.names, chain = new.chain, source = new.source, active = new.active where id = old.id;
    if new.key <> '' then
      update control.certificate set key = new.key where id = old.id;
    end if;
  end if;
  return new;
end $$;
create trigger write instead of insert or update on admin.certificate for each row execute function admin.write_certificate();
create function admin.delete_certificate() returns trigger language plpgsql as $$
begin
  delete from control.certificate where id = old.id;
  return old;
end $$;
create trigger remove instead of delete on admin.certificate for each row execute function admin.delete_certificate();
create function admin.renew(c admin.certificate) returns text language plpgsql as $$
begin
  update control.acme_certificate set renew_at = now() where certificate_id = c.id;
  return case when found then logic.says_order() else 'it comes from no authority by itself: upload the new one' end;
end $$;
comment on function admin.renew(admin.certificate) is 'Renew now';

-- Whether what is wanted from the authority is ordered.
create function logic.says_order() returns text language sql stable as $$
  select case when a.active then 'it is ordered now' else 'it is ordered as soon as the authority is switched on: Settings, Acme' end from control.acme a
$$;

create view admin.metrics_token with (security_invoker) as
select name, null::control.secret as token, created_at from control.metrics_token;
comment on view admin.metrics_token is 'Server: Metrics tokens. With which monitoring may read /metrics: Authorization: Bearer TOKEN. Only a hash is kept';
comment on column admin.metrics_token.token is 'A long random text, at least 20 characters; it is never shown, so note it. Left empty, the old one stays';
select logic.describe_page('admin.metrics_token', 'control.metrics_token');
create function admin.write_metrics_token() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    insert into control.metrics_token (name, token) values (new.name, nullif(new.token, ''));
  else
    update control.metrics_token set name = new.name where name = old.name;
    if new.token <> '' then
      update control.metrics_token set token = new.token where name = new.name;
    end if;
  end if;
  return new;
end $$;
create trigger write instead of insert or update on admin.metrics_token for each row execute function admin.write_metrics_token();
create function admin.delete_metrics_token() returns trigger language plpgsql as $$
begin
  delete from control.metrics_token where name = old.name;
  return old;
end $$;
create trigger remove instead of delete on admin.metrics_token for each row execute function admin.delete_metrics_token();

create view admin.report with (security_invoker) as
select name, description, active, query, parameters, chart, chart_name, chart_values, max_rows, timeout_seconds from control.report;
comment on view admin.report is 'Server: Report queries. What the page Reports offers: SQL that is kept';
select logic.describe_page('admin.report', 'control.report');

-- All other settings and lists: every table of control has a page, its columns as they are, secrets left out.
do $$
declare
  t record;
begin
  for t in
    select c.oid, c.relname, obj_description(c.oid) as words, format('control.%I', c.relname) as name, format('admin.%I', c.relname) as page,
      string_agg(quote_ident(a.attname), ', ' order by a.attnum) as columns,
      bool_or(a.attname = 'only_row') as one_row
    from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.relkind = 'r' and c.relnamespace = 'control'::regnamespace and a.atttypid <> 'control.secret'::regtype
      and c.relname not in ('generation', 'touched', 'lease', 'logic')
      and to_regclass(format('admin.%I', c.relname)) is null
    group by c.oid, c.relname
  loop
    execute format('create view %s with (security_invoker) as select %s from %s', t.page, t.columns, t.name);
    execute format('comment on view %s is %L', t.page,
      case when t.one_row then 'Settings: ' else 'Server: ' end || logic.page_title(t.relname) || '. ' || coalesce(t.words, ''));
    perform logic.describe_page(t.page, t.name);
  end loop;
end $$;

create function admin.renew(c admin.acme_certificate) returns text language sql as $$
  update control.acme_certificate set renew_at = now(), next_attempt_at = null where id = c.id returning logic.says_order()
$$;
comment on function admin.renew(admin.acme_certificate) is 'Renew now';
