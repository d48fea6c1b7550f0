-- Changes flags of the messages $3 in mailbox $2 of account $1 whose modseq is at most $4.
-- $5: 0 replace, 1 add, 2 remove; $6: system flags as a bitmap; $7: keywords (compared without case); $8: where all are
-- replaced, those that may change, as a bitmap with 32 for keywords: the others stay.
-- A message whose flags are as wanted already keeps its modseq, and so does the mailbox where nothing changes (RFC 7162,
-- 3.1.11): its row is locked, and counted up only when something has. Returns first uid 0 and the mailbox's modseq then, after
-- that uid, modseq, flags, keywords of what was changed. One pass over the messages: joined with themselves they cost a
-- second for 500 of them as long as the table has no statistics.
with off as (
  select set_config('synchronous_commit', 'off', true)
), b as (
  select highest_modseq + 1 as highest_modseq from store.mailbox, off where account_id = $1 and id = $2 for no key update of mailbox
), changed as (
  update store.message m set modseq = b.highest_modseq,
    seen = case $5::int when 0 then $6::int & $8::int & 1 <> 0 or seen and $8::int & 1 = 0 when 1 then seen or $6::int & 1 <> 0 else seen and $6::int & 1 = 0 end,
    answered = case $5::int when 0 then $6::int & $8::int & 2 <> 0 or answered and $8::int & 2 = 0 when 1 then answered or $6::int & 2 <> 0 else answered and $6::int & 2 = 0 end,
    flagged = case $5::int when 0 then $6::int & $8::int & 4 <> 0 or flagged and $8::int & 4 = 0 when 1 then flagged or $6::int & 4 <> 0 else flagged and $6::int & 4 = 0 end,
    deleted = case $5::int when 0 then $6::int & $8::int & 8 <> 0 or deleted and $8::int & 8 = 0 when 1 then deleted or $6::int & 8 <> 0 else deleted and $6::int & 8 = 0 end,
    draft = case $5::int when 0 then $6::int & $8::int & 16 <> 0 or draft and $8::int & 16 = 0 when 1 then draft or $6::int & 16 <> 0 else draft and $6::int & 16 = 0 end,
    keywords = case $5::int
      when 0 then case when $8::int & 32 <> 0 then nullif($7::text[], '{}') else m.keywords end
      when 1 then nullif(coalesce(m.keywords, '{}') || array(select k from unnest($7::text[]) k
        where not exists (select 1 from unnest(m.keywords) o where lower(o) = lower(k))), '{}')
      else nullif(array(select o from unnest(m.keywords) o
        where not exists (select 1 from unnest($7::text[]) k where lower(o) = lower(k))), '{}')
    end
  from b
  where m.account_id = $1 and m.mailbox_id = $2 and m.uid = any($3::bigint[]) and m.modseq <= $4
    and (case $5::int
      when 0 then (seen::int | (answered::int << 1) | (flagged::int << 2) | (deleted::int << 3) | (draft::int << 4)) & $8::int <> $6::int & $8::int
        or $8::int & 32 <> 0 and m.keywords is distinct from nullif($7::text[], '{}')
      when 1 then $6::int & ~(seen::int | (answered::int << 1) | (flagged::int << 2) | (deleted::int << 3) | (draft::int << 4)) <> 0
        or exists (select 1 from unnest($7::text[]) k where not exists (select 1 from unnest(m.keywords) o where lower(o) = lower(k)))
      else $6::int & (seen::int | (answered::int << 1) | (flagged::int << 2) | (deleted::int << 3) | (draft::int << 4)) <> 0
        or exists (select 1 from unnest(m.keywords) o, unnest($7::text[]) k where lower(o) = lower(k))
    end)
  returning m.uid, m.modseq,
    m.seen::int | (m.answered::int << 1) | (m.flagged::int << 2) | (m.deleted::int << 3) | (m.draft::int << 4) as flags, m.keywords
), counted as (
  update store.mailbox set highest_modseq = highest_modseq + 1
  where account_id = $1 and id = $2 and exists (select from changed)
), logged as (
  insert into store.change (account_id, mailbox_id, modseq, uid) select $1, $2, modseq, uid from changed
)
select 0 as uid, highest_modseq - (not exists (select from changed))::int as modseq, 0 as flags, null::text[] as keywords from b
union all
select uid, modseq, flags, keywords from changed order by uid
