-- A right password: the count of this name ($1) starts anew. That of the peer stays and runs out by time.
delete from live.login_failure where key = $1
