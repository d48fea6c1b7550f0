-- Puts a certificate that was ordered for $1 in force: chain $2, key $3, names $4, names inside $5, validity $6 to $7.
select logic.finish_acme_order($1, $2, $3, $4, $5, $6, $7)
