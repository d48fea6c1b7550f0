-- The domains that have a HELO name or source addresses of their own.
select name, helo_name, source_ipv4, source_ipv6 from directory.domain
where helo_name is not null or source_ipv4 is not null or source_ipv6 is not null
