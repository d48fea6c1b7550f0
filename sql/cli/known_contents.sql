-- What tells the messages of mailbox $2 of account $1 apart: the digest, or size and Message-ID of those that have header lines
-- of their own before the content.
select case when m.prefix is null then c.digest end, m.size, c.message_id
from store.message m join store.content c on c.id = m.content_id where m.account_id = $1 and m.mailbox_id = $2
