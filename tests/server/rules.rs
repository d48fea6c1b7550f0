//! SQL rules, as clients see it: what somebody commits, the sessions of the moment obey, without a restart.
//!
//! `control` has what needs no session; here are farewells, refusals, certificates shown, addresses resolved, and mail
//! that a client in IDLE sees change under its eyes.

use std::time::{Duration, Instant};

use mailwright::tls::certificate::self_signed;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::support::daemon::Notify;
use crate::support::dialogue::{Dialogue, Language, is_closed};
use crate::support::{Daemon, Database};

const MESSAGE: &str = "From: sender@example.net\nSubject: hello\n\nHow are you?";

/// An SMTP session that has said EHLO.
async fn smtp(daemon: &Daemon<'_>) -> Dialogue {
    let mut smtp = daemon.smtp().await;
    smtp.expect("220").await;
    smtp.send("EHLO client.example.net").await;
    smtp.expect("250").await;
    smtp
}

/// A session for submission, logged in.
async fn submission(daemon: &Daemon<'_>, user: &str) -> Dialogue {
    let mut smtp = daemon.submission().await;
    smtp.expect("220").await;
    smtp.send("EHLO client.example.net").await;
    smtp.expect("250").await;
    smtp.login(user).await;
    smtp
}

async fn imap(daemon: &Daemon<'_>, user: &str) -> Dialogue {
    let mut imap = daemon.imap().await;
    imap.login(user).await;
    imap
}

async fn pop3(daemon: &Daemon<'_>, user: &str) -> Dialogue {
    let mut pop3 = daemon.pop3().await;
    pop3.login(user).await;
    pop3
}

/// An IMAP client in IDLE.
async fn idling(daemon: &Daemon<'_>, user: &str, mailbox: &str) -> Dialogue {
    let mut imap = imap(daemon, user).await;
    imap.run(&format!("SELECT {mailbox}")).await;
    imap.send("i IDLE").await;
    imap.expect("+").await;
    imap
}

/// What a recipient is answered in a session, which is ready for another one afterwards.
async fn rcpt(smtp: &mut Dialogue, address: &str) -> String {
    smtp.send("MAIL FROM:<sender@example.net>").await;
    smtp.expect("250").await;
    smtp.send(&format!("RCPT TO:<{address}>")).await;
    let answer = smtp.answer().await;
    smtp.send("RSET").await;
    smtp.expect("250").await;
    answer
}

async fn expect_rcpt(smtp: &mut Dialogue, address: &str, answer: &str) {
    let came = rcpt(smtp, address).await;
    assert!(came.starts_with(answer), "RCPT TO:<{address}> should be answered {answer}, came: {came}");
}

async fn no_drift(db: &Database) {
    assert_eq!(db.value::<i64>("select count(*) from report.quota_drift").await, 0);
}

// Services and sessions ----------------------------------------------------------------------------------------------

#[tokio::test]
async fn sessions_of_a_service_switched_off_get_a_farewell() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut mail, mut drop) = (imap(&daemon, "alice").await, pop3(&daemon, "alice").await);
    let mut idle = idling(&daemon, "bob", "INBOX").await;
    let mut relay = smtp(&daemon).await;
    // One that has not logged in yet.
    let mut early = daemon.pop3().await;

    db.apply("update control.service set enabled = false where name = 'pop3'").await;
    for session in [&mut drop, &mut early] {
        session.expect("-ERR [SYS/TEMP]").await;
        session.expect_end().await;
    }
    db.until("select state = 'stopped' from live.service_status where service = 'pop3'").await;
    // Nobody else is concerned.
    mail.run("NOOP").await;
    relay.send("NOOP").await;
    relay.expect("250").await;

    db.apply("update control.service set enabled = false where name in ('imap', 'smtp')").await;
    for session in [&mut mail, &mut idle] {
        session.expect("* BYE [UNAVAILABLE]").await;
        session.expect_end().await;
    }
    relay.expect("421").await;
    relay.expect_end().await;
    db.until("select count(*) = 3 from live.service_status where state = 'stopped'").await;
    db.until("select not exists (select 1 from live.session)").await;

    db.apply("update control.service set enabled = true where name in ('imap', 'smtp', 'pop3')").await;
    daemon.deliver("alice", MESSAGE).await;
    imap(&daemon, "alice").await;
    pop3(&daemon, "alice").await;
}

