-- Makes $1 rows of the log: half of them events, half of them steps of messages, over thirty days.
with events as (
  insert into log.event (at, level, node, service, message, peer, login, fields)
  select now() - (n::float8 / $1::bigint) * interval '30 days',
    (array['info', 'info', 'info', 'debug', 'warn', 'error'])[1 + n % 6]::log.level, 'bench', (array['smtp', 'imap', 'pop3', 'relay'])[1 + n % 4],
    'a client has logged in ' || n, ('192.0.2.' || n % 256)::inet, 'u' || n % 5000 || '@example.test', jsonb_build_object('mechanism', 'PLAIN', 'n', n)
  from generate_series($1::bigint / 2, 1, -1) n
)
insert into log.trace (at, step, node, message, peer, command, size, sender, recipient, message_id, reply)
select now() - (n::float8 / $1::bigint) * interval '30 days', (array['accepted', 'placed', 'placed', 'refused'])[1 + n % 4]::log.step, 'bench',
  'm' || n / 3, ('192.0.2.' || n % 256)::inet, 'DATA', 2000 + n % 9000, 's' || n % 7000 || '@far.test', 'u' || n % 100000 || '@example.test',
  '<' || n / 3 || '@far.test>', '250 2.0.0 stored'
from generate_series($1::bigint / 2, 1, -1) n
