//! What TLS must be when mail goes out: what TLSA records and MTA-STS policies of other domains say, and what becomes of mail
//! when their servers do not comply.

use crate::relay::{QUEUE_IS_EMPTY, mail, retry_until, scene};
use crate::support::ca::Identity;
use crate::support::sink::Tls;
use crate::support::{Ca, Database, Script, Web};

fn offered(identity: Identity) -> Script {
    Script::default().tls(Tls::Offered(identity))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_must_be_what_its_tlsa_records_say() {
    let db = Database::new().await;
    let ca = Ca::new();
    let identity = ca.certificate(&["mx.far.test"]);
    let (daemon, sink, net) = scene(&db, offered(identity.clone())).await;
    net.dns.secure("far.test");
    let port = net.port;
    let another = ca.certificate(&["mx.far.test"]);
    net.dns.set(&format!("_{port}._tcp.mx.far.test. 0 IN TLSA {}", another.tlsa_3_1_1()));
    mail(&daemon, "bob@far.test").await;
    db.until("select exists (select 1 from queue.recipient where last_reply like '%none of those that the DNS names%')")
        .await;
    assert_eq!(sink.count(), 0);
    db.apply("update control.relay set max_messages_per_connection = 1").await;
    // Any one of several records will do, and an authority's as well.
    for data in [identity.tlsa_3_1_1(), identity.tlsa_3_0_1(), ca.tlsa_2_0_1(), ca.tlsa_2_1_1()] {
        let before = sink.count();
        net.dns.set(&format!(
            "_{port}._tcp.mx.far.test. 0 IN TLSA {}\n_{port}._tcp.mx.far.test. 0 IN TLSA {data}",
            another.tlsa_3_1_1()
        ));
        // What was remembered of DNS belongs to the record before.
        db.apply("update control.dns set timeout_milliseconds = timeout_milliseconds + 1").await;
        if before > 0 {
            mail(&daemon, "bob@far.test").await;
        }
        retry_until(&db, QUEUE_IS_EMPTY).await;
        assert_eq!(sink.count(), before + 1);
    }
    db.until("select count(*) = 4 from queue.attempt where tls like '% DANE'").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_dnssec_does_not_vouch_for_is_no_tlsa_record() {
    let db = Database::new().await;
    let ca = Ca::new();
    let (daemon, sink, net) = scene(&db, offered(ca.certificate(&["whatever.test"]))).await;
    let wrong = ca.certificate(&["mx.far.test"]).tlsa_3_1_1();
    net.dns.set(&format!("_{}._tcp.mx.far.test. 60 IN TLSA {wrong}", net.port));
    mail(&daemon, "bob@far.test").await;
    sink.wait_for(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_cannot_be_had_or_used_still_forbid_plain_text() {
    let db = Database::new().await;
    let (daemon, sink, net) = scene(&db, Script::default()).await;
    net.dns.secure("far.test");
    let name = format!("_{}._tcp.mx.far.test", net.port);
    net.dns.fail(&name, crate::support::dns::Failing::ServFail);
    mail(&daemon, "bob@far.test").await;
    db.until(
        "select exists (select 1 from queue.recipient where last_reply like '%TLSA records of mx.far.test%')",
    )
    .await;
    assert_eq!(sink.count(), 0);
    net.dns.mend(&name);
    net.dns.set(&format!("{name}. 0 IN TLSA 1 1 1 {}", "00".repeat(32)));
    retry_until(
        &db,
        "select exists (select 1 from queue.recipient where last_reply like '%TLS is required%')",
    )
    .await;
    assert_eq!(sink.count(), 0);
    sink.change(|script| script.tls(Tls::Offered(Ca::new().certificate(&["whatever.test"]))));
    retry_until(&db, QUEUE_IS_EMPTY).await;
    assert_eq!(sink.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_fetched_obeyed_and_kept() {
    let db = Database::new().await;
    let ca = Ca::new();
    let (daemon, sink, net) = scene(&db, offered(ca.certificate(&["mx.far.test"]))).await;
    let policy = "version: STSv1\nmode: enforce\nmx: mx.far.test\nmax_age: 86400\n";
    let web = Web::policy(&ca.certificate(&["mta-sts.far.test"]), policy).await;
    net.dns.set("_mta-sts.far.test. 0 IN TXT \"v=STSv1; id=1\"\nmta-sts.far.test. 60 IN A 127.0.0.1");
    db.apply(&format!(
        "update control.relay_tls set mta_sts_port = {};
         update control.relay set extra_roots = '{}', max_messages_per_connection = 1",
        web.port(),
        ca.pem()
    ))
    .await;
    mail(&daemon, "bob@far.test").await;
    sink.wait_for(1).await;
    db.until("select exists (select 1 from queue.attempt where tls like '% MTA-STS')").await;
    assert_eq!(web.policies(), 1);
    // Another server than the policy names gets nothing, though it offers TLS.
    net.dns.set("far.test. 0 IN MX 10 mx.other.test.");
    net.name("mx.other.test", &sink);
    // New settings forget what is in memory; the policy is in the table, and its id has not changed.
    db.apply("update control.dns set timeout_milliseconds = timeout_milliseconds + 1").await;
    net.dns.remove("_mta-sts.far.test", "TXT");
    mail(&daemon, "bob@far.test").await;
    retry_until(
        &db,
        "select exists (select 1 from queue.recipient where last_reply like '%policy of far.test does not name mx.other.test%')",
    )
    .await;
    assert_eq!((sink.count(), web.policies()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn under_a_policy_the_certificate_counts() {
    let db = Database::new().await;
    let ca = Ca::new();
    let (daemon, sink, net) = scene(&db, offered(Ca::new().certificate(&["mx.far.test"]))).await;
    let policy = "version: STSv1\nmode: enforce\nmx: *.far.test\nmax_age: 86400\n";
    let web = Web::policy(&ca.certificate(&["mta-sts.far.test"]), policy).await;
    net.dns.set("_mta-sts.far.test. 0 IN TXT \"v=STSv1; id=1\"\nmta-sts.far.test. 60 IN A 127.0.0.1");
    db.apply(&format!(
        "update control.relay_tls set mta_sts_port = {};
         update control.relay set extra_roots = '{}'",
        web.port(),
        ca.pem()
    ))
    .await;
    mail(&daemon, "bob@far.test").await;
    db.until("select exists (select 1 from queue.recipient where last_reply like '%TLS handshake failed%')")
        .await;
    assert_eq!(sink.count(), 0);
    sink.change(|script| script.tls(Tls::Offered(ca.certificate(&["mx.far.test"]))));
    retry_until(&db, QUEUE_IS_EMPTY).await;
    assert_eq!(sink.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_cannot_be_fetched_is_none() {
    let db = Database::new().await;
    let ca = Ca::new();
    let (daemon, sink, net) = scene(&db, Script::default()).await;
    // The web server's certificate is for another name.
    let policy = "version: STSv1\nmode: enforce\nmx: mx.far.test\nmax_age: 86400\n";
    let web = Web::policy(&ca.certificate(&["www.far.test"]), policy).await;
    net.dns.set("_mta-sts.far.test. 0 IN TXT \"v=STSv1; id=1\"\nmta-sts.far.test. 60 IN A 127.0.0.1");
    db.apply(&format!(
        "update control.relay_tls set mta_sts_port = {};
         update control.relay set extra_roots = '{}'",
        web.port(),
        ca.pem()
    ))
    .await;
    mail(&daemon, "bob@far.test").await;
    sink.wait_for(1).await;
    assert_eq!(web.policies(), 0);
    assert!(daemon.log().contains("the MTA-STS policy can't be fetched"), "{}", daemon.log());
    assert_eq!(db.value::<i64>("select count(*) from queue.sts_policy").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_can_demand_a_certificate_of_whatever_servers_the_dns_names() {
    let db = Database::new().await;
    let ca = Ca::new();
    let (daemon, sink, _net) = scene(&db, offered(ca.certificate(&["mx.far.test"]))).await;
    db.apply("insert into control.route (pattern, tls) values ('far.test', 'verified')").await;
    mail(&daemon, "bob@far.test").await;
    db.until("select exists (select 1 from queue.recipient where last_reply like '%no authority that is trusted%')").await;
    assert_eq!(sink.count(), 0);
    db.apply(&format!("update control.relay set extra_roots = '{}'", ca.pem())).await;
    retry_until(&db, QUEUE_IS_EMPTY).await;
    db.until("select exists (select 1 from queue.attempt where tls like '% verified')").await;
}

/// Puts mail with REQUIRETLS into the queue.
async fn require_tls(db: &Database, daemon: &crate::support::Daemon<'_>, to: &str) {
    db.apply("update control.relay set enabled = false").await;
    mail(daemon, to).await;
    db.sql("update queue.message set require_tls = true").await;
    db.apply("update control.relay set enabled = true").await;
}

async fn reply(db: &Database, text: &str) {
    db.until(&format!("select exists (select 1 from queue.attempt where reply like '{text}')")).await;
    db.sql("truncate queue.attempt").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_requires_tls_gets_it_or_the_message_back() {
    let db = Database::new().await;
    let ca = Ca::new();
    let good = offered(ca.certificate(&["mx.far.test"])).offer("REQUIRETLS");
    let (daemon, sink, net) = scene(&db, good.clone()).await;
    let trust = format!("update control.relay set idle_seconds = 20, extra_roots = '{}'", ca.pem());
    db.apply(&trust).await;
    // Nobody vouches for the server's name; a connection that other mail may use is there already.
    mail(&daemon, "bob@far.test").await;
    sink.wait_for(1).await;
    require_tls(&db, &daemon, "bob@far.test").await;
    reply(&db, "550 5.7.10 %far.test can''t prove who it is").await;
    // DNSSEC does, and the certificate is good: TLSA records need not be.
    net.dns.secure("far.test");
    db.apply(
        "update control.dns set timeout_milliseconds = timeout_milliseconds + 1;
         update control.relay set max_messages_per_connection = 1",
    )
    .await;
    require_tls(&db, &daemon, "bob@far.test").await;
    let messages = sink.wait_for(2).await;
    assert!(messages[1].mail_from.ends_with(" REQUIRETLS"), "{}", messages[1].mail_from);
    db.until("select exists (select 1 from queue.attempt where tls like '% verified')").await;
    // A server that does not offer it, or no TLS, is no server for this message.
    sink.change(|script| script.without("REQUIRETLS"));
    require_tls(&db, &daemon, "bob@far.test").await;
    reply(&db, "550 5.7.30 %does not offer REQUIRETLS").await;
    sink.change(|script| script.offer("REQUIRETLS").tls(Tls::None));
    require_tls(&db, &daemon, "bob@far.test").await;
    reply(&db, "550 5.7.10 %far.test does not offer it").await;
    // Another one may be.
    let other =
        net.server("mx2.far.test", offered(ca.certificate(&["mx2.far.test"])).offer("REQUIRETLS")).await;
    net.dns.set("far.test. 60 IN MX 10 mx.far.test.\nfar.test. 60 IN MX 20 mx2.far.test.");
    db.apply("update control.dns set timeout_milliseconds = timeout_milliseconds + 1").await;
    require_tls(&db, &daemon, "bob@far.test").await;
    other.wait_for(1).await;
    // And if that one is away, it is waited for.
    net.nobody("mx2.far.test");
    db.apply("update control.dns set timeout_milliseconds = timeout_milliseconds + 1").await;
    require_tls(&db, &daemon, "bob@far.test").await;
    reply(&db, "451 4.7.30 %").await;
    assert_eq!((sink.count(), other.count()), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_renewed_and_outlives_its_web_server() {
    let db = Database::new().await;
    let ca = Ca::new();
    let (daemon, sink, net) = scene(&db, offered(ca.certificate(&["mx.far.test"]))).await;
    let policy = "version: STSv1\nmode: enforce\nmx: mx.far.test\nmax_age: 86400\n";
    let web = Web::policy(&ca.certificate(&["mta-sts.far.test"]), policy).await;
    net.dns.set("_mta-sts.far.test. 60 IN TXT \"v=STSv1; id=1\"\nmta-sts.far.test. 60 IN A 127.0.0.1");
    // A change of settings has the node look again.
    let again = "update control.dns set timeout_milliseconds = timeout_milliseconds + 1";
    db.apply(&format!(
        "update control.relay_tls set mta_sts_port = {};
         update control.relay set extra_roots = '{}', max_messages_per_connection = 1",
        web.port(),
        ca.pem()
    ))
    .await;
    mail(&daemon, "bob@far.test").await;
    sink.wait_for(1).await;
    // Half of its life is over.
    db.sql("update queue.sts_policy set fetched_at = now() - interval '13 hours'").await;
    db.apply(again).await;
    mail(&daemon, "bob@far.test").await;
    sink.wait_for(2).await;
    db.until("select fetched_at > now() - interval '1 hour' from queue.sts_policy").await;
    // There is a new one, says the DNS.
    net.dns.set("_mta-sts.far.test. 60 IN TXT \"v=STSv1; id=2\"");
    db.apply(again).await;
    mail(&daemon, "bob@far.test").await;
    sink.wait_for(3).await;
    db.until("select policy_id = '2' from queue.sts_policy").await;
    assert_eq!(web.policies(), 3);
    // One whose row is deleted is fetched anew, without a change of settings.
    db.apply("delete from queue.sts_policy").await;
    mail(&daemon, "bob@far.test").await;
    sink.wait_for(4).await;
    assert_eq!(web.policies(), 4);
    // And another one, but it can't be had.
    drop(web);
    net.dns.set("_mta-sts.far.test. 60 IN TXT \"v=STSv1; id=3\"");
    db.apply(again).await;
    mail(&daemon, "bob@far.test").await;
    sink.wait_for(5).await;
    db.until("select count(*) = 5 from queue.attempt where tls like '% MTA-STS'").await;
}