#[tokio::test]
async fn a_message_that_is_coming_in_may_finish() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut smtp = smtp(&daemon).await;
    for (line, answer) in [("MAIL FROM:<>", "250"), ("RCPT TO:<alice@example.test>", "250"), ("DATA", "354")]
    {
        smtp.send(line).await;
        smtp.expect(answer).await;
    }
    smtp.send("Subject: begun before").await;
    db.apply("update control.service set enabled = false where name = 'smtp'").await;
    assert!(is_closed(daemon.port("smtp")).await);
    db.until("select state = 'stopping' from live.service_status where service = 'smtp'").await;
    smtp.data("\nand ended after").await;
    smtp.expect("250").await;
    smtp.expect("421").await;
    smtp.expect_end().await;
    let subject: String =
        db.value("select subject from report.message where address = 'alice@example.test'").await;
    assert_eq!(subject, "begun before");
    db.until("select state = 'stopped' from live.service_status where service = 'smtp'").await;
}

#[tokio::test]
async fn a_message_that_does_not_end_is_cut_off() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply("update control.server set stop_grace_seconds = 1").await;
    let mut smtp = smtp(&daemon).await;
    for (line, answer) in [("MAIL FROM:<>", "250"), ("RCPT TO:<alice@example.test>", "250"), ("DATA", "354")]
    {
        smtp.send(line).await;
        smtp.expect(answer).await;
    }
    db.apply("update control.service set enabled = false where name = 'smtp'").await;
    smtp.expect("421").await;
    smtp.expect_end().await;
    assert_eq!(db.value::<i64>("select count(*) from store.message").await, 0);
}

#[tokio::test]
async fn a_deleted_row_ends_its_session_and_no_other() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut alice =
        [submission(&daemon, "alice").await, pop3(&daemon, "alice").await, imap(&daemon, "alice").await];
    let mut bob = [submission(&daemon, "bob").await, pop3(&daemon, "bob").await, imap(&daemon, "bob").await];
    let mut idle = idling(&daemon, "alice", "INBOX").await;
    db.until("select count(login) = 7 from live.session").await;

    db.sql("delete from live.session where login = 'alice@example.test' and state <> 'idle'").await;
    for (session, farewell) in alice.iter_mut().zip(["421", "-ERR", "* BYE"]) {
        session.expect(farewell).await;
        session.expect_end().await;
    }
    for (session, (line, answer)) in
        bob.iter_mut().zip([("NOOP", "250"), ("NOOP", "+OK"), ("n NOOP", "n OK")])
    {
        session.send(line).await;
        session.expect(answer).await;
    }
    db.sql("delete from live.session where state = 'idle'").await;
    idle.expect("* BYE").await;
    idle.expect_end().await;
    let left: i64 = db.value("select count(*) from live.session where login = 'bob@example.test'").await;
    assert_eq!(left, 3);
    // All of them at once.
    db.sql("truncate live.session").await;
    for (session, farewell) in bob.iter_mut().zip(["421", "-ERR", "* BYE"]) {
        session.expect(farewell).await;
        session.expect_end().await;
    }
    // Ended is not banned.
    imap(&daemon, "alice").await;
}

#[tokio::test]
async fn live_session_shows_who_does_what() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut relay = smtp(&daemon).await;
    let row = |service: &str, more: &str| {
        format!(
            "select count(*) = 1 from live.session s join control.listener l on l.id = s.listener_id
             where s.service = '{service}' and l.service = '{service}' and s.node = 'one' and s.peer = '127.0.0.1'
               and s.peer_port > 0 and s.since <= s.active_at and s.id in (select id from live.session where {more})"
        )
    };
    db.until(&row("smtp", "tls is null and login is null and account_id is null and state = 'ready'")).await;
    for (line, answer) in [("MAIL FROM:<>", "250"), ("RCPT TO:<alice@example.test>", "250"), ("DATA", "354")]
    {
        relay.send(line).await;
        relay.expect(answer).await;
    }
    db.until(&row("smtp", "state = 'receiving'")).await;
    relay.data("x").await;
    relay.expect("250").await;
    db.until(&row("smtp", "state = 'ready'")).await;

    let mut drop = daemon.pop3().await;
    db.until(&row("pop3", "tls like 'TLS%' and login is null and state = 'not logged in'")).await;
    drop.login("bob").await;
    db.until(&row(
        "pop3",
        "login = 'bob@example.test' and state = 'logged in'
         and account_id = (select id from directory.account where local_part = 'bob')",
    ))
    .await;

    let mut mail = idling(&daemon, "alice", "INBOX").await;
    db.until(&row("imap", "tls like 'TLS%' and login = 'alice@example.test' and state = 'idle'")).await;
    mail.send("DONE").await;
    mail.expect("i OK").await;
    db.until(&row("imap", "state = 'logged in'")).await;

    for (session, leave) in [(&mut relay, "QUIT"), (&mut drop, "QUIT"), (&mut mail, "q LOGOUT")] {
        session.send(leave).await;
        session.rest().await;
    }
    db.until("select not exists (select 1 from live.session)").await;
}

