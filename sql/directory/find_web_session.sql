-- The session whose cookie is $1, if neither its time ($2 minutes without a page, $3 hours in all) is over nor its owner may no
-- longer, and if it does not wait for a code; if $4, marks that it is used, once a minute at most.
with found as (
  select s.id, s.kind, s.login, s.account_id, s.seen_at, coalesce(a.must_change_password, false) as must_change,
    exists (select 1 from directory.second_factor f where f.account_id = s.account_id or s.account_id is null and f.administrator = s.login) as has_factor
  from live.web_session s
  left join control.administrator a on s.account_id is null and a.name = s.login and a.active and a.role::text = s.kind
  left join directory.account u on u.id = s.account_id and u.active and not u.public and (u.manages_domain or s.kind = 'user')
  left join directory.domain d on d.id = u.domain_id and d.active
  where s.token_hash = $1 and s.seen_at > now() - make_interval(mins => $2) and s.since > now() - make_interval(hours => $3)
    and (a.name is not null or d.id is not null) and not s.awaits_code
), used as (
  update live.web_session s set seen_at = now() from found f where $4 and s.id = f.id and f.seen_at < now() - interval '1 minute'
)
select kind, login, account_id, must_change, has_factor from found
