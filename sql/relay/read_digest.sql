-- The digest of content $1.
select digest from store.content where id = $1