// Who may connect ------------------------------------------------------------------------------------------------------

/// Connects without TLS, and expects these first words.
async fn first_words(daemon: &Daemon<'_>, service: &str, words: &str) -> Dialogue {
    let language = match service {
        "smtp" => Language::Smtp,
        "pop3" => Language::Pop3,
        _ => Language::Imap,
    };
    let mut dialogue = Dialogue::plain(daemon.port(service), language).await;
    dialogue.expect(words).await;
    dialogue
}

const GREETINGS: [(&str, &str); 3] = [("smtp", "220"), ("pop3", "+OK"), ("imap", "* OK")];
const DENIALS: [(&str, &str); 3] =
    [("smtp", "554 5.7.1"), ("pop3", "-ERR [SYS/PERM]"), ("imap", "* BYE [NOPERM]")];
const FULL: [(&str, &str); 3] =
    [("smtp", "421 4.7.0"), ("pop3", "-ERR [SYS/TEMP]"), ("imap", "* BYE [UNAVAILABLE]")];

async fn refused(daemon: &Daemon<'_>, words: [(&str, &str); 3]) {
    for (service, words) in words {
        first_words(daemon, service, words).await.expect_end().await;
    }
}

async fn let_in(daemon: &Daemon<'_>) {
    for (service, words) in GREETINGS {
        first_words(daemon, service, words).await;
    }
}

#[tokio::test]
async fn ip_rules_refuse_the_next_connection() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut inside = imap(&daemon, "alice").await;
    db.apply(
        "insert into control.ip_list (id, name, mode) values (1, 'office', 'only these');
         insert into control.ip_rule (list_id, pattern) values (1, '10.*');
         update control.service set ip_list_id = 1",
    )
    .await;
    refused(&daemon, DENIALS).await;
    // Who is in stays in.
    inside.run("NOOP").await;
    db.apply("insert into control.ip_rule (list_id, pattern) values (1, '127.0.0.1')").await;
    let_in(&daemon).await;
    db.apply("update control.ip_list set mode = 'all except these'").await;
    refused(&daemon, DENIALS).await;
    db.apply("delete from control.ip_rule where pattern = '127.0.0.1'").await;
    let_in(&daemon).await;
    db.apply("insert into control.ip_rule (list_id, pattern) values (1, '127.0.0.?')").await;
    refused(&daemon, DENIALS).await;
    db.apply("update control.service set ip_list_id = null").await;
    let_in(&daemon).await;
}

#[tokio::test]
async fn limits_hold_for_the_next_connection() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    for limit in ["max_connections_per_peer", "max_connections"] {
        let mut inside = Vec::new();
        for (service, words) in GREETINGS {
            inside.push(first_words(&daemon, service, words).await);
        }
        db.apply(&format!("update control.service set {limit} = 1")).await;
        refused(&daemon, FULL).await;
        for (session, (line, answer)) in
            inside.iter_mut().zip([("NOOP", "250"), ("CAPA", "+OK"), ("n NOOP", "n OK")])
        {
            session.send(line).await;
            session.expect(answer).await;
        }
        db.apply(&format!("update control.service set {limit} = 2")).await;
        let_in(&daemon).await;
        // No limit.
        db.apply(&format!("update control.service set {limit} = 0")).await;
        for (session, leave) in inside.iter_mut().zip(["QUIT", "QUIT", "q LOGOUT"]) {
            session.send(leave).await;
            session.rest().await;
        }
    }
}

