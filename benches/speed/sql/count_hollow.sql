-- Messages whose content, or the bytes of it, are not there.
select count(*) from store.message m
left join store.content c on c.id = m.content_id
left join (select content_id, sum(size) as size from store.content_chunk group by content_id) s on s.content_id = m.content_id
where s.size is distinct from c.size
