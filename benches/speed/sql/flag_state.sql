-- Position of the log, updates so far, HOT ones among them, and sizes, of the design in schema $1.
select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint,
  pg_stat_get_tuples_updated(m), pg_stat_get_tuples_hot_updated(m),
  pg_table_size(m), pg_indexes_size(m), pg_total_relation_size(c)
from (select format('%I.message', $1::text)::regclass::oid as m, format('%I.change', $1::text)::regclass::oid as c) t