#[tokio::test]
async fn the_limit_for_an_account_holds_for_the_next_login() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut first = imap(&daemon, "alice").await;
    db.apply("update control.service set max_connections_per_account = 1").await;
    let mut second = daemon.imap().await;
    second.send("l LOGIN alice@example.test mailwright").await;
    second.expect("l NO [LIMIT]").await;
    // Neither another account nor another service is concerned.
    imap(&daemon, "bob").await;
    let _drop = pop3(&daemon, "alice").await;
    let mut another = daemon.pop3().await;
    another.send("USER alice@example.test").await;
    another.expect("+OK").await;
    another.send("PASS mailwright").await;
    another.expect("-ERR [IN-USE]").await;

    db.apply("update control.service set max_connections_per_account = 2").await;
    second.login("alice").await;
    first.run("NOOP").await;
}

// Certificates -----------------------------------------------------------------------------------------------------

/// A new certificate as PEM, chain and key, and as the client sees it.
fn certificate(name: &str) -> (String, String, Vec<u8>) {
    let (chain, key) = self_signed(&[name.to_owned()]).unwrap();
    let der = CertificateDer::from_pem_slice(chain.as_bytes()).unwrap().to_vec();
    (chain, key, der)
}

#[tokio::test]
async fn a_certificate_replaced_is_shown_in_the_next_handshake() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut before = daemon.imap().await;
    let first = before.certificate().to_vec();
    for (action, (chain, key, der)) in [
        ("insert into control.certificate (chain, key) values", certificate("localhost")),
        ("update control.certificate set (chain, key) =", certificate("localhost")),
    ] {
        assert_ne!(der, first);
        db.apply(&format!(
            "{action} ('{chain}', '{key}') {}",
            if action.starts_with("update") { "where source = 'uploaded'" } else { "" }
        ))
        .await;
        for port in ["smtps", "pop3s", "imaps"] {
            // What is said under TLS doesn't matter here.
            let session = Dialogue::tls(daemon.port(port), Language::Imap).await;
            assert_eq!(session.certificate(), der, "{port}");
        }
        for (service, words) in GREETINGS {
            let mut session = first_words(&daemon, service, words).await;
            if service == "smtp" {
                session.send("EHLO client.example.net").await;
                session.expect("250").await;
            }
            session.starttls().await;
            assert_eq!(session.certificate(), der, "{service}");
        }
    }
    // Sessions of the old one live on.
    before.login("alice").await;
    db.apply("delete from control.certificate where source = 'uploaded'").await;
    assert_eq!(daemon.imap().await.certificate(), first);
}

#[tokio::test]
async fn the_name_asked_for_chooses_the_certificate() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (chain, key, default) = certificate("default.example.test");
    let (mail_chain, mail_key, mail) = certificate("mail.example.test");
    let (wild_chain, wild_key, wild) = certificate("*.example.test");
    db.apply(&format!(
        "insert into control.certificate (chain, key) values
         ('{chain}', '{key}'), ('{mail_chain}', '{mail_key}'), ('{wild_chain}', '{wild_key}')"
    ))
    .await;
    let shown = async |name: &str| {
        Dialogue::tls_as(daemon.port("imaps"), Language::Imap, name).await.certificate().to_vec()
    };
    assert!(shown("mail.example.test").await == mail);
    assert!(shown("imap.example.test").await == wild);
    assert!(shown("elsewhere.test").await == default);
    db.apply(
        "update control.certificate set active = false where id = (select max(id) from control.certificate)",
    )
    .await;
    assert!(shown("imap.example.test").await == default);
}

// The directory ----------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn two_columns_make_an_account_that_receives_mail() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut smtp = smtp(&daemon).await;
    expect_rcpt(&mut smtp, "dora@example.test", "550 5.1.1").await;
    db.apply(
        "insert into directory.account (domain_id, local_part)
         select id, 'dora' from directory.domain where name = 'example.test'",
    )
    .await;
    expect_rcpt(&mut smtp, "dora@example.test", "250").await;
    daemon.deliver("dora", MESSAGE).await;
    let row = &db.rows("select address, mailbox, subject from report.message").await[0];
    let found: (&str, &str, &str) = (row.get(0), row.get(1), row.get(2));
    assert_eq!(found, ("dora@example.test", "INBOX", "hello"));
    no_drift(&db).await;
}

