//! Who may send what: relaying by address, senders that belong to somebody, what EHLO offers, and proxies in front.

use std::time::{Duration, Instant};

use crate::relay::{QUEUE_IS_EMPTY, alice, scene, send};
use crate::support::daemon::{PASSWORD, ReservedPort};
use crate::support::dialogue::{Dialogue, Language};
use crate::support::{Daemon, Database, Script};

/// A session that has said EHLO, and what was offered.
async fn greeted(mut smtp: Dialogue) -> (Dialogue, String) {
    smtp.expect("220").await;
    let offer = ehlo(&mut smtp).await;
    (smtp, offer)
}

async fn ehlo(smtp: &mut Dialogue) -> String {
    smtp.send("EHLO client.example.net").await;
    smtp.expect("250").await
}

async fn stranger(daemon: &Daemon<'_>) -> Dialogue {
    greeted(daemon.smtp().await).await.0
}

async fn user(daemon: &Daemon<'_>, name: &str) -> Dialogue {
    let mut smtp = greeted(daemon.submission().await).await.0;
    smtp.login(name).await;
    smtp
}

/// Says one command, and expects this answer.
async fn say(smtp: &mut Dialogue, line: &str, answer: &str) -> String {
    smtp.send(line).await;
    smtp.expect(answer).await
}

/// What MAIL is answered; the session is ready for another one afterwards.
async fn mail(smtp: &mut Dialogue, arguments: &str, answer: &str) {
    say(smtp, &format!("MAIL FROM:{arguments}"), answer).await;
    say(smtp, "RSET", "250").await;
}

async fn rcpt(smtp: &mut Dialogue, address: &str, answer: &str) {
    say(smtp, "MAIL FROM:<someone@example.net>", "250").await;
    say(smtp, &format!("RCPT TO:<{address}>"), answer).await;
    say(smtp, "RSET", "250").await;
}

/// An IP list with this one pattern.
fn list(id: i64, pattern: &str) -> String {
    format!(
        "insert into control.ip_list (id, name) values ({id}, 'list {id}');
         insert into control.ip_rule (list_id, pattern) values ({id}, '{pattern}');"
    )
}

// Relaying -----------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn listed_addresses_may_relay_without_login() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply(&format!(
        "update control.relay set enabled = false;
         insert into directory.alias (domain_id, local_part, targets, authenticated_only)
           select id, 'staff', '{{alice@example.test}}', true from directory.domain;
         {}",
        list(1, "127.0.0.9")
    ))
    .await;
    let mut smtp = stranger(&daemon).await;
    rcpt(&mut smtp, "far@example.org", "550 5.7.1 Relaying denied").await;
    db.apply("update control.smtp set relay_ip_list_id = 1").await;
    rcpt(&mut smtp, "far@example.org", "550 5.7.1 Relaying denied").await;
    db.apply("insert into control.ip_rule (list_id, pattern) values (1, '127.0.0.1')").await;
    rcpt(&mut smtp, "far@example.org", "250").await;
    // It is no login.
    rcpt(&mut smtp, "staff@example.test", "550 5.7.1").await;
    rcpt(&mut smtp, "nobody@example.test", "550 5.1.1").await;
    let (mut submission, offer) = greeted(daemon.submission().await).await;
    assert!(offer.contains("AUTH "), "{offer}");
    rcpt(&mut submission, "far@example.org", "250").await;
    // What a list is called, "only these" or "all except these", does not turn it around.
    db.apply("update control.ip_list set mode = 'only these'").await;
    rcpt(&mut smtp, "far@example.org", "250").await;
    for (line, answer) in
        [("MAIL FROM:<printer@example.net>", "250"), ("RCPT TO:<far@example.org>", "250"), ("DATA", "354")]
    {
        say(&mut smtp, line, answer).await;
    }
    smtp.data("Subject: scan").await;
    smtp.expect("250").await;
    let queued: String = db.value("select address from queue.recipient").await;
    assert_eq!(queued, "far@example.org");
    db.apply("update control.smtp set relay_ip_list_id = null").await;
    rcpt(&mut smtp, "far@example.org", "550 5.7.1 Relaying denied").await;
}

