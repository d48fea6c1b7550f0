-- How many messages are in the INBOX of each account of example.test.
select a.local_part::text, count(m.uid)
from directory.account a
join directory.domain d on d.id = a.domain_id and d.name = 'example.test'
join store.mailbox b on b.account_id = a.id and b.name = 'INBOX'
left join store.message m on m.account_id = b.account_id and m.mailbox_id = b.id
group by a.local_part order by a.local_part
