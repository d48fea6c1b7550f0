//! TLS reports: what came of TLS with other domains' servers, counted and told to who asks for it.

use mail_auth::report::tlsrpt::TlsReport;

use crate::relay::{QUEUE_IS_EMPTY, mail, scene};
use crate::support::sink::Tls;
use crate::support::{Ca, Database, Script, Web};

const ON: &str =
    "update control.relay_tls set report_from = 'tls@example.test', report_organization = 'Example'";

#[tokio::test(flavor = "multi_thread")]
async fn domains_are_told_once_a_day_in_both_ways() {
    let db = Database::new().await;
    let ca = Ca::new();
    // Under a policy that is only tested, a server with another's certificate gets mail all the same.
    let script = Script::default().tls(Tls::Offered(ca.certificate(&["other.far.test"])));
    let (mut daemon, sink, net) = scene(&db, script).await;
    let policy = "version: STSv1\nmode: testing\nmx: *.far.test\nmax_age: 86400\n";
    let web = Web::policy(&ca.certificate(&["mta-sts.far.test", "reports.test"]), policy).await;
    let port = web.port();
    net.dns.set(&format!(
        "_mta-sts.far.test. 60 IN TXT \"v=STSv1; id=1\"
         mta-sts.far.test. 60 IN A 127.0.0.1
         reports.test. 60 IN A 127.0.0.1
         _smtp._tls.far.test. 60 IN TXT \"v=TLSRPTv1; rua=mailto:r@reports.test,https://reports.test:{port}/in\"
         quiet.test. 60 IN MX 10 mx.far.test."
    ));
    db.sql("select directory.make_dkim_key('example.test', 'ed25519-sha256', 'sel')").await;
    db.until("select exists (select 1 from directory.dkim_key where state = 'ready')").await;
    db.sql("select directory.activate_dkim_key(id) from directory.dkim_key").await;
    db.apply(&format!(
        "{ON};
         update control.store set compress = false;
         update control.relay_tls set mta_sts_port = {port};
         update control.relay set extra_roots = '{}', max_messages_per_connection = 1",
        ca.pem()
    ))
    .await;
    mail(&daemon, "bob@far.test").await;
    mail(&daemon, "bob@quiet.test").await;
    db.until(QUEUE_IS_EMPTY).await;
    sink.change(|script| script.tls(Tls::Offered(ca.certificate(&["mx.far.test"]))));
    mail(&daemon, "bob@far.test").await;
    db.until(QUEUE_IS_EMPTY).await;
    assert_eq!(sink.count(), 3);
    daemon.terminate().await;
    // Nobody asked about quiet.test.
    let rows =
        db.rows("select domain, policy_type, result, sessions from log.tls_count order by result").await;
    let rows: Vec<(String, String, String, i64)> =
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect();
    let row = |result: &str| ("far.test".to_owned(), "sts".to_owned(), result.to_owned(), 1);
    assert_eq!(rows, [row("certificate-host-mismatch"), row("success")]);
    // The next day. The report stays in the queue.
    db.sql("update log.tls_count set day = day - 1; update control.relay set enabled = false").await;
    daemon.start_again().await;
    db.until("select exists (select 1 from queue.recipient) and not exists (select 1 from log.tls_count)")
        .await;
    let rows = db
        .rows(
            "select r.address, m.sender, (select string_agg(c.bytes, '' order by c.start) from store.content_chunk c where c.content_id = m.content_id)
             from queue.message m join queue.recipient r on r.message_id = m.id",
        )
        .await;
    assert_eq!(rows.len(), 1);
    assert_eq!(
        (rows[0].get::<_, &str>(0), rows[0].get::<_, &str>(1)),
        ("r@reports.test", "tls@example.test")
    );
    let text: Vec<u8> = rows[0].get(2);
    let words = String::from_utf8_lossy(&text);
    assert!(words.starts_with("DKIM-Signature: v=1; a=ed25519-sha256;"), "{words}");
    for line in [
        "\r\nTLS-Report-Domain: far.test\r\n",
        "\r\nTLS-Report-Submitter: mail.example.test\r\n",
        "report-type=\"tlsrpt\"",
        "application/tlsrpt+gzip",
    ] {
        assert!(words.contains(line), "{line:?} is not in\n{words}");
    }
    let report = TlsReport::parse_rfc5322(&text, 1 << 20).unwrap();
    assert_eq!(report.organization_name.as_deref(), Some("Example"));
    assert_eq!(report.contact_info.as_deref(), Some("tls@example.test"));
    let (begins, ends) = (&report.date_range.start_datetime, &report.date_range.end_datetime);
    assert_eq!(ends.to_timestamp() - begins.to_timestamp(), 86_399);
    assert_eq!(report.policies.len(), 1);
    let told = &report.policies[0];
    assert_eq!((told.summary.total_success, told.summary.total_failure), (1, 1));
    assert_eq!(
        told.policy.policy_string,
        ["version: STSv1", "mode: testing", "mx: *.far.test", "max_age: 86400"]
    );
    assert_eq!(told.policy.mx_host, ["*.far.test"]);
    let detail = &told.failure_details[0];
    assert_eq!(detail.receiving_mx_hostname.as_deref(), Some("mx.far.test"));
    assert_eq!(detail.receiving_ip, Some(sink.address().ip()));
    assert!(detail.failure_reason_code.as_deref().unwrap().contains("for other names"));
    // And the same by the web.
    let taken = web.taken();
    assert_eq!(taken.len(), 1);
    let (head, body) = &taken[0];
    assert!(head.starts_with("POST /in HTTP/1.1\r\n"), "{head}");
    assert!(head.to_lowercase().contains("content-type: application/tlsrpt+gzip"), "{head}");
    let mut json = String::new();
    std::io::Read::read_to_string(&mut mail_auth::flate2::read::GzDecoder::new(&body[..]), &mut json)
        .unwrap();
    assert_eq!(serde_json::from_str::<TlsReport>(&json).unwrap(), report);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_servers_is_told_apart() {
    let db = Database::new().await;
    let ca = Ca::new();
    let script = Script::default().tls(Tls::Offered(ca.certificate(&["mx.far.test"])));
    let (mut daemon, sink, net) = scene(&db, script).await;
    let plain = net.server("mx.plain.test", Script::default()).await;
    let expired = Script::default().tls(Tls::Offered(ca.expired(&["mx.old.test"])));
    let _expired = net.server("mx.old.test", expired).await;
    let away = Script::default().tls(Tls::Offered(ca.certificate(&["mx.away.test"])));
    let away = net.server("mx.away.test", away).await;
    net.dns.secure("far.test");
    net.dns.secure("failing.test");
    let port = net.port;
    net.name("mx.failing.test", &sink);
    net.dns.fail(&format!("_{port}._tcp.mx.failing.test"), crate::support::dns::Failing::ServFail);
    let policy = "version: STSv1\nmode: enforce\nmx: mx.old.test\nmax_age: 86400\n";
    let web = Web::policy(&ca.certificate(&["mta-sts.old.test"]), policy).await;
    let another = ca.certificate(&["mx.far.test"]).tlsa_3_1_1();
    net.dns.set(&format!(
        "_{port}._tcp.mx.far.test. 60 IN TLSA {another}
         failing.test. 60 IN MX 10 mx.failing.test.
         plain.test. 60 IN MX 10 mx.plain.test.
         old.test. 60 IN MX 10 mx.old.test.
         _mta-sts.old.test. 60 IN TXT \"v=STSv1; id=1\"
         mta-sts.old.test. 60 IN A 127.0.0.1
         away.test. 60 IN MX 10 mx.away.test.
         _mta-sts.away.test. 60 IN TXT \"v=STSv1; id=1\""
    ));
    for domain in ["far.test", "failing.test", "plain.test", "old.test", "away.test"] {
        net.dns.set(&format!("_smtp._tls.{domain}. 60 IN TXT \"v=TLSRPTv1; rua=mailto:r@reports.test\""));
    }
    db.apply(&format!(
        "{ON}; update control.relay_tls set mta_sts_port = {}; update control.relay set extra_roots = '{}'",
        web.port(),
        ca.pem()
    ))
    .await;
    for domain in ["far.test", "failing.test", "plain.test", "old.test", "away.test"] {
        mail(&daemon, &format!("bob@{domain}")).await;
    }
    plain.wait_for(1).await;
    away.wait_for(1).await;
    db.until("select count(*) = 3 from queue.recipient where last_reply like '451 4.7.5 %'").await;
    assert_eq!(sink.count(), 0);
    daemon.terminate().await;
    let rows = db
        .rows("select distinct domain, policy_type, result, policy from log.tls_count order by domain")
        .await;
    let rows: Vec<[String; 4]> = rows.iter().map(|row| [0, 1, 2, 3].map(|at| row.get(at))).collect();
    let old = "version: STSv1\nmode: enforce\nmx: mx.old.test\nmax_age: 86400";
    let expected = [
        ["away.test", "sts", "sts-policy-fetch-error", ""],
        ["failing.test", "tlsa", "dnssec-invalid", ""],
        ["far.test", "tlsa", "validation-failure", &another],
        ["old.test", "sts", "certificate-expired", old],
        ["plain.test", "no-policy-found", "starttls-not-supported", ""],
    ];
    assert_eq!(rows, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_counted_where_nobody_reports() {
    let db = Database::new().await;
    let (mut daemon, sink, net) = scene(&db, Script::default()).await;
    net.dns.set("_smtp._tls.far.test. 60 IN TXT \"v=TLSRPTv1; rua=mailto:r@reports.test\"");
    mail(&daemon, "bob@far.test").await;
    sink.wait_for(1).await;
    db.until(QUEUE_IS_EMPTY).await;
    daemon.terminate().await;
    assert_eq!(db.value::<i64>("select count(*) from log.tls_count").await, 0);
    assert_eq!(net.dns.questions("_smtp._tls.far.test"), 0);
}
