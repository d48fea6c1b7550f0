-- Messages of sender $1, recipient $2, Message-ID $3 and peer $4 (null = any) from $5 until $6, $7 at most.
select logic.find_page($1, $2, $3, $4, $5, $6, $7)
