-- Looking into a user's mailbox. The pages may read nothing of schema store; what an administrator who looks is shown, the daemon
-- reads for this one account, after it has asked here, at each page, under the administrator's own name. These functions run as the
-- owner, and so each asks first who it is.

-- Whether he may: a system administrator; a domain administrator in his domain, if that lets him.
create function logic.may_view_mailbox(account bigint) returns boolean language sql stable security definer set search_path = pg_catalog as $$
  select case logic.web_kind()
    when 'system' then exists (select 1 from directory.account a where a.id = account)
    when 'domain' then exists (
      select 1 from directory.account a join directory.domain d on d.id = a.domain_id
      where a.id = account and d.id = logic.web_domain() and d.administrators_read_mail)
    else false end
$$;

-- Leaves a row in the log of changes: who has looked into what. Not for the pages to call: see the grants below.
create function logic.note_view(account bigint, what jsonb) returns void language sql security definer set search_path = pg_catalog as $$
  insert into log.audit (actor, peer, path, table_name, action, key, new)
  values (current_setting('mailwright.actor', true), current_setting('mailwright.peer', true), current_setting('application_name'), 'directory.account',
    'view', jsonb_build_object('id', account), what)
$$;

-- The view that session has open of this mailbox: {"address", "reason", "until"}; without "until" none is open, and one may be opened.
create function logic.mailbox_view(session bytea, account bigint) returns jsonb language plpgsql stable security definer set search_path = pg_catalog as $$
declare
  minutes integer := (select w.mailbox_view_minutes from control.web w);
  found jsonb;
begin
  if not logic.may_view_mailbox(account) then
    raise exception 'you may not look into this mailbox' using errcode = 'insufficient_privilege';
  end if;
  select jsonb_build_object('address', a.address, 'minutes', minutes, 'reason', v.reason, 'until', v.since + make_interval(mins => minutes)) into found
  from logic.account a
  left join live.web_session s on s.token_hash = session and s.login = current_setting('mailwright.actor', true) and not s.awaits_code
  left join live.mailbox_view v on v.session_id = s.id and v.account_id = a.account_id and v.since > now() - make_interval(mins => minutes)
  where a.account_id = mailbox_view.account;
  return found;
end $$;

-- Opens one, for a reason.
create function logic.open_mailbox_view(session bytea, account bigint, why text) returns jsonb language plpgsql security definer set search_path = pg_catalog as $$
declare
  s bigint;
  con text;
begin
  if not logic.may_view_mailbox(account) then
    raise exception 'you may not look into this mailbox' using errcode = 'insufficient_privilege';
  end if;
  select id into s from live.web_session w
  where w.token_hash = session and w.login = current_setting('mailwright.actor', true) and not w.awaits_code;
  insert into live.mailbox_view (session_id, account_id, reason) values (s, account, btrim(why))
  on conflict (session_id, account_id) do update set reason = excluded.reason, since = now();
  perform logic.note_view(account, jsonb_build_object('reason', btrim(why)));
  return '{}';
exception when check_violation then
  get stacked diagnostics con = constraint_name;
  return jsonb_build_object('wrong', con);
end $$;

-- Ends it.
create function logic.close_mailbox_view(session bytea, account bigint) returns jsonb language plpgsql security definer set search_path = pg_catalog as $$
begin
  delete from live.mailbox_view v using live.web_session s
  where s.id = v.session_id and s.token_hash = session and v.account_id = account and s.login = current_setting('mailwright.actor', true);
  return '{}';
end $$;

-- The same as mailbox_view for one message, which is noted.
create function logic.view_message(session bytea, account bigint, mailbox bigint, uid bigint) returns jsonb
language plpgsql security definer set search_path = pg_catalog as $$
declare found jsonb := logic.mailbox_view(session, account);
begin
  if found ->> 'until' is not null then
    perform logic.note_view(account, jsonb_build_object('reason', found ->> 'reason', 'uid', view_message.uid,
      'mailbox', (select b.name from store.mailbox b where b.account_id = account and b.id = mailbox)));
  end if;
  return found;
end $$;

revoke execute on function logic.note_view(bigint, jsonb) from public;
