-- The texts, in form $4, of the messages $3 in mailbox $2 of account $1, and what stands before them in each copy.
select m.uid, m.internal_date, m.zone_minutes, m.size, m.prefix, t.fields, t.text
from store.message m join store.text t on t.content_id = m.content_id
where m.account_id = $1 and m.mailbox_id = $2 and m.uid = any($3::bigint[]) and t.version = $4 and t.text is not null
