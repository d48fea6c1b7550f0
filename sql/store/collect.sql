-- Removes up to $2 contents that nothing refers to and that were neither stored nor used for $1 hours; what turns out to be in
-- use is taken off the list. Re-checked on the locked row: an equal message that arrives meanwhile renews used_at first.
with candidates as (
  select content_id from store.orphan where since < now() - make_interval(hours => $1) order by since limit $2 for update skip locked
), judged as (
  select o.content_id,
    not exists (select 1 from store.message m where m.content_id = o.content_id)
    and not exists (select 1 from store.expunged e where e.content_id = o.content_id)
    and not exists (select 1 from queue.message q where q.content_id = o.content_id) as unused
  from candidates o
), removed as (
  delete from store.content c using judged j
  where c.id = j.content_id and j.unused and c.used_at < now() - make_interval(hours => $1)
  returning c.id
), chunks as (
  delete from store.content_chunk k using judged j
  where k.content_id = j.content_id and j.unused
    and (j.content_id in (select id from removed) or not exists (select 1 from store.content c where c.id = j.content_id))
), done as (
  -- Used ones come back when they lose their next reference; those used lately wait for another round.
  delete from store.orphan o using judged j where o.content_id = j.content_id
    and (not j.unused or j.content_id in (select id from removed) or not exists (select 1 from store.content c where c.id = j.content_id))
)
select count(*) from candidates
