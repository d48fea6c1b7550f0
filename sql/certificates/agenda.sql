-- What there is to do: certificates to read, and seconds until the next order is due (null = none is wanted).
select (select count(*) from control.certificate where not_after is null and error is null) as unread,
  (select extract(epoch from min(greatest(due_at, now())) - now())::double precision from logic.acme_due where due_at < 'infinity') as due_in
