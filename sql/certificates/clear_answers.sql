-- Takes back the answers with tokens $1, and those that a node has left behind.
with gone as (delete from control.acme_answer where token = any($1) or created_at < now() - interval '1 day' returning 1)
select logic.tell_nodes() where exists (select 1 from gone)
