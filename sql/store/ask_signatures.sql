-- What the text index, in form $4, knows of the messages $3 in mailbox $2 of account $1 without reading texts: bytes of the
-- text; a bitmap of the strings, 4 at most, that are not in it, by the probes $5 (8 for each string, null where there are
-- fewer); if $6, what header tests need. Messages that are not in the index are left out.
select m.uid, m.internal_date, m.zone_minutes, m.size, octet_length(t.text),
  (logic.lacks(t.signature, $5::int[], 0) is true)::int | ((logic.lacks(t.signature, $5::int[], 1) is true)::int << 1)
    | ((logic.lacks(t.signature, $5::int[], 2) is true)::int << 2) | ((logic.lacks(t.signature, $5::int[], 3) is true)::int << 3),
  case when $6 then m.prefix end, case when $6 then t.fields end
from store.message m join store.text t on t.content_id = m.content_id
where m.account_id = $1 and m.mailbox_id = $2 and m.uid = any($3::bigint[]) and t.version = $4
