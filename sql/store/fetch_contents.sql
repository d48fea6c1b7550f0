-- Contents $1 as fetch_facts has messages: with header and structure, without anything of a mailbox.
select 0::bigint, id, created_at, 0::smallint, size, null::bytea, header_size, size, header, null::bytea, structure, null::text,
  null::timestamptz, '', null::text
from store.content where id = any($1::bigint[])
