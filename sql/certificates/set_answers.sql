-- Has all nodes answer an authority: tokens $1, names $2, by challenge $3, key authorizations $4, certificates $5 and keys $6.
with asked as (
  insert into control.acme_answer (token, name, challenge, key_authorization, chain, key)
  select t.token, t.name, $3::text::control.acme_challenge, t.key_authorization, t.chain, t.key
  from unnest($1::text[], $2::text[], $4::text[], $5::text[], $6::text[]) t(token, name, key_authorization, chain, key)
  on conflict (token) do update set name = excluded.name, challenge = excluded.challenge, key_authorization = excluded.key_authorization,
    chain = excluded.chain, key = excluded.key, created_at = now()
  returning 1)
select logic.tell_nodes() from (select count(*) from asked) done
