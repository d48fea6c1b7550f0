-- The first statement of every batch of deliveries. After a connection was lost during COMMIT, the same insert settles
-- what happened: it waits for the old transaction's end, and adds a row only if that one did not and never will commit.
insert into store.batch (id) values ($1::text::uuid) on conflict do nothing
