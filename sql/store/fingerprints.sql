-- A number for each of accounts $1 that is another one when something has happened to its mailboxes: messages, names,
-- subscriptions, rights, annotations. Account 0 stands for what concerns everybody.
select k.account_id, (
  coalesce((select sum(hashtextextended(concat_ws(':', m.id, m.highest_modseq, m.uid_validity, m.special_use, m.name), 0))
    from store.mailbox m where m.account_id = k.account_id), 0)
  + coalesce((select sum(hashtextextended(s.name, 1)) from store.subscription s where s.account_id = k.account_id), 0)
  + coalesce((select sum(hashtextextended(concat_ws(':', a.mailbox_id, a.grantee_id, a.grantee_domain_id, a.negative, a.rights), 2))
    from store.acl a where a.account_id = k.account_id or a.grantee_id = k.account_id), 0)
  + coalesce((select sum(hashtextextended(concat_ws(':', d.mailbox_id, d.user_id, md5(d.value), d.entry), 3))
    from store.metadata d where d.account_id = k.account_id), 0)
)::text
from unnest($1::bigint[]) as k (account_id)