#[tokio::test]
async fn known_addresses_are_forgotten_when_they_change() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut smtp = smtp(&daemon).await;
    db.apply(
        "insert into directory.alias (domain_id, local_part, targets)
         select id, 'info', array['alice@example.test'] from directory.domain where name = 'example.test'",
    )
    .await;
    // Each address is used before the change, so that the daemon knows it.
    for (address, off, on) in [
        (
            "alice@example.test",
            "update directory.account set active = false where local_part = 'alice'",
            "update directory.account set active = true",
        ),
        (
            "info@example.test",
            "update directory.alias set active = false",
            "update directory.alias set active = true",
        ),
        (
            "info@example.test",
            "update directory.account set active = false where local_part = 'alice'",
            "update directory.account set active = true",
        ),
        (
            "info@example.test",
            "update directory.alias set authenticated_only = true",
            "update directory.alias set authenticated_only = false",
        ),
        (
            "alice+list@example.test",
            "update control.directory set subaddress_separator = '-'",
            "update control.directory set subaddress_separator = '+'",
        ),
        (
            "bob@example.test",
            "update directory.domain set active = false",
            "update directory.domain set active = true",
        ),
        (
            "bob@example.test",
            "update directory.account set local_part = 'robert' where local_part = 'bob'",
            "update directory.account set local_part = 'bob' where local_part = 'robert'",
        ),
        (
            "bob@example.test",
            "update directory.domain set name = 'example.org'",
            "update directory.domain set name = 'example.test'",
        ),
    ] {
        expect_rcpt(&mut smtp, address, "250").await;
        db.apply(off).await;
        let answer = rcpt(&mut smtp, address).await;
        assert!(answer.starts_with("550"), "after {off}: {answer}");
        db.apply(on).await;
        expect_rcpt(&mut smtp, address, "250").await;
    }

    expect_rcpt(&mut smtp, "anybody@example.test", "550").await;
    db.apply("update directory.domain set catch_all = 'bob@example.test'").await;
    expect_rcpt(&mut smtp, "anybody@example.test", "250").await;
    daemon.deliver("anybody", MESSAGE).await;
    let bobs: i64 = db.value("select count(*) from report.message where address = 'bob@example.test'").await;
    assert_eq!(bobs, 1);
    db.apply("update directory.domain set catch_all = null").await;
    expect_rcpt(&mut smtp, "anybody@example.test", "550").await;
    // An alias that leads somewhere else.
    db.apply("update directory.alias set targets = '{carol@example.test}'").await;
    daemon.deliver("info", MESSAGE).await;
    let carols: i64 =
        db.value("select count(*) from report.message where address = 'carol@example.test'").await;
    assert_eq!(carols, 1);
}

#[tokio::test]
async fn a_quota_counts_at_once() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut smtp = smtp(&daemon).await;
    daemon.deliver("alice", MESSAGE).await;
    for (statement, answer) in [
        ("update directory.account set quota_bytes = 10 where local_part = 'alice'", "452 4.2.2"),
        ("update directory.account set quota_bytes = 1000000 where local_part = 'alice'", "250"),
        // Without one of its own, the domain's; then the server's.
        (
            "update directory.account set quota_bytes = null; update directory.domain set quota_bytes = 10",
            "452 4.2.2",
        ),
        ("update directory.domain set quota_bytes = 1000000", "250"),
        (
            "update directory.domain set quota_bytes = null; update control.directory set quota_bytes = 10",
            "452 4.2.2",
        ),
        // None at all.
        ("update directory.account set quota_bytes = 0 where local_part = 'alice'", "250"),
        ("update directory.account set quota_bytes = 10 where local_part = 'alice'", "452 4.2.2"),
    ] {
        db.apply(statement).await;
        let came = rcpt(&mut smtp, "alice@example.test").await;
        assert!(came.starts_with(answer), "after {statement}: {came}");
        expect_rcpt(&mut smtp, "bob@example.test", "250").await;
    }
    // Room made by SQL is room.
    db.sql("delete from store.message").await;
    expect_rcpt(&mut smtp, "alice@example.test", "250").await;
    no_drift(&db).await;
}

