-- Gives the rights $6 in mailbox $2 of account $1 to account $3 or domain $4, or takes them away whatever else gives them
-- ($5); with $7 besides those in the entry, else instead of them.
insert into store.acl as a (account_id, mailbox_id, grantee_id, grantee_domain_id, negative, rights)
values ($1, $2, $3, $4, $5, $6)
on conflict on constraint "this account or domain has an entry for this mailbox already"
do update set rights = case when $7::boolean then a.rights || excluded.rights else excluded.rights end