// Senders ------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn users_send_as_themselves_where_the_policy_says_so() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut alice = user(&daemon, "alice").await;
    mail(&mut alice, "<bob@example.test>", "250").await;
    db.apply(
        "update control.smtp set mail_from_policy = 'own';
         insert into directory.alias (domain_id, local_part, targets)
           select id, unnest(array['sales', 'team', 'other']), unnest(array['{alice@example.test}', '{sales@example.test,bob@example.test}',
             '{bob@example.test}'])::text[] from directory.domain",
    )
    .await;
    for (sender, answer) in [
        ("alice@example.test", "250"),
        ("ALICE@Example.Test", "250"),
        ("alice+shop@example.test", "250"),
        ("sales@example.test", "250"),
        ("team@example.test", "250"),
        ("", "250"),
        ("bob@example.test", "553 5.7.1"),
        ("other@example.test", "553 5.7.1"),
        ("nobody@example.test", "553 5.7.1"),
        ("alice@example.net", "553 5.7.1"),
    ] {
        mail(&mut alice, &format!("<{sender}>"), answer).await;
    }
    db.apply(
        "insert into directory.sender_permission (account_id, pattern)
         select id, unnest(array['Alice@example.net', '*@shop.example']) from directory.account where local_part = 'alice'",
    )
    .await;
    for (sender, answer) in [
        ("alice@example.net", "250"),
        ("anybody@shop.example", "250"),
        ("anybody@sub.shop.example", "553 5.7.1"),
        ("bob@example.net", "553 5.7.1"),
    ] {
        mail(&mut alice, &format!("<{sender}>"), answer).await;
    }
    db.apply("update directory.account set mail_from_policy = 'any' where local_part = 'alice'").await;
    mail(&mut alice, "<bob@example.test>", "250").await;
    let said = db
        .refusal("insert into directory.sender_permission (account_id, pattern) select id, 'x' from directory.account")
        .await;
    assert!(said.contains("a sender is like someone@example.test"), "{said}");
}

#[tokio::test]
async fn strangers_do_not_send_as_our_users() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut smtp = stranger(&daemon).await;
    mail(&mut smtp, "<alice@example.test>", "250").await;
    mail(&mut smtp, "<nobody@example.test>", "550 5.1.0").await;
    db.apply("update control.smtp set refuse_unknown_local_senders = false").await;
    mail(&mut smtp, "<nobody@example.test>", "250").await;
    db.apply(
        "update control.smtp set local_senders_need_login = true, refuse_unknown_local_senders = true;
         insert into directory.domain_alias (name, domain_id) select 'example.other', id from directory.domain",
    )
    .await;
    for (sender, answer) in [
        ("alice@example.test", "550 5.7.1"),
        ("ALICE@EXAMPLE.TEST", "550 5.7.1"),
        ("alice+x@example.test", "550 5.7.1"),
        ("alice@example.other", "550 5.7.1"),
        ("nobody@example.other", "550 5.1.0"),
        ("", "250"),
        ("alice@example.net", "250"),
    ] {
        mail(&mut smtp, &format!("<{sender}>"), answer).await;
    }
    // An account differs from its domain, a domain from the server.
    db.apply("update directory.account set sender_needs_login = false where local_part = 'alice'").await;
    mail(&mut smtp, "<alice@example.test>", "250").await;
    mail(&mut smtp, "<bob@example.test>", "550 5.7.1").await;
    db.apply("update directory.domain set sender_needs_login = false").await;
    mail(&mut smtp, "<bob@example.test>", "250").await;
    db.apply(&format!(
        "update directory.domain set sender_needs_login = true; {} update control.smtp set relay_ip_list_id = 1",
        list(1, "127.0.0.1")
    ))
    .await;
    // Who may relay may also speak for our users.
    mail(&mut smtp, "<bob@example.test>", "250").await;
    // Who has logged in, of course.
    mail(&mut user(&daemon, "bob").await, "<bob@example.test>", "250").await;
}

