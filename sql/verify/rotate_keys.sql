-- Makes successors of keys that are too old, and removes retired ones whose time is over.
select logic.rotate_old_dkim_keys()
