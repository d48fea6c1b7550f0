-- Who may read the numbers for monitoring (/metrics).

alter table control.web add column monitor_ip_list_id bigint references control.ip_list;
comment on column control.web.monitor_ip_list_id is 'The IP list of those who may read /metrics and all of /readyz without a token; none = this host (127.0.0.1, ::1) only';

create table control.metrics_token (
  name text primary key constraint "a token has a name" check (name <> ''),
  token control.secret not null,
  created_at timestamptz not null default now()
);
comment on table control.metrics_token is 'Tokens with which monitoring may read /metrics and all of /readyz from everywhere: Authorization: Bearer';
comment on column control.metrics_token.name is 'Who uses it';
comment on column control.metrics_token.token is 'A long random text. Only its hash is kept, so note it';
comment on column control.metrics_token.created_at is 'When it was made';