#[tokio::test]
async fn senders_whose_domain_takes_no_mail() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let dns = crate::support::dns::Dns::start().await;
    dns.set("has-mx.test. 60 IN MX 10 mx.has-mx.test.");
    dns.set("has-a.test. 60 IN A 192.0.2.1");
    dns.set("null-mx.test. 60 IN MX 0 .");
    dns.fail("broken.test", crate::support::dns::Failing::ServFail);
    db.apply(&format!("update control.dns set servers = array['{}'], attempts = 1", dns.address())).await;
    let mut smtp = stranger(&daemon).await;
    mail(&mut smtp, "<a@nowhere.test>", "250").await;
    for (policy, nowhere) in [("defer", "450 4.1.8"), ("refuse", "550 5.1.8")] {
        db.apply(&format!("update control.smtp set unresolvable_sender = '{policy}'")).await;
        for (sender, answer) in [
            ("a@has-mx.test", "250"),
            ("a@has-a.test", "250"),
            ("a@null-mx.test", nowhere),
            ("a@nowhere.test", nowhere),
            ("a@broken.test", "450 4.4.3"),
            ("", "250"),
        ] {
            mail(&mut smtp, &format!("<{sender}>"), answer).await;
        }
    }
}

// What is offered ----------------------------------------------------------------------------------------------------

#[tokio::test]
async fn extensions_are_offered_where_they_make_sense() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut smtp, plain) = greeted(daemon.smtp().await).await;
    for keyword in ["DELIVERBY", "DSN", "SIZE ", "CHUNKING", "BINARYMIME", "LIMITS ", "STARTTLS"] {
        assert!(plain.contains(&format!("-{keyword}")), "{keyword} in {plain}");
    }
    for keyword in ["AUTH", "FUTURERELEASE", "MT-PRIORITY", "REQUIRETLS", "ETRN", "XCLIENT"] {
        assert!(!plain.contains(keyword), "{keyword} in {plain}");
    }
    for parameter in ["HOLDFOR=60", "MT-PRIORITY=1", "REQUIRETLS", "AUTH=<>"] {
        mail(&mut smtp, &format!("<a@example.net> {parameter}"), "555 5.5.4").await;
    }
    smtp.starttls().await;
    assert!(ehlo(&mut smtp).await.contains("-REQUIRETLS"));
    mail(&mut smtp, "<a@example.net> REQUIRETLS", "250").await;

    let (mut smtp, offer) = greeted(daemon.submission().await).await;
    for keyword in ["FUTURERELEASE 2592000 2", "MT-PRIORITY", "REQUIRETLS", "DELIVERBY", "AUTH "] {
        assert!(offer.contains(&format!("-{keyword}")), "{keyword} in {offer}");
    }
    smtp.login("alice").await;
    for (parameters, answer) in [
        ("HOLDFOR=60", "250"),
        ("HOLDFOR=2592001", "501 5.5.4"),
        ("HOLDUNTIL=2099-01-01T00:00:00Z", "501 5.5.4"),
        ("BY=60;R", "250"),
        ("BY=-60;N", "250"),
        ("BY=60;R HOLDFOR=120", "501 5.5.4"),
        ("MT-PRIORITY=4", "250 2.1.0"),
        ("MT-PRIORITY=9", "250 2.3.6 4 "),
        ("MT-PRIORITY=-9", "250 2.1.0"),
    ] {
        mail(&mut smtp, &format!("<alice@example.test> {parameters}"), answer).await;
    }
    db.apply(
        "update control.smtp set max_hold_seconds = 0, min_deliver_by_seconds = 100;
         update directory.account set max_priority = 9",
    )
    .await;
    let mut smtp = user(&daemon, "alice").await;
    let offer = ehlo(&mut smtp).await;
    assert!(offer.contains("DELIVERBY 100") && !offer.contains("FUTURERELEASE"), "{offer}");
    mail(&mut smtp, "<> HOLDFOR=60", "555 5.5.4").await;
    mail(&mut smtp, "<> BY=60;R", "550 5.4.7").await;
    mail(&mut smtp, "<> BY=60;N", "250").await;
    mail(&mut smtp, "<> MT-PRIORITY=9", "250 2.1.0").await;
}

