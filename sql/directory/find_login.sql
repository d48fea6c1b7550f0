-- The account that logs in as $1@$2 (an empty domain means the default domain), and the locks of this name ($3) and peer ($4).
-- Always one row, so that an unknown name costs the same. A public account is nobody's: no password opens it.
select a.account_id, a.address, a.active and not p.public, a.password_hash, a.scram, a.forbidden_services, a.max_message_bytes,
  (select locked_until > now() from live.login_failure where key = $3),
  (select locked_until > now() from live.login_failure where key = $4),
  (select failures from live.login_failure where key = $3), a.max_priority, a.manages_domain
from (select 1) one
left join directory.domain d on d.name = $2 or ($2 = '' and d.is_default)
left join directory.address x on x.domain_id = d.id and x.local_part = $1
left join logic.account a on a.account_id = x.account_id
left join directory.account p on p.id = x.account_id
