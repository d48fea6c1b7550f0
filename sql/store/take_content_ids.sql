-- The next 1024 content ids of this node.
select nextval('store.content_id')
