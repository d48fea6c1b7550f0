-- Notes what is inside certificate $1: names $2, validity $3 to $4; or $5, why it can't be served. Only while it is still the chain $6
-- with the key $7.
update control.certificate set own_names = $2, not_before = $3, not_after = $4, error = $5
where id = $1 and chain = $6::text and key::text = $7::text
