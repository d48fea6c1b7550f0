//! Mail that goes on: aliases and accounts that forward to other servers, rewritten senders and their way back, loops,
//! remote domains and other names of domains.

use crate::support::sink::{Received, loopback};
use crate::support::{Daemon, Database, Script, Sink};

/// Sends all mail for other servers to the sink.
async fn all_to(db: &Database, sink: &Sink) {
    let (host, port) = (sink.address().ip(), sink.port());
    db.sql(&format!(
        "insert into control.route (pattern, host, port, tls) values ('*', '{host}', {port}, 'none')"
    ))
    .await;
}

/// What is answered to RCPT, to a stranger.
async fn rcpt(daemon: &Daemon<'_>, from: &str, to: &str) -> String {
    let mut smtp = daemon.smtp().await;
    smtp.expect("220").await;
    smtp.send("EHLO client.example.net").await;
    smtp.expect("250").await;
    smtp.send(&format!("MAIL FROM:<{from}>")).await;
    smtp.expect("250").await;
    smtp.send(&format!("RCPT TO:<{to}>")).await;
    smtp.answer().await
}

/// What is answered to a message at its end.
async fn send(daemon: &Daemon<'_>, from: &str, to: &[&str], header: &str) -> String {
    let mut smtp = daemon.smtp().await;
    smtp.expect("220").await;
    smtp.send("EHLO client.example.net").await;
    smtp.expect("250").await;
    smtp.send(&format!("MAIL FROM:<{from}>")).await;
    smtp.expect("250").await;
    for to in to {
        smtp.send(&format!("RCPT TO:<{to}>")).await;
        smtp.expect("250").await;
    }
    smtp.send("DATA").await;
    smtp.expect("354").await;
    smtp.data(&format!("{header}Subject: forwarded\n\nHello.\n")).await;
    smtp.answer().await
}

async fn kept(db: &Database, person: &str) -> i64 {
    db.value(&format!(
        "select count(*) from store.message m join directory.account a on a.id = m.account_id where a.local_part = '{person}'"
    ))
    .await
}

