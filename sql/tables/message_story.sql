-- What became of the message that the trace calls $1.
select logic.message_story($1)
