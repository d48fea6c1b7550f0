-- Keys that take over when the DNS has their record: id, name of the record, public key.
select k.id, k.selector || '._domainkey.' || d.name, k.public_key
from directory.dkim_key k join directory.domain d on d.id = k.domain_id
where k.state = 'ready' and k.activate_when_published order by k.id limit 100