fn by_address<'a>(messages: &'a [Received], address: &str) -> Vec<&'a Received> {
    messages.iter().filter(|message| message.addresses().contains(&address)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn forwarded_mail_has_a_sender_of_ours_and_bounces_find_back() {
    let db = Database::new().await;
    let sink = Sink::start(&loopback(), 0, Script::default()).await;
    all_to(&db, &sink).await;
    let daemon = Daemon::start(&db).await;
    db.sql(
        "insert into directory.alias (domain_id, local_part, targets)
         select id, 'team', array['alice@example.test', 'far@elsewhere.test'] from directory.domain where name = 'example.test'",
    )
    .await;
    db.wait_applied().await;
    let answer = send(&daemon, "Bob@example.net", &["team@example.test"], "").await;
    assert!(answer.starts_with("250"), "{answer}");
    let message = sink.wait_for(1).await.remove(0);
    assert_eq!(message.addresses(), ["far@elsewhere.test"]);
    let sender = message.sender().to_owned();
    assert!(sender.starts_with("SRS0=") && sender.ends_with("=example.net=Bob@example.test"), "{sender}");
    assert!(message.text().contains("Delivered-To: team@example.test\r\n"), "{}", message.text());
    assert_eq!(kept(&db, "alice").await, 1);

    // The way back, for bounces only; what is forged leads nowhere.
    let answer = send(&daemon, "", &[&sender.to_lowercase()], "").await;
    assert!(answer.starts_with("250"), "{answer}");
    let bounce = sink.wait_for(2).await.remove(1);
    assert_eq!((bounce.sender(), bounce.addresses()), ("", vec!["bob@example.net"]));
    assert!(rcpt(&daemon, "x@example.net", &sender).await.starts_with("550 5.7.1"));
    let forged = sender.replace("Bob", "victim");
    assert!(rcpt(&daemon, "", &forged).await.starts_with("550 5.1.1"));
    db.sql("update control.srs set any_sender = true").await;
    db.wait_applied().await;
    assert!(rcpt(&daemon, "x@example.net", &sender).await.starts_with("250"));
    db.sql("update control.srs set enabled = false").await;
    db.wait_applied().await;
    assert!(rcpt(&daemon, "", &sender).await.starts_with("550 5.1.1"));
    let answer = send(&daemon, "bob@example.net", &["team@example.test"], "").await;
    assert!(answer.starts_with("250"), "{answer}");
    assert_eq!(sink.wait_for(3).await[2].sender(), "bob@example.net");
    db.sql("update control.srs set enabled = true").await;
    db.wait_applied().await;

    // Our own people's mail stays theirs, and a bounce has no sender.
    for from in ["alice@example.test", ""] {
        let before = sink.count();
        assert!(send(&daemon, from, &["team@example.test"], "").await.starts_with("250"));
        assert_eq!(sink.wait_for(before + 1).await[before].sender(), from);
    }
    // It comes back to where it was forwarded.
    let answer =
        send(&daemon, "bob@example.net", &["team@example.test"], "Delivered-To: Team@example.test\n").await;
    assert!(answer.starts_with("554 5.4.6"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_forward_with_and_without_a_copy() {
    let db = Database::new().await;
    let sink = Sink::start(&loopback(), 0, Script::default()).await;
    all_to(&db, &sink).await;
    let daemon = Daemon::start(&db).await;
    db.sql("update directory.account set forward_to = '{far@elsewhere.test,bob@example.test}' where local_part = 'alice'").await;
    db.sql(
        "update directory.account set forward_to = '{far@elsewhere.test,Carol@example.test}', forward_keep = false
         where local_part = 'bob'",
    )
    .await;
    db.wait_applied().await;
    let answer = send(&daemon, "x@example.net", &["alice@example.test", "bob@example.test"], "").await;
    assert!(answer.starts_with("250"), "{answer}");
    let message = sink.wait_for(1).await.remove(0);
    assert!(message.sender().ends_with("=example.net=x@example.test"), "{}", message.sender());
    assert_eq!((kept(&db, "alice").await, kept(&db, "bob").await, kept(&db, "carol").await), (1, 0, 1));
    // A domain that forbids it keeps its mail.
    db.sql("update directory.domain set forwarding_forbidden = true").await;
    db.sql("update directory.account set forward_to = '{far@elsewhere.test}' where local_part = 'bob'").await;
    db.wait_applied().await;
    let answer = send(&daemon, "x@example.net", &["bob@example.test"], "").await;
    assert!(answer.starts_with("250"), "{answer}");
    assert_eq!((kept(&db, "bob").await, sink.count()), (1, 1));
    let refused = db.refusal("update directory.account set forward_to = '{nobody}'").await;
    assert!(refused.contains("\"nobody\" is no target for forwarding"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn remote_domains_and_other_names() {
    let db = Database::new().await;
    let sink = Sink::start(&loopback(), 0, Script::default()).await;
    let daemon = Daemon::start(&db).await;
    let (host, port) = (sink.address().ip(), sink.port());
    db.sql(&format!(
        "insert into directory.domain_alias (name, domain_id) select 'Example.org.', id from directory.domain;
         insert into directory.remote_domain (name, host, port) values ('gate.test', '{host}', {port});
         insert into directory.remote_recipient (domain_id, local_part) select id, 'Boss' from directory.remote_domain;
         insert into directory.remote_domain (name, forward, local_domain_id)
         select 'same.test', 'same user in a local domain', id from directory.domain;
         insert into directory.remote_domain (name, forward, address) values ('one.test', 'one address', 'carol@example.test');
         insert into directory.remote_domain (name, active) values ('asleep.test', false);"
    ))
    .await;
    db.wait_applied().await;
    for (address, expected) in [
        ("alice@example.org", "250"),
        ("alice+tag@example.org", "250"),
        ("nobody@example.org", "550 5.1.1"),
        ("boss@gate.test", "250"),
        ("BOSS+tag@gate.test", "250"),
        ("nobody@gate.test", "550 5.1.1"),
        ("bob@same.test", "250"),
        ("nobody@same.test", "550 5.1.1"),
        ("anybody@one.test", "250"),
        ("boss@asleep.test", "550 5.1.1"),
        ("boss@other.test", "550 5.7.1"),
    ] {
        let answer = rcpt(&daemon, "x@example.net", address).await;
        assert!(answer.starts_with(expected), "{address}: {answer}");
    }
    let to = ["alice@example.org", "boss@gate.test", "bob@same.test", "anybody@one.test"];
    let answer = send(&daemon, "x@example.net", &to, "").await;
    assert!(answer.starts_with("250"), "{answer}");
    let messages = sink.wait_for(1).await;
    let passed = by_address(&messages, "boss@gate.test");
    // It is passed on as it came.
    assert_eq!((passed.len(), passed[0].sender()), (1, "x@example.net"));
    for person in ["alice", "bob", "carol"] {
        assert_eq!(kept(&db, person).await, 1, "{person}");
    }
    for taken in [
        "insert into directory.domain (name) values ('gate.test')",
        "insert into directory.remote_domain (name) values ('example.org')",
        "update directory.domain_alias set name = 'example.test'",
    ] {
        let refused = db.refusal(taken).await;
        assert!(refused.contains("this domain exists already"), "{taken}: {refused}");
    }
    // Waiting mail goes where the table says now.
    let second = Sink::start(&loopback(), 0, Script::default()).await;
    drop(sink);
    assert!(send(&daemon, "x@example.net", &["boss@gate.test"], "").await.starts_with("250"));
    db.until("select exists (select 1 from queue.recipient where attempts > 0 and leased_by is null)").await;
    let (host, port) = (second.address().ip(), second.port());
    db.sql(&format!(
        "update directory.remote_domain set host = '{host}', port = {port} where name = 'gate.test'"
    ))
    .await;
    db.wait_applied().await;
    db.sql("update queue.recipient set next_attempt_at = now()").await;
    assert_eq!(second.wait_for(1).await[0].addresses(), ["boss@gate.test"]);
}
