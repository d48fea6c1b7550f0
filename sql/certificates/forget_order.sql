-- Forgets the order for $1.
delete from control.acme_order where acme_certificate_id = $1
