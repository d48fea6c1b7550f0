-- Says who is at the other end: program $1, person $2, for log.audit. Returns whether this database is a server's.
select to_regclass('control.generation') is not null
  from (select set_config('application_name', $1, false), set_config('mailwright.actor', $2, false)) said