#[tokio::test]
async fn what_is_asked_for_goes_into_the_queue() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply("update control.relay set enabled = false").await;
    let mut smtp = user(&daemon, "alice").await;
    say(&mut smtp, "MAIL FROM:<alice@example.test> MT-PRIORITY=6 BY=7200;RT HOLDFOR=3600 REQUIRETLS", "250")
        .await;
    say(&mut smtp, "RCPT TO:<far@example.org>", "250").await;
    say(&mut smtp, "DATA", "354").await;
    smtp.data("Subject: later").await;
    smtp.expect("250").await;
    let right: bool = db
        .value(
            "select m.priority = 4 and m.require_tls and m.deliver_by_return and m.deliver_by_trace
               and m.deliver_by between now() + interval '1 hour' and now() + interval '2 hours'
               and r.next_attempt_at between now() + interval '50 minutes' and now() + interval '1 hour'
             from queue.message m join queue.recipient r on r.message_id = m.id",
        )
        .await;
    assert!(right);
}

#[tokio::test]
async fn questions_are_answered_to_our_own_people() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply(
        "update control.relay set enabled = false; update directory.domain set is_default = true;
         insert into directory.alias (domain_id, local_part, targets)
         select id, 'team', '{alice@example.test,far@example.org}' from directory.domain",
    )
    .await;
    let mut smtp = stranger(&daemon).await;
    let mut alice = user(&daemon, "alice").await;
    for session in [&mut smtp, &mut alice] {
        say(session, "VRFY alice", "252").await;
        say(session, "EXPN team", "502").await;
        say(session, "ETRN example.org", "502").await;
    }
    db.apply("update control.smtp set vrfy = true, expn = true, etrn = true").await;
    say(&mut smtp, "VRFY alice", "252").await;
    say(&mut smtp, "EXPN team", "550 5.7.1").await;
    say(&mut smtp, "ETRN example.org", "459").await;
    say(&mut alice, "VRFY alice", "250 2.1.5 <alice@example.test>").await;
    say(&mut alice, "VRFY <bob@example.test>", "250 2.1.5 <bob@example.test>").await;
    say(&mut alice, "VRFY nobody", "550 5.1.1").await;
    say(&mut alice, "VRFY far@example.org", "252").await;
    let members = say(&mut alice, "EXPN team@example.test", "250").await;
    assert!(members.contains("<alice@example.test>") && members.contains("<far@example.org>"), "{members}");
    say(&mut alice, "EXPN alice", "550 5.1.1").await;

    say(&mut alice, "ETRN example.org", "251").await;
    say(&mut alice, "ETRN #x", "458").await;
    for recipient in ["a@example.org", "b@sub.example.org"] {
        say(&mut alice, "MAIL FROM:<alice@example.test>", "250").await;
        say(&mut alice, &format!("RCPT TO:<{recipient}>"), "250").await;
        say(&mut alice, "DATA", "354").await;
        alice.data("Subject: x").await;
        alice.expect("250").await;
    }
    db.sql("update queue.recipient set attempts = 1, next_attempt_at = now() + interval '1 day'").await;
    say(&mut alice, "ETRN example.org", "253 2.0.0 1 pending").await;
    let due = "select string_agg(address, ',' order by address) from queue.recipient where next_attempt_at <= now()";
    assert_eq!(db.value::<String>(due).await, "a@example.org");
    say(&mut alice, "ETRN @example.org", "253 2.0.0 2 pending").await;
    assert_eq!(db.value::<String>(due).await, "a@example.org,b@sub.example.org");
}

