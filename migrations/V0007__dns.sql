-- Names: which name servers are asked, how long, and what is believed of their answers.

create type control.dnssec as enum ('off', 'trust', 'validate');

create function control.are_name_servers(servers text[]) returns boolean
language sql immutable parallel safe as $$
  select coalesce(bool_and(
    control.is_ip_address(s)
    or coalesce(s ~ ':[0-9]{1,5}$' and control.is_ip_address(regexp_replace(s, '^\[?(.*?)\]?:[0-9]+$', '\1'))
      and (s ~ '^\[' or s !~ ':.*:') and substring(s from '[0-9]+$')::integer between 1 and 65535, false)), true)
  from unnest(servers) s
$$;

create table control.dns (
  only_row boolean primary key default true check (only_row),
  servers text[] not null default '{}'
    constraint "a name server is like 127.0.0.1, 10.0.0.1:5353, ::1 or [::1]:5353" check (
      control.are_name_servers(servers) and array_position(servers, null) is null and cardinality(servers) <= 16),
  timeout_milliseconds integer not null default 3000
    constraint "a name server is given from 100 to 60000 milliseconds" check (timeout_milliseconds between 100 and 60000),
  attempts integer not null default 3
    constraint "a question is asked from 1 to 10 times" check (attempts between 1 and 10),
  dnssec control.dnssec not null default 'validate',
  cache_entries integer not null default 10000
    constraint "the cache of names has from 100 to 1000000 entries" check (cache_entries between 100 and 1000000)
);
comment on table control.dns is 'How names are looked up';
comment on column control.dns.servers is 'Name servers, as addresses with or without a port: 127.0.0.1, 10.0.0.1:5353, [::1]:5353. Empty = those of the system (/etc/resolv.conf)';
comment on column control.dns.timeout_milliseconds is 'How long one question waits for its answer';
comment on column control.dns.attempts is 'How often a question is asked before it has failed for now';
comment on column control.dns.dnssec is 'What makes an answer authentic, which DANE needs. validate: its signatures, checked here; trust: the name servers say so (AD), right for a validating resolver on this host or a network nobody else is in; off: nothing does';
comment on column control.dns.cache_entries is 'How many answers are kept in memory, each for as long as its TTL allows';
insert into control.dns default values;
