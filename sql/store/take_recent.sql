-- Takes \Recent of mailbox $2 of account $1 for one session (RFC 3501, 2.3.2): returns from which UID on, and up to which,
-- messages are recent for it; no other session will be told so of them. Where nothing is recent, which is what most sessions
-- find, nothing is locked and nothing written.
with old as (
  select recent_uid, uid_next from store.mailbox where account_id = $1 and id = $2 and recent_uid < uid_next for no key update
), taken as (
  update store.mailbox b set recent_uid = old.uid_next from old where b.account_id = $1 and b.id = $2 and b.recent_uid < old.uid_next
)
select recent_uid, uid_next, set_config('synchronous_commit', 'off', true) from old
union all
select uid_next, uid_next, null from store.mailbox where account_id = $1 and id = $2 and not exists (select from old)
