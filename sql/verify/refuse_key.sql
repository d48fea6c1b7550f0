-- Notes why key $1 cannot be used ($2).
select logic.refuse_dkim_key($1, $2)
