-- Certificates to order now, with the order that is under way at the authority of directory $1, and the key to keep. Nothing is due
-- for who does not know the newest settings ($2): what was just corrected must not be tried as it was.
select d.id, d.names, o.url, o.key::text, case when a.keep_key then c.key::text end
from logic.acme_due d join control.acme_certificate a on a.id = d.id left join control.certificate c on c.id = a.certificate_id
left join control.acme_order o on o.acme_certificate_id = d.id and o.directory = $1
where d.due_at <= now() and (select g.config from control.generation g) <= $2 order by d.due_at, d.id limit 20
