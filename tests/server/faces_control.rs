//! The control plane as sessions feel it: they are rows while they last, end when their row or their service goes, and
//! see a setting at their next command.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::cluster::{Cluster, Durability};
use crate::support::dialogue::Language;
use crate::support::{Daemon, Database, Dialogue};

/// Greets as another server would; the connection is then between two commands.
async fn greeted(daemon: &Daemon<'_>) -> Dialogue {
    let mut smtp = daemon.smtp().await;
    smtp.expect("220").await;
    smtp.send("EHLO client.example.net").await;
    smtp.expect("250").await;
    smtp
}

/// What "at once" means.
const AT_ONCE: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_session_is_a_row() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut smtp = greeted(&daemon).await;
    db.until("select count(*) = 1 from live.session").await;
    let row = &db
        .rows(
            "select s.service, host(s.peer), s.tls is null, s.login is null, l.port::int, s.node
             from live.session s join control.listener l on l.id = s.listener_id",
        )
        .await[0];
    assert_eq!(row.get::<_, String>(0), "smtp");
    assert_eq!(row.get::<_, String>(1), "127.0.0.1");
    assert!(row.get::<_, bool>(2) && row.get::<_, bool>(3));
    assert_eq!(row.get::<_, i32>(4), i32::from(daemon.port("smtp")));
    assert_eq!(row.get::<_, String>(5), daemon.node());

    smtp.starttls().await;
    smtp.send("EHLO client.example.net").await;
    smtp.expect("250").await;
    db.until("select tls like 'TLS%' from live.session").await;
    smtp.send("QUIT").await;
    smtp.expect("221").await;
    smtp.expect_end().await;
    db.until("select count(*) = 0 from live.session").await;
}

#[tokio::test]
async fn a_session_shows_who_has_logged_in() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut smtp = daemon.submission().await;
    smtp.expect("220").await;
    smtp.send("EHLO client.example.net").await;
    smtp.expect("250").await;
    smtp.login("alice").await;
    db.until(
        "select s.login = 'alice@example.test' and a.local_part = 'alice'
         from live.session s left join directory.account a on a.id = s.account_id",
    )
    .await;
}

#[tokio::test]
async fn deleting_its_row_ends_a_session_and_no_other() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut ended = greeted(&daemon).await;
    db.until("select count(*) = 1 from live.session").await;
    let id: i64 = db.value("select id from live.session").await;
    let mut other = greeted(&daemon).await;
    db.until("select count(*) = 2 from live.session").await;

    let begin = Instant::now();
    db.sql(&format!("delete from live.session where id = {id}")).await;
    ended.rest().await;
    assert!(begin.elapsed() < AT_ONCE, "{:?}", begin.elapsed());
    other.send("NOOP").await;
    other.expect("250").await;
    // And it does not come back.
    db.until("select count(*) = 1 from live.session").await;
}

#[tokio::test]
async fn a_service_switched_off_ends_its_sessions_and_no_others() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut smtp = greeted(&daemon).await;
    let mut imap = daemon.imap().await;
    let begin = Instant::now();
    db.sql("update control.service set enabled = false where name = 'smtp'").await;
    // RFC 5321 §3.8: a server that closes says 421 first.
    smtp.expect("421").await;
    smtp.expect_end().await;
    assert!(begin.elapsed() < AT_ONCE, "{:?}", begin.elapsed());
    imap.run("NOOP").await;
}

#[tokio::test]
async fn a_setting_counts_from_the_next_command_on() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut smtp = greeted(&daemon).await;
    db.apply("update control.smtp set max_message_bytes = 123456").await;
    smtp.send("EHLO client.example.net").await;
    let reply = smtp.expect("250").await;
    assert!(reply.contains("SIZE 123456"), "{reply}");
}

#[tokio::test]
async fn a_new_certificate_is_shown_at_once() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let shown = async |host: &str| {
        Dialogue::tls_as(daemon.port("smtps"), Language::Smtp, host).await.certificate().to_vec()
    };
    let first = shown("localhost").await;
    let mut before = daemon.submission().await;
    before.expect("220").await;

    let names = ["mail.example.test".to_owned()];
    let (chain, key) = mailwright::tls::certificate::self_signed(&names).unwrap();
    db.sql(&format!("insert into control.certificate (chain, key) values ('{chain}', '{key}')")).await;
    db.wait_applied().await;
    let second = shown("mail.example.test").await;
    assert_ne!(first, second);
    // A name that neither has gets the uploaded one.
    assert_eq!(shown("other.example.test").await, second);
    // Whoever has shaken hands already stays.
    before.send("NOOP").await;
    before.expect("250").await;

    db.apply("update control.certificate set active = false where source = 'uploaded'").await;
    assert_eq!(shown("mail.example.test").await, first);
}

