-- Locks account $1 against others who give a special use.
select 1 from store.usage where account_id = $1 for no key update
