-- For this transaction: changes are seen as made by $1 from $2, and noted and obeyed like any other.
select set_config('mailwright.daemon', 'off', true), set_config('mailwright.actor', $1, true), set_config('mailwright.peer', $2, true)
