-- What a node remembers of messages.

alter table control.store add column cache_bytes bigint not null default 67108864
  constraint "cache_bytes is 0 (nothing is remembered) to 1 TiB" check (cache_bytes between 0 and 1099511627776);
comment on column control.store.cache_bytes is 'Memory in which a node keeps what it has read of messages, bytes; 0 = none. PostgreSQL has its own cache besides';
