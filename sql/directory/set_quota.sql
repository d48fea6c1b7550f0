-- Sets the limits of account $1: bytes $2, messages $3, mailboxes $4; null = as its domain says.
update directory.account set quota_bytes = $2::bigint, max_messages = $3::bigint, max_mailboxes = $4::integer where id = $1
