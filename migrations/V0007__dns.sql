-- Which name servers are asked, and what they are believed.

create type control.dnssec as enum ('off', 'trust', 'validate');

-- Whether a text is a name server: an IP address, with or without a port.
create function control.is_name_server(server text) returns boolean language sql immutable strict parallel safe as $$
  select control.is_ip_address(server)
    or control.is_ip_address((regexp_match(server, '^([0-9.]+):[0-9]{1,5}$'))[1])
    or control.is_ip_address((regexp_match(server, '^\[([0-9a-fA-F:.]+)\](:[0-9]{1,5})?$'))[1])
$$;

create table control.dns (
  only_row boolean primary key default true check (only_row),
  servers text[] not null default '{}',
  dnssec control.dnssec not null default 'trust',
  timeout_milliseconds integer not null default 3000
    constraint "timeout_milliseconds is from 100 to 60000" check (timeout_milliseconds between 100 and 60000),
  attempts integer not null default 2 constraint "attempts is from 1 to 10" check (attempts between 1 and 10),
  cache_entries integer not null default 32768
    constraint "cache_entries is from 0 to 10 million" check (cache_entries between 0 and 10000000)
);
comment on table control.dns is 'How names are looked up';
comment on column control.dns.servers is 'Name servers, as 192.0.2.53, 127.0.0.1:5353 or [2001:db8::53]:53; empty = those of the system (/etc/resolv.conf)';
comment on column control.dns.dnssec is 'trust: believe the name servers when they say that an answer is authentic (AD), which is right for a validating resolver on this host or network; validate: check the signatures here; off: nothing is authentic, and so DANE is not used';
comment on column control.dns.timeout_milliseconds is 'How long one question may take';
comment on column control.dns.attempts is 'How often a question is asked';
comment on column control.dns.cache_entries is 'Answers kept until their time is over; counts from the next change of servers or start on';
insert into control.dns default values;

create function control.check_name_servers() returns trigger language plpgsql as $$
declare bad text;
begin
  select s into bad from unnest(new.servers) s where s is null or not control.is_name_server(s) limit 1;
  if found then
    raise exception '"%" is no name server: write an IP address, with a port if it is not 53, as in 127.0.0.1:5353', bad
      using errcode = 'check_violation';
  end if;
  return new;
end $$;
create trigger check_name_servers before insert or update on control.dns for each row execute function control.check_name_servers();
