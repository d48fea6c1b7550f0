-- Key $1 signs from now on.
select logic.activate_published_dkim_key($1)
