-- Keys that the server shall make, or whose private key it shall read, and has not refused.
select id, algorithm, private_key::text from directory.dkim_key where state = 'making' and error is null order by id limit 20
