-- The header of content $1, its subject and Message-ID.
select header, subject, message_id from store.content where id = $1
