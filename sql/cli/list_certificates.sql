-- All certificates, each as one JSON value.
select to_jsonb(x) from (select c.* from report.certificate c) x order by x.id