// Proxies ------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn xclient_is_heard_from_those_on_the_list() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut smtp, offer) = greeted(daemon.smtp().await).await;
    assert!(!offer.contains("XCLIENT"));
    say(&mut smtp, "XCLIENT ADDR=192.0.2.9", "500").await;
    db.apply(&format!(
        "{}{} insert into control.ip_list (id, name) values (3, 'banned');
         insert into control.ip_rule (list_id, pattern) values (3, '192.0.2.66');
         update control.service set ip_list_id = 3 where name = 'smtp';
         update control.smtp set xclient_ip_list_id = 1, relay_ip_list_id = 2",
        list(1, "127.0.0.1"),
        list(2, "192.0.2.9")
    ))
    .await;
    assert!(ehlo(&mut smtp).await.contains("XCLIENT NAME"));
    rcpt(&mut smtp, "far@example.org", "550 5.7.1").await;
    // What is refused ends the session: nobody goes on with the rights of another.
    say(&mut smtp, "XCLIENT ADDR=[UNAVAILABLE]", "501").await;
    smtp.expect_end().await;
    let (mut smtp, _) = greeted(daemon.smtp().await).await;
    say(&mut smtp, "XCLIENT ADDR=192.0.2.9 PORT=77 NAME=there.example REVERSE_NAME=there.example", "220")
        .await;
    say(&mut smtp, "MAIL FROM:<a@example.net>", "503").await;
    ehlo(&mut smtp).await;
    rcpt(&mut smtp, "far@example.org", "250").await;
    db.until("select exists (select 1 from live.session where peer = '192.0.2.9' and peer_port = 77)").await;
    // Who connected may say so again.
    say(&mut smtp, "XCLIENT ADDR=IPV6:2001:db8::1 HELO=other.example", "220").await;
    rcpt(&mut smtp, "far@example.org", "550 5.7.1").await;
    say(&mut smtp, "XCLIENT LOGIN=alice@example.test ADDR=192.0.2.8", "220").await;
    ehlo(&mut smtp).await;
    rcpt(&mut smtp, "far@example.org", "250").await;
    db.until("select exists (select 1 from live.session where login = 'alice@example.test')").await;
    say(&mut smtp, "XCLIENT ADDR=192.0.2.8", "220").await;
    ehlo(&mut smtp).await;
    rcpt(&mut smtp, "far@example.org", "550 5.7.1").await;
    db.until("select exists (select 1 from live.session where peer = '192.0.2.8' and login is null)").await;
    say(&mut smtp, "XCLIENT LOGIN=nobody@example.test", "454").await;
    smtp.expect_end().await;
    let (mut smtp, _) = greeted(daemon.smtp().await).await;
    say(&mut smtp, "XCLIENT ADDR=192.0.2.66", "554 5.7.1").await;
    smtp.expect_end().await;
    // The trace names the client.
    let mut smtp = stranger(&daemon).await;
    say(&mut smtp, "XCLIENT ADDR=192.0.2.10 HELO=there.example PROTO=ESMTP", "220").await;
    say(&mut smtp, "MAIL FROM:<a@example.net>", "250").await;
    say(&mut smtp, "RCPT TO:<alice@example.test>", "250").await;
    say(&mut smtp, "DATA", "354").await;
    smtp.data("Subject: x").await;
    smtp.expect("250").await;
    let traced: bool = db
        .value("select convert_from(prefix, 'UTF8') like '%there.example ([192.0.2.10])%' from store.message")
        .await;
    assert!(traced);
}

/// A connection that begins with these bytes.
async fn proxied(port: u16, language: Language, header: &[u8]) -> Dialogue {
    let mut dialogue = Dialogue::plain(port, language).await;
    dialogue.send_bytes(header).await;
    dialogue
}

const V1: &[u8] = b"PROXY TCP4 192.0.2.9 127.0.0.1 77 25\r\n";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x09\x7f\0\0\x01\0\x4d\0\x19";

#[tokio::test]
async fn a_proxy_says_who_its_client_is() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply(&format!(
        "{} insert into control.ip_list (id, name) values (3, 'banned');
         update control.service set ip_list_id = 3 where name in ('smtp', 'imap', 'pop3')",
        list(1, "127.0.0.1")
    ))
    .await;
    // Without a list the header is nothing but a bad command.
    proxied(daemon.port("smtp"), Language::Smtp, V1).await.expect("220").await;
    db.apply("update control.listener set proxy_ip_list_id = 1").await;
    db.until("select count(*) = 9 from live.listener_status where state = 'open'").await;
    for (service, language, greeting, id) in [
        ("smtp", Language::Smtp, "220", "smtp"),
        ("imap", Language::Imap, "* OK", "imap"),
        ("pop3", Language::Pop3, "+OK", "pop3"),
    ] {
        for header in [V1, V2] {
            let mut dialogue = proxied(daemon.port(service), language, header).await;
            dialogue.expect(greeting).await;
            db.until(&format!(
                "select exists (select 1 from live.session where service = '{id}' and peer = '192.0.2.9' and peer_port = 77)"
            ))
            .await;
        }
        // Who must send it and doesn't is cut off.
        let mut dialogue = proxied(daemon.port(service), language, b"EHLO client.example.net\r\n").await;
        assert!(dialogue.rest().await.is_empty());
    }
    // A health check.
    proxied(daemon.port("smtp"), Language::Smtp, b"PROXY UNKNOWN\r\n").await.expect("220").await;
    // Connection control is about the client.
    db.apply("insert into control.ip_rule (list_id, pattern) values (3, '192.0.2.9')").await;
    proxied(daemon.port("smtp"), Language::Smtp, V2).await.expect("554 5.7.1").await;
    proxied(daemon.port("smtp"), Language::Smtp, b"PROXY UNKNOWN\r\n").await.expect("220").await;
}

