-- Changes flags of the messages $3 in mailbox $2 of account $1 whose modseq is at most $4.
-- $5: 0 replace, 1 add, 2 remove; $6: system flags as a bitmap; $7: keywords (compared without case).
-- A message whose flags are as wanted already keeps its modseq (RFC 7162, 3.1.2.1 allows either). Returns uid, modseq, flags,
-- keywords of what was changed.
with off as (
  select set_config('synchronous_commit', 'off', true)
), b as (
  update store.mailbox set highest_modseq = highest_modseq + 1 from off where account_id = $1 and id = $2 returning highest_modseq
), wanted as (
  select m.uid,
    case $5::int when 0 then $6::int when 1 then f.flags | $6::int else f.flags & ~$6::int end as flags,
    case $5::int
      when 0 then nullif($7::text[], '{}')
      when 1 then coalesce(m.keywords, '{}') || array(select k from unnest($7::text[]) k
        where not exists (select 1 from unnest(m.keywords) o where lower(o) = lower(k)))
      else nullif(array(select o from unnest(m.keywords) o where not exists (select 1 from unnest($7::text[]) k where lower(o) = lower(k))), '{}')
    end as keywords,
    f.flags as old_flags, m.keywords as old_keywords
  from b, store.message m,
    lateral (select seen_bits.flags from (select m.seen::int | (m.answered::int << 1) | (m.flagged::int << 2) | (m.deleted::int << 3) | (m.draft::int << 4) as flags) seen_bits) f
  where m.account_id = $1 and m.mailbox_id = $2 and m.uid = any($3::bigint[]) and m.modseq <= $4
  for update of m
), changed as (
  update store.message m set seen = w.flags & 1 <> 0, answered = w.flags & 2 <> 0, flagged = w.flags & 4 <> 0,
    deleted = w.flags & 8 <> 0, draft = w.flags & 16 <> 0, keywords = nullif(w.keywords, '{}'), modseq = b.highest_modseq
  from wanted w, b
  where m.account_id = $1 and m.mailbox_id = $2 and m.uid = w.uid
    and (w.flags <> w.old_flags or nullif(w.keywords, '{}') is distinct from w.old_keywords)
  returning m.uid, m.modseq, w.flags, m.keywords
), logged as (
  insert into store.change (account_id, mailbox_id, modseq, uid) select $1, $2, modseq, uid from changed
)
select uid, modseq, flags, keywords from changed order by uid
