//! Sessions see a setting at their next command, and are told when the whole daemon stops.

use crate::support::{Daemon, Database, Dialogue};

/// Greets as another server would; the connection is then between two commands.
async fn greeted(daemon: &Daemon<'_>) -> Dialogue {
    let mut smtp = daemon.smtp().await;
    smtp.expect("220").await;
    smtp.send("EHLO client.example.net").await;
    smtp.expect("250").await;
    smtp
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
