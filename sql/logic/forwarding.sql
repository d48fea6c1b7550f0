-- What must hold among domains, their other names and remote domains; and where accounts may forward to.

create function logic.check_forward_to() returns trigger language plpgsql as $$
begin
  perform logic.check_addresses(new.forward_to, 'forwarding');
  return new;
end $$;
create trigger check_forward_to before insert or update of forward_to on directory.account
for each row when (new.forward_to <> '{}') execute function logic.check_forward_to();

create function logic.normalise_domain_alias() returns trigger language plpgsql as $$
begin
  new.name := lower(rtrim(btrim(new.name), '.'));
  return new;
end $$;
create trigger normalise before insert or update of name on directory.domain_alias
for each row execute function logic.normalise_domain_alias();

create function logic.normalise_remote_domain() returns trigger language plpgsql as $$
begin
  new.name := lower(rtrim(btrim(new.name), '.'));
  new.address := lower(btrim(new.address));
  new.host := nullif(lower(rtrim(btrim(new.host), '.')), '');
  return new;
end $$;
create trigger normalise before insert or update on directory.remote_domain
for each row execute function logic.normalise_remote_domain();

create trigger normalise before insert or update on directory.remote_recipient
for each row execute function logic.normalise_local_part();

create function logic.mirror_domain() returns trigger language plpgsql as $$
begin
  if tg_op = 'UPDATE' then
    update directory.domain_name set name = new.name
    where case tg_table_name when 'domain' then domain_id when 'domain_alias' then alias_id else remote_id end = new.id;
  else
    insert into directory.domain_name (name, domain_id, alias_id, remote_id) values (new.name,
      case when tg_table_name = 'domain' then new.id end,
      case when tg_table_name = 'domain_alias' then new.id end,
      case when tg_table_name = 'remote_domain' then new.id end);
  end if;
  return null;
end $$;
create trigger mirror after insert or update of name on directory.domain
for each row execute function logic.mirror_domain();
create trigger mirror after insert or update of name on directory.domain_alias
for each row execute function logic.mirror_domain();
create trigger mirror after insert or update of name on directory.remote_domain
for each row execute function logic.mirror_domain();
