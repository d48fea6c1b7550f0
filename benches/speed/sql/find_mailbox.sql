-- Account and id of the mailbox $1 of u1@example.test.
select m.account_id, m.id from store.mailbox m join directory.account a on a.id = m.account_id
where a.local_part = 'u1' and m.name = $1
