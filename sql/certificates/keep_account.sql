-- Keeps an account: directory $1, its URL $2, key $3, contact $4.
insert into control.acme_account (directory, url, key, contact) values ($1, $2, $3::text, $4)
on conflict (directory) do update set url = excluded.url, key = excluded.key, contact = excluded.contact, created_at = now()
