-- Received reports that are older than $1 days go.
delete from log.dmarc_report where received_at < now() - make_interval(days => $1)
