-- The account that has the address $1@$2 (an empty domain means the default domain), if it is active.
select a.account_id from directory.domain d
join directory.address x on x.domain_id = d.id and x.local_part = $1
join logic.account a on a.account_id = x.account_id
where (d.name = $2 or ($2 = '' and d.is_default)) and a.active
