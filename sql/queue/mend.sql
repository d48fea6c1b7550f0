-- Makes good what a crash may have left: waiting mail that nothing points at, messages without recipients.
select logic.mend_queue()