#[tokio::test]
async fn an_account_forbidden_a_service_is_not_let_in() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    // Known, and its password remembered.
    imap(&daemon, "alice").await;
    for (statement, answer) in [
        ("update directory.account set forbidden_services = '{imap}' where local_part = 'alice'", "l NO"),
        ("update directory.account set forbidden_services = '{}'", "l OK"),
        ("update directory.account set active = false where local_part = 'alice'", "l NO"),
        ("update directory.account set active = true", "l OK"),
        ("update directory.domain set active = false", "l NO"),
    ] {
        db.apply(statement).await;
        let mut imap = daemon.imap().await;
        imap.send("l LOGIN alice@example.test mailwright").await;
        imap.expect(answer).await;
    }
}

// Settings -----------------------------------------------------------------------------------------------------------

/// Sends a message in a session that is ready, and returns what its end is answered.
async fn message(smtp: &mut Dialogue, bytes: &[u8]) -> String {
    for (line, answer) in [("MAIL FROM:<>", "250"), ("RCPT TO:<alice@example.test>", "250"), ("DATA", "354")]
    {
        smtp.send(line).await;
        smtp.expect(answer).await;
    }
    smtp.send_bytes(bytes).await;
    smtp.send_bytes(b"\r\n.\r\n").await;
    smtp.answer().await
}

#[tokio::test]
async fn the_largest_message_is_what_the_row_says() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut smtp = smtp(&daemon).await;
    let body = [b"Subject: x\r\n\r\n".as_slice(), &b"0123456789\r\n".repeat(200)].concat();
    assert!(message(&mut smtp, &body).await.starts_with("250"));
    db.apply("update control.smtp set max_message_bytes = 2000").await;
    assert!(message(&mut smtp, &body).await.starts_with("552 5.3.4"));
    smtp.send("MAIL FROM:<> SIZE=2500").await;
    smtp.expect("552 5.3.4").await;
    smtp.send("EHLO client.example.net").await;
    smtp.expect("250*SIZE 2000").await;
    // An account may take less than the server.
    db.apply(
        "update control.smtp set max_message_bytes = 10000;
         update directory.account set max_message_bytes = 2000 where local_part = 'alice'",
    )
    .await;
    assert!(message(&mut smtp, &body).await.starts_with("552"));
    db.apply("update directory.account set max_message_bytes = null").await;
    assert!(message(&mut smtp, &body).await.starts_with("250"));
}

#[tokio::test]
async fn bare_line_feeds_are_refused_or_mended() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut smtp = smtp(&daemon).await;
    let bare = b"Subject: bare\n\nfirst\nsecond";
    assert!(message(&mut smtp, bare).await.starts_with("550 5.6.0"));
    db.apply("update control.smtp set bare_newline = 'normalise'").await;
    assert!(message(&mut smtp, bare).await.starts_with("250"));
    db.apply("update control.smtp set bare_newline = 'refuse'").await;
    assert!(message(&mut smtp, bare).await.starts_with("550 5.6.0"));

    let mut drop = pop3(&daemon, "alice").await;
    drop.send("RETR 1").await;
    drop.expect("+OK").await;
    let lines = drop.lines().await;
    assert!(lines.ends_with(&["Subject: bare", "", "first", "second"].map(str::to_owned)), "{lines:?}");
}

