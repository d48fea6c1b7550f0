-- Where mail for the remote domain $1 (lower case, ASCII) is passed on to, if a host is named.
select host, port from directory.remote_domain
where name = $1 and active and forward = 'remote host' and host is not null
