-- The account whose address is $1 (lower case), for account $2 if it may see its quota: its own, or one of the domain that it
-- manages. With it, whether it may set it.
select a.account_id, me.manages_domain from logic.account a
join logic.account me on me.account_id = $2
where a.address = $1 and (a.account_id = me.account_id or me.manages_domain and a.domain_id = me.domain_id)