// Mail ---------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn mail_changed_by_sql_is_seen_in_idle() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.sql(
        "insert into store.mailbox (account_id, name)
         select id, 'Keep' from directory.account where local_part = 'alice'",
    )
    .await;
    let mut inbox = idling(&daemon, "alice", "INBOX").await;
    let mut keep = idling(&daemon, "alice", "Keep").await;
    daemon.deliver("alice", MESSAGE).await;
    inbox.expect("* 1 EXISTS").await;

    db.sql("update store.message set flagged = true").await;
    inbox.expect("* 1 FETCH (*FLAGS (*\\Flagged").await;
    db.sql("update store.message set seen = true, flagged = false, keywords = array['$Label1']").await;
    inbox.expect("* FLAGS (*$Label1").await;
    let flags = inbox.expect("* 1 FETCH (*FLAGS (").await;
    assert!(flags.contains("\\Seen") && flags.contains("$Label1") && !flags.contains("\\Flagged"), "{flags}");

    db.sql("update store.message set mailbox_id = store.mailbox_id('alice@example.test', 'Keep')").await;
    inbox.expect("* 1 EXPUNGE").await;
    keep.expect("* 1 EXISTS").await;
    // What it brought along.
    keep.send("DONE").await;
    keep.expect("i OK").await;
    keep.send("f FETCH 1 (UID FLAGS BODY.PEEK[])").await;
    let bytes = keep.expect_literal("* 1 FETCH (*UID 1 *\\Seen*$Label1").await;
    keep.expect("f OK").await;
    assert!(bytes.ends_with(b"Subject: hello\r\n\r\nHow are you?\r\n"));

    db.sql(
        "insert into store.message (account_id, mailbox_id, content_id, prefix, flagged)
         select account_id, store.mailbox_id('alice@example.test', 'INBOX'), content_id, prefix, true from store.message",
    )
    .await;
    inbox.expect("* 1 EXISTS").await;
    inbox.send("DONE").await;
    inbox.expect("i OK").await;
    inbox.send("f FETCH 1 (UID FLAGS BODY.PEEK[])").await;
    // The message before had UID 1, which is never given again.
    let copy = inbox.expect_literal("* 1 FETCH (*UID 2 *\\Flagged").await;
    inbox.expect("f OK").await;
    assert_eq!(copy, bytes);

    keep.send("i IDLE").await;
    keep.expect("+").await;
    db.sql("delete from store.message where mailbox_id = store.mailbox_id('alice@example.test', 'Keep')")
        .await;
    keep.expect("* 1 EXPUNGE").await;
    // What has not changed is not told.
    inbox.send("n NOOP").await;
    assert_eq!(inbox.until_tag("n").await.len(), 1);
    no_drift(&db).await;

    // The mailbox itself.
    db.sql("delete from store.mailbox where name = 'Keep'").await;
    keep.expect("* BYE").await;
}

#[tokio::test]
async fn several_changes_in_one_transaction_are_seen() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    for _ in 0..5 {
        daemon.deliver("alice", MESSAGE).await;
    }
    let mut inbox = idling(&daemon, "alice", "INBOX").await;
    db.sql(
        "begin; update store.message set seen = true where uid = 1; delete from store.message where uid in (2, 4);
         update store.message set flagged = true where uid = 5;
         insert into store.message (account_id, mailbox_id, content_id)
         select account_id, mailbox_id, content_id from store.message where uid = 3; commit",
    )
    .await;
    inbox.send("DONE").await;
    let mut seen = inbox.until_tag("i").await;
    inbox.send("n NOOP").await;
    seen.extend(inbox.until_tag("n").await);
    // As a client counts: what is expunged makes room, what is new comes at the end.
    let mut known = vec![1, 2, 3, 4, 5];
    for words in seen.iter().map(|line| line.split(' ').collect::<Vec<_>>()) {
        match words[..] {
            ["*", number, "EXPUNGE"] => drop(known.remove(number.parse::<usize>().unwrap() - 1)),
            ["*", number, "EXISTS"] => known.resize(number.parse().unwrap(), 6),
            _ => {}
        }
    }
    assert_eq!(known, [1, 3, 5, 6], "{seen:?}");
    let found = inbox.run("FETCH 1:* (UID FLAGS)").await;
    for (line, (uid, flag)) in found.iter().zip([(1, "\\Seen"), (3, ""), (5, "\\Flagged"), (6, "")]) {
        assert!(line.contains(&format!("UID {uid} ")) && line.contains(flag), "{found:?}");
    }
    // What was rolled back has not been.
    db.sql("begin; delete from store.message; rollback").await;
    assert_eq!(inbox.run("NOOP").await.len(), 1);
    no_drift(&db).await;
}

