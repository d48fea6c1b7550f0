-- The mailbox of account $1 with name $2, and the bytes and messages that the account may still keep.
select m.name, m.id, m.uid_validity, m.uid_next, m.recent_uid, m.highest_modseq, m.special_use, false,
  a.quota_bytes - coalesce(a.used_bytes, 0), a.max_messages - coalesce(a.used_messages, 0)
from store.mailbox m join logic.account a on a.account_id = m.account_id
where m.account_id = $1 and m.name = $2
