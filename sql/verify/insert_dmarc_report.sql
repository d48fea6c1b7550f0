-- Keeps a report ($1) about a domain of ours, and its rows ($2), unless it is here already.
with r as (
  insert into log.dmarc_report (organization, email, report_id, domain, begins, ends, policy)
  select organization, email, report_id, domain, to_timestamp(begins), to_timestamp(ends), policy
  from jsonb_to_record($1) as r (organization text, email text, report_id text, domain text, begins bigint, ends bigint, policy text)
  where exists (select 1 from directory.domain d where d.name = r.domain or d.name like '%.' || r.domain)
  on conflict do nothing
  returning id
)
insert into log.dmarc_report_row (report_id, number, peer, messages, disposition, dkim_aligned, spf_aligned, header_from, envelope_from)
select r.id, x.number, x.peer, x.messages, x.disposition, x.dkim_aligned, x.spf_aligned, x.header_from, x.envelope_from
from r, jsonb_to_recordset($2) as x (number integer, peer inet, messages bigint, disposition text, dkim_aligned text, spf_aligned text,
  header_from text, envelope_from text)
