-- Certificates to order now, with the order that is under way at the authority of directory $1.
select d.id, d.names, o.url, o.key::text from logic.acme_due d
left join control.acme_order o on o.acme_certificate_id = d.id and o.directory = $1
where d.due_at <= now() order by d.due_at, d.id limit 20