#[tokio::test]
async fn deleted_mail_is_brought_back() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    daemon.deliver("alice", MESSAGE).await;
    let mut imap = imap(&daemon, "alice").await;
    imap.run("SELECT INBOX").await;
    imap.send("f FETCH 1 BODY.PEEK[]").await;
    let bytes = imap.expect_literal("* 1 FETCH").await;
    imap.expect("f OK").await;
    imap.run("STORE 1 +FLAGS (\\Deleted \\Flagged)").await;
    imap.run("EXPUNGE").await;
    no_drift(&db).await;

    imap.send("i IDLE").await;
    imap.expect("+").await;
    let restore = "select store.restore(a.id, store.mailbox_id('alice@example.test', 'INBOX'))
                   from directory.account a where local_part = 'alice'";
    assert_eq!(db.value::<i64>(restore).await, 1);
    imap.expect("* 1 EXISTS").await;
    imap.send("DONE").await;
    imap.expect("i OK").await;
    imap.send("f FETCH 1 (UID FLAGS BODY.PEEK[])").await;
    let back = imap.expect_literal("* 1 FETCH (*UID 2 *\\Flagged").await;
    imap.expect("f OK").await;
    assert_eq!(back, bytes);
    // Not a second time.
    assert_eq!(db.value::<i64>(restore).await, 0);
    no_drift(&db).await;
}

// Two nodes ----------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn sessions_on_every_node_obey() {
    let db = Database::new().await;
    let one = Daemon::start(&db).await;
    let two = one.second_node().await;
    let mut drops = [pop3(&one, "alice").await, pop3(&two, "bob").await];
    let mut mails = [imap(&one, "alice").await, imap(&two, "alice").await];
    db.until("select count(login) = 4 from live.session").await;

    db.apply("update control.service set enabled = false where name = 'pop3'").await;
    for drop in &mut drops {
        drop.expect("-ERR").await;
        drop.expect_end().await;
    }
    for mail in &mut mails {
        mail.run("NOOP").await;
    }
    // One session, which lives on the second node.
    db.sql("delete from live.session where service = 'imap' and node = 'two'").await;
    mails[1].expect("* BYE").await;
    mails[1].expect_end().await;
    mails[0].run("NOOP").await;
    let left: String = db.value("select node from live.session where service = 'imap'").await;
    assert_eq!(left, "one");
}

#[tokio::test]
async fn a_dead_node_takes_only_its_own_sessions_along() {
    let db = Database::new().await;
    let one = Daemon::start(&db).await;
    let mut two = one.second_node().await;
    let mut alive = imap(&one, "alice").await;
    let mut dead = imap(&two, "bob").await;
    db.until("select count(login) = 2 from live.session").await;
    two.kill9().await;
    dead.expect_end().await;
    // Its rows are still there until it comes back or is cleared away; to delete one ends nobody here.
    db.sql("delete from live.session where node = 'two'").await;
    db.apply("update control.imap set max_errors = 51").await;
    alive.run("NOOP").await;
    two.start_again().await;
    db.until("select array_agg(login) = '{alice@example.test}' from live.session").await;
    imap(&two, "bob").await;
}

#[tokio::test]
async fn mail_delivered_on_one_node_is_seen_on_the_other() {
    let db = Database::new().await;
    let one = Daemon::start(&db).await;
    let two = one.second_node().await;
    let mut there = idling(&two, "alice", "INBOX").await;
    for count in 1..=3 {
        one.deliver("alice", MESSAGE).await;
        there.expect(&format!("* {count} EXISTS")).await;
    }
    // And what a client does on the one node, a client on the other sees.
    let mut here = imap(&one, "alice").await;
    here.run("SELECT INBOX").await;
    here.run("STORE 2 +FLAGS (\\Flagged \\Deleted)").await;
    there.expect("* 2 FETCH (*\\Flagged").await;
    here.run("EXPUNGE").await;
    there.expect("* 2 EXPUNGE").await;
    no_drift(&db).await;
}

#[tokio::test]
async fn without_notify_idle_is_behind_by_the_clock_only() {
    let db = Database::new().await;
    let deaf = Daemon::start_with(&db, Notify::Off).await;
    let other = deaf.second_node().await;
    let mut idle = idling(&deaf, "alice", "INBOX").await;
    let begin = Instant::now();
    other.deliver("alice", MESSAGE).await;
    idle.expect("* 1 EXISTS").await;
    assert!(begin.elapsed() < Duration::from_secs(6), "{:?}", begin.elapsed());
    // Its own mail it sees without a bell.
    deaf.deliver("alice", MESSAGE).await;
    idle.expect("* 2 EXISTS").await;
    db.until("select exists (select 1 from live.session where node = 'one' and state = 'idle')").await;
    db.sql("delete from live.session where node = 'one'").await;
    idle.expect("* BYE").await;
}
