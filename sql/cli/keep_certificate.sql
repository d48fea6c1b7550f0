-- Keeps a certificate: chain $1, key $2, names $3 (empty: those inside), names inside $4, validity $5 to $6, source $7. Returns its id,
-- and whether it is new.
select id, is_new from logic.keep_certificate($1, $2, $3, $4, $5, $6, $7)
