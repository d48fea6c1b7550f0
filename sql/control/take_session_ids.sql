-- The next 1048576 session ids of this node, from a multiple of that on. The first block is not 0, so that no id is.
select nextval('live.session_id') + 1048575