#[tokio::test]
async fn connection_control_is_per_service_and_at_once() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply(
        "insert into control.ip_list (id, name, mode) values (1, 'list', 'all except these');
         insert into control.ip_rule (list_id, pattern) values (1, '127.0.0.?');
         update control.service set ip_list_id = 1 where name = 'smtp'",
    )
    .await;
    let mut smtp = daemon.smtp().await;
    smtp.expect("554").await;
    smtp.expect_end().await;
    daemon.imap().await;

    db.apply("update control.ip_list set mode = 'only these'").await;
    greeted(&daemon).await;
    db.apply("update control.ip_rule set pattern = '10.*'").await;
    daemon.smtp().await.expect("554").await;
    db.apply("update control.service set ip_list_id = null").await;
    greeted(&daemon).await;
}

#[tokio::test]
async fn a_peer_has_no_more_connections_than_it_may() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply("update control.service set max_connections_per_peer = 2 where name = 'smtp'").await;
    let mut one = greeted(&daemon).await;
    let mut two = greeted(&daemon).await;
    daemon.smtp().await.expect("421").await;
    one.send("QUIT").await;
    one.expect("221").await;
    one.expect_end().await;
    // The place is free once the server has seen the end, too.
    db.until("select count(*) = 1 from live.session").await;
    greeted(&daemon).await;
    two.send("NOOP").await;
    two.expect("250").await;
}

#[tokio::test]
async fn sessions_outlive_a_crash_of_postgresql() {
    let cluster = Arc::new(Cluster::start_new(Durability::Real));
    let db = Database::on(&cluster).await;
    let daemon = Daemon::start(&db).await;
    let mut smtp = greeted(&daemon).await;
    db.until("select count(*) = 1 from live.session").await;
    let id: i64 = db.value("select id from live.session").await;

    cluster.stop_immediate();
    smtp.send("MAIL FROM:<sender@example.net>").await;
    smtp.expect("250").await;
    smtp.send("RCPT TO:<alice@example.test>").await;
    // Nobody knows whether alice exists: come back later.
    smtp.expect("451").await;
    cluster.start();
    db.reconnect().await;

    // Its row comes back, and the emptied table has ended nothing.
    db.until(&format!("select exists (select 1 from live.session where id = {id})")).await;
    smtp.send("RCPT TO:<alice@example.test>").await;
    smtp.expect("250").await;
    smtp.send("DATA").await;
    smtp.expect("354").await;
    smtp.data("Subject: after the crash\n\nIt works.\n").await;
    smtp.expect("250").await;
    assert_eq!(db.value::<i64>("select count(*) from store.message").await, 1);
}

#[tokio::test]
async fn what_was_acknowledged_outlives_a_killed_daemon_and_a_crash() {
    let cluster = Arc::new(Cluster::start_new(Durability::Real));
    let db = Database::on(&cluster).await;
    let mut daemon = Daemon::start(&db).await;
    for number in 0..5 {
        daemon.deliver("alice", &format!("Subject: {number}\n\nText\n")).await;
    }
    cluster.stop_immediate();
    daemon.kill9().await;
    cluster.start();
    db.reconnect().await;
    daemon.start_again().await;
    let subjects: Vec<String> = db
        .rows("select subject from report.message order by uid")
        .await
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(subjects, ["0", "1", "2", "3", "4"]);
    assert_eq!(db.value::<i64>("select count(*) from report.quota_drift").await, 0);
    daemon.deliver("alice", "Subject: 5\n\nText\n").await;
}

#[tokio::test]
async fn a_stopping_daemon_says_goodbye() {
    let db = Database::new().await;
    let mut daemon = Daemon::start(&db).await;
    let mut smtp = greeted(&daemon).await;
    let status = daemon.terminate().await;
    assert!(status.success(), "{status}");
    smtp.expect("421").await;
    smtp.expect_end().await;
    assert_eq!(db.value::<i64>("select count(*) from live.session").await, 0);
}
