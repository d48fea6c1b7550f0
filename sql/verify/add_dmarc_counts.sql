-- Adds up what was counted since the last time ($1: an array of objects with the table's columns).
insert into log.dmarc_count as c (day, domain, policy_domain, rua, policy, peer, disposition, overridden, dkim_aligned, spf_aligned,
  envelope_from, spf, dkim, messages)
select day, domain, policy_domain, rua, policy, peer, disposition, overridden, dkim_aligned, spf_aligned, envelope_from, spf, dkim, messages
from jsonb_to_recordset($1) as r (day date, domain text, policy_domain text, rua text[], policy jsonb, peer inet, disposition text,
  overridden boolean, dkim_aligned text, spf_aligned text, envelope_from text, spf text, dkim jsonb, messages bigint)
on conflict on constraint dmarc_count_key do update set messages = c.messages + excluded.messages, rua = excluded.rua