#[tokio::test]
async fn tls_begins_after_the_proxys_header() {
    let db = Database::new().await;
    let _daemon = Daemon::start(&db).await;
    let port = ReservedPort::any();
    db.apply(&format!(
        "{} insert into control.listener (service, address, port, tls, mode, proxy_ip_list_id)
         values ('smtp', '127.0.0.1', {}, 'implicit', 'submission', 1)",
        list(1, "127.0.0.1"),
        port.number()
    ))
    .await;
    db.until("select count(*) = 10 from live.listener_status where state = 'open'").await;
    let output = swaks(&[
        "--port",
        &port.number().to_string(),
        "--tlsc",
        "--auth",
        "PLAIN",
        "--auth-user",
        "alice@example.test",
        "--auth-password",
        PASSWORD,
        "--proxy-version",
        "2",
        "--proxy-family",
        "AF_INET",
        "--proxy-source",
        "192.0.2.9",
        "--proxy-source-port",
        "77",
        "--proxy-dest",
        "127.0.0.1",
        "--proxy-dest-port",
        "465",
    ])
    .await;
    assert!(output.contains("250 2.0.0 Accepted"), "{output}");
    let traced: bool =
        db.value("select convert_from(prefix, 'UTF8') like '%([192.0.2.9])%' from store.message").await;
    assert!(traced);
}

#[tokio::test]
async fn swaks_speaks_xclient() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply(&format!("{} update control.smtp set xclient_ip_list_id = 1", list(1, "127.0.0.1"))).await;
    let port = daemon.port("smtp").to_string();
    let output =
        swaks(&["--port", &port, "--xclient-addr", "192.0.2.9", "--xclient-helo", "there.example"]).await;
    assert!(output.contains("250 2.0.0 Accepted"), "{output}");
    let traced: bool =
        db.value("select convert_from(prefix, 'UTF8') like '%[192.0.2.9]%' from store.message").await;
    assert!(traced);
}

/// Sends a message from a user to himself.
async fn swaks(arguments: &[&str]) -> String {
    let output = tokio::process::Command::new("swaks")
        .args(["--server", "127.0.0.1", "--from", "alice@example.test", "--to", "alice@example.test"])
        .args(arguments)
        .output()
        .await
        .expect("swaks can be run");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_message_waits_for_its_time_wherever_it_goes() {
    let db = Database::new().await;
    let (daemon, sink, _net) = scene(&db, Script::default()).await;
    db.apply("update control.smtp set etrn = true").await;
    let mut smtp = alice(&daemon).await;
    let begun = Instant::now();
    let recipients = ["<bob@example.test>", "<bob@far.test>"];
    send(&mut smtp, "<alice@example.test> HOLDFOR=2 MT-PRIORITY=3", &recipients, "x").await;
    let held: String = db
        .value(
            "select string_agg(r.address, ' ' order by r.address) from queue.recipient r join queue.message m on m.id = r.message_id
             where r.next_attempt_at > m.received_at + interval '1 second' and m.priority = 3 and r.state = 'waiting'",
        )
        .await;
    assert_eq!(held, "bob@example.test bob@far.test");
    // Who asks for the mail of a domain does not get what is held.
    say(&mut smtp, "ETRN far.test", "25").await;
    assert_eq!(sink.wait_for(1).await[0].addresses(), ["bob@far.test"]);
    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
    db.until("select count(*) = 1 from report.message where address = 'bob@example.test'").await;
    db.until(QUEUE_IS_EMPTY).await;
}
