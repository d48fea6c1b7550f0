-- Messages of mailbox $2 of account $1 that came on the day $3 or later.
select count(*) from store.message where account_id = $1 and mailbox_id = $2 and internal_date at time zone 'UTC' >= $3::text::date
