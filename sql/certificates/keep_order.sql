-- Keeps order $3 for $1 at the authority of directory $2, with the key $4.
insert into control.acme_order (acme_certificate_id, directory, url, key)
select a.id, $2, $3, $4::text from control.acme_certificate a where a.id = $1
on conflict (acme_certificate_id) do update set directory = excluded.directory, url = excluded.url, key = excluded.key, created_at = now()
