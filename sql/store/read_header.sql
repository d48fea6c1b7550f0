-- The header of content $1.
select header from store.content where id = $1
