-- What account $1 keeps and may keep: bytes, messages, mailboxes; its address and domain.
select a.used_bytes, a.quota_bytes, a.used_messages, a.max_messages,
  (select count(*) from store.mailbox m where m.account_id = a.account_id), a.max_mailboxes, a.address, a.domain_id
from logic.account a where a.account_id = $1
