-- Waits until all nodes that are alive obey what has been committed.
select control.wait_applied()
