//! Screening, as hosts that bring mail see it: DNS lists, greylisting, the traffic service, limits, checks, the tarpit.
//!
//! Peers are addresses of 127.0.0.0/8, the DNS is the test's. That nodes know of each other is seen on two of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mailwright::control::Config;
use mailwright::screen::host::{ReverseName, check};
use mailwright::screen::{Refusal, Stranger};

use crate::support::cluster::{Cluster, Durability};
use crate::support::dialogue::{Dialogue, Language};
use crate::support::dns::Failing;
use crate::support::{Daemon, Database, Dns, ask_until};

/// A daemon that asks the test's name server, where alice, bob and carol live.
async fn start<'a>(db: &'a Database, dns: &Dns) -> Daemon<'a> {
    db.sql(&format!(
        "update control.dns set servers = array['{}'];
         update control.server set hostname = 'mail.example.test'",
        dns.address()
    ))
    .await;
    Daemon::start(db).await
}

/// A session from 127.0.0.`last` that has said EHLO.
async fn peer(daemon: &Daemon<'_>, last: u8) -> Dialogue {
    peer_named(daemon, last, "client.example.net").await
}

async fn peer_named(daemon: &Daemon<'_>, last: u8, name: &str) -> Dialogue {
    let mut smtp = Dialogue::plain_from([127, 0, 0, last], daemon.port("smtp"), Language::Smtp).await;
    smtp.expect("220").await;
    smtp.send(&format!("EHLO {name}")).await;
    smtp.expect("250").await;
    smtp
}

async fn user(daemon: &Daemon<'_>, name: &str) -> Dialogue {
    let mut smtp = daemon.submission().await;
    smtp.expect("220").await;
    smtp.send("EHLO client.example.net").await;
    smtp.expect("250").await;
    smtp.login(name).await;
    smtp
}

/// What RCPT is answered; the session is ready for another one afterwards.
async fn rcpt(smtp: &mut Dialogue, from: &str, to: &str) -> String {
    smtp.send(&format!("MAIL FROM:<{from}>")).await;
    let answer = smtp.answer().await;
    if !answer.starts_with("250") {
        return answer;
    }
    smtp.send(&format!("RCPT TO:<{to}>")).await;
    let answer = smtp.answer().await;
    if !answer.starts_with("421") {
        smtp.send("RSET").await;
        smtp.expect("250").await;
    }
    answer
}

/// Sends a message of this many bytes to these, and returns the answer to it, or the first refusal before.
async fn send(smtp: &mut Dialogue, from: &str, to: &[&str], bytes: usize) -> String {
    smtp.send(&format!("MAIL FROM:<{from}>")).await;
    let answer = smtp.answer().await;
    if !answer.starts_with("250") {
        return answer;
    }
    for to in to {
        smtp.send(&format!("RCPT TO:<{to}>")).await;
        let answer = smtp.answer().await;
        if !answer.starts_with("250") {
            smtp.send("RSET").await;
            smtp.expect("250").await;
            return answer;
        }
    }
    smtp.send("DATA").await;
    smtp.expect("354").await;
    let body = "0123456789012345678901234567890123456789012345678901234567890123456789012345678\r\n"
        .repeat(bytes / 81);
    smtp.send_bytes(format!("From: <{from}>\r\nSubject: x\r\n\r\n{body}\r\n.\r\n").as_bytes()).await;
    smtp.answer().await
}

/// Asks again and again until the answer begins so.
async fn until_rcpt(smtp: &mut Dialogue, from: &str, to: &str, expected: &str) {
    ask_until(async || {
        let answer = rcpt(smtp, from, to).await;
        if answer.starts_with(expected) {
            Ok(())
        } else {
            Err(format!("RCPT was to be answered {expected}, came: {answer}"))
        }
    })
    .await;
}

/// The header that the last message to an account got from us.
async fn prefix(db: &Database, who: &str) -> String {
    db.value(&format!(
        "select convert_from(m.prefix, 'UTF8') from store.message m join directory.account a on a.id = m.account_id
         where a.local_part = '{who}' order by m.uid desc limit 1"
    ))
    .await
}

#[track_caller]
fn begins(answer: &str, expected: &str) {
    assert!(answer.starts_with(expected), "should be {expected}, came: {answer}");
}

const SENDER: &str = "sender@example.net";
const ALICE: &str = "alice@example.test";

// DNS lists ----------------------------------------------------------------------------------------------------------

/// Only this list, the service on.
async fn only_list(db: &Database, columns: &str, values: &str) {
    db.apply(&format!(
        "delete from control.rbl; insert into control.rbl ({columns}) values ({values});
         update control.service set enabled = true where name = 'rbl'"
    ))
    .await;
}

#[tokio::test]
async fn a_listed_host_is_refused_marked_or_let_in_as_the_row_says() {
    let (db, dns) = (Database::new().await, Dns::start().await);
    let daemon = start(&db, &dns).await;
    dns.set("5.0.0.127.bl.test. 60 IN A 127.0.0.2\n5.0.0.127.bl.test. 60 IN TXT \"see https://bl.test/5\"");
    let (mut listed, mut other) = (peer(&daemon, 5).await, peer(&daemon, 6).await);
    db.apply("delete from control.rbl; insert into control.rbl (zone) values ('bl.test')").await;
    // The service is off in a new installation.
    begins(&rcpt(&mut listed, SENDER, ALICE).await, "250");
    db.apply("update control.service set enabled = true where name = 'rbl'").await;
    let answer = rcpt(&mut listed, SENDER, ALICE).await;
    begins(&answer, "550 5.7.1");
    assert!(answer.contains("127.0.0.5 is listed by bl.test: see https://bl.test/5"), "{answer}");
    begins(&rcpt(&mut other, SENDER, ALICE).await, "250");
    // Its postmaster may ask why.
    db.apply(
        "insert into directory.alias (domain_id, local_part, targets) select id, 'postmaster', '{alice@example.test}' from directory.domain",
    )
    .await;
    begins(&rcpt(&mut listed, SENDER, "postmaster@example.test").await, "250");
    db.apply("update control.rbl_settings set exempt_postmaster = false").await;
    begins(&rcpt(&mut listed, SENDER, "postmaster@example.test").await, "550 5.7.1");

    db.apply("update control.rbl set action = 'tempfail'").await;
    begins(&rcpt(&mut listed, SENDER, ALICE).await, "451 4.7.1");
    db.apply("update control.rbl set action = 'mark'").await;
    begins(&send(&mut listed, SENDER, &[ALICE], 0).await, "250");
    let marked = prefix(&db, "alice").await;
    assert!(marked.contains("X-Mailwright-RBL: bl.test (127.0.0.2); score=0\r\n"), "{marked}");
    begins(&send(&mut other, SENDER, &[ALICE], 0).await, "250");
    assert!(!prefix(&db, "alice").await.contains("X-Mailwright-RBL"));

    // Answers that don't count.
    db.apply("update control.rbl set action = 'reject', answers = '{127.0.0.3-9}'").await;
    begins(&rcpt(&mut listed, SENDER, ALICE).await, "250");
    db.apply("update control.rbl set answers = '{127.0.0.3,127.0.*.1-2}'").await;
    begins(&rcpt(&mut listed, SENDER, ALICE).await, "550");
    let refusal = db.refusal("update control.rbl set answers = '{10.0.0.1}'").await;
    assert!(refusal.contains("write one to fifty like 127.0.0.2"), "{refusal}");

    // A trusted address, and the service off again.
    db.apply(
        "insert into control.ip_list (id, name) values (9, 'friends'); insert into control.ip_rule (list_id, pattern) values (9, '127.0.0.5');
         update control.rbl_settings set trusted_ip_list_id = 9",
    )
    .await;
    begins(&rcpt(&mut listed, SENDER, ALICE).await, "250");
    db.apply("update control.rbl_settings set trusted_ip_list_id = null").await;
    begins(&rcpt(&mut listed, SENDER, ALICE).await, "550");
    db.apply("update control.service set enabled = false where name = 'rbl'").await;
    begins(&rcpt(&mut listed, SENDER, ALICE).await, "250");
}

#[tokio::test]
async fn who_has_logged_in_is_not_looked_up() {
    let (db, dns) = (Database::new().await, Dns::start().await);
    let daemon = start(&db, &dns).await;
    dns.set("1.0.0.127.bl.test. 60 IN A 127.0.0.2");
    only_list(&db, "zone", "'bl.test'").await;
    begins(&rcpt(&mut peer(&daemon, 1).await, SENDER, ALICE).await, "550");
    let asked = dns.questions("1.0.0.127.bl.test");
    assert!(asked > 0);
    begins(&send(&mut user(&daemon, "bob").await, "bob@example.test", &[ALICE], 0).await, "250");
    assert_eq!(dns.questions("1.0.0.127.bl.test"), asked);
}

#[tokio::test]
async fn weights_domains_and_good_senders() {
    let (db, dns) = (Database::new().await, Dns::start().await);
    let daemon = start(&db, &dns).await;
    dns.set("5.0.0.127.a.test. 60 IN A 127.0.0.2");
    dns.set("5.0.0.127.b.test. 60 IN A 127.0.0.4");
    dns.set("spam.example.dbl.test. 60 IN A 127.0.1.2");
    dns.set("5.0.0.127.good.test. 60 IN A 127.0.9.3");
    only_list(&db, "zone, action, weight", "'a.test', 'score', 6), ('b.test', 'score', 5").await;
    let mut smtp = peer(&daemon, 5).await;
    let answer = rcpt(&mut smtp, SENDER, ALICE).await;
    begins(&answer, "550 5.7.1");
    assert!(answer.contains("a.test, b.test"), "{answer}");
    db.apply("update control.rbl_settings set reject_score = 0").await;
    begins(&send(&mut smtp, SENDER, &[ALICE], 0).await, "250");
    assert!(prefix(&db, "alice").await.contains("a.test (127.0.0.2),\r\n\tb.test (127.0.0.4); score=11\r\n"));
    // A list of domains, asked for that of MAIL FROM and that of EHLO.
    only_list(&db, "zone, kind, answers", "'dbl.test', 'domain', '{127.0.1.2-106}'").await;
    begins(&rcpt(&mut smtp, "x@spam.example", ALICE).await, "550");
    begins(&rcpt(&mut smtp, SENDER, ALICE).await, "250");
    begins(&rcpt(&mut peer_named(&daemon, 6, "spam.example").await, SENDER, ALICE).await, "550");
    // Good senders pass, whatever others say.
    only_list(
        &db,
        "zone, action, answers",
        "'a.test', 'reject', '{127.0.0.2}'), ('good.test', 'allow', '{127.0.*.2-3}'",
    )
    .await;
    begins(&rcpt(&mut smtp, SENDER, ALICE).await, "250");
    dns.remove("5.0.0.127.good.test", "A");
    db.apply("update control.dns set cache_entries = 1000").await;
    begins(&rcpt(&mut peer(&daemon, 5).await, SENDER, ALICE).await, "550");
}

#[tokio::test]
async fn a_list_that_fails_lists_nobody_and_is_shown() {
    let (db, dns) = (Database::new().await, Dns::start().await);
    let daemon = start(&db, &dns).await;
    dns.set("5.0.0.127.refusing.test. 60 IN A 127.255.255.254");
    dns.set("5.0.0.127.works.test. 60 IN A 127.0.0.2");
    dns.fail("5.0.0.127.silent.test", Failing::Silent);
    dns.fail("5.0.0.127.broken.test", Failing::ServFail);
    db.apply("update control.rbl_settings set timeout_seconds = 1").await;
    only_list(&db, "zone", "'refusing.test'), ('silent.test'), ('broken.test'").await;
    let begin = Instant::now();
    begins(&rcpt(&mut peer(&daemon, 5).await, SENDER, ALICE).await, "250");
    // All are asked at the same time.
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    db.until("select count(*) = 3 from report.rbl where failed > 0").await;
    let errors: String =
        db.value("select string_agg(zone || ': ' || error, '; ' order by zone) from report.rbl").await;
    assert!(errors.contains("refusing.test: it answers 127.255.255.254"), "{errors}");
    assert!(errors.contains("silent.test: no answer within 1 seconds"), "{errors}");
    // The silent one is left alone for a while, and holds nobody up.
    let asked = dns.questions("5.0.0.127.silent.test");
    begins(&rcpt(&mut peer(&daemon, 5).await, SENDER, ALICE).await, "250");
    assert_eq!(dns.questions("5.0.0.127.silent.test"), asked);
    db.apply("insert into control.rbl (zone) values ('works.test')").await;
    begins(&rcpt(&mut peer(&daemon, 5).await, SENDER, ALICE).await, "550");
}

#[tokio::test]
async fn a_trusted_domain_must_be_proven() {
    let (db, dns) = (Database::new().await, Dns::start().await);
    let daemon = start(&db, &dns).await;
    for last in [5, 6, 7, 8] {
        dns.set(&format!("{last}.0.0.127.bl.test. 60 IN A 127.0.0.2"));
    }
    dns.set("friend.example. 60 IN A 127.0.0.5");
    dns.set("friend.example. 60 IN MX 10 mx.friend.example.");
    dns.set("mx.friend.example. 60 IN A 127.0.0.6");
    dns.set("friend.example. 60 IN TXT \"v=spf1 ip4:127.0.0.7 -all\"");
    only_list(&db, "zone", "'bl.test'").await;
    let friend = "ann@friend.example";
    begins(&rcpt(&mut peer(&daemon, 5).await, friend, ALICE).await, "550");
    db.apply("insert into control.trusted_sender_domain (domain) values ('friend.example')").await;
    for (last, answer) in [(5, "250"), (6, "250"), (7, "250"), (8, "550")] {
        begins(&rcpt(&mut peer(&daemon, last).await, friend, ALICE).await, answer);
        begins(&rcpt(&mut peer(&daemon, last).await, SENDER, ALICE).await, "550");
    }
}

// Greylisting --------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_greylisted_sender_comes_again_to_whatever_node() {
    // A cluster of its own: transactions are counted below, and those of other tests are not to be among them.
    let cluster = Arc::new(Cluster::start_new(Durability::None));
    let (db, dns) = (Database::on(&cluster).await, Dns::start().await);
    let one = start(&db, &dns).await;
    let two = one.second_node().await;
    db.apply("update control.greylist set enabled = true, delay_seconds = 2").await;
    begins(&rcpt(&mut peer(&one, 5).await, SENDER, ALICE).await, "451 4.7.1");
    begins(&rcpt(&mut peer(&one, 5).await, SENDER, ALICE).await, "451 4.7.1");
    db.until("select count(*) = 1 from screen.greylist where passed_at is null and network = '127.0.0.0/24'")
        .await;
    db.until("select first_at < now() - interval '2 seconds' from screen.greylist").await;
    // It comes again to the other node, from a neighbour; and is known on the first.
    begins(&rcpt(&mut peer(&two, 6).await, SENDER, ALICE).await, "250");
    db.until("select passed from report.greylist").await;
    let mut known = peer(&one, 5).await;
    begins(&rcpt(&mut known, SENDER, ALICE).await, "250");
    begins(&rcpt(&mut known, SENDER, "bob@example.test").await, "451");
    begins(&rcpt(&mut known, "other@example.net", ALICE).await, "451");
    begins(&rcpt(&mut known, "", ALICE).await, "451");
    // Who is known costs no commit, nor does what is counted: the daemon writes now and then, and nothing for each of these.
    db.apply(
        "update control.smtp_limit set peer_messages_per_minute = 100000, peer_recipients_per_minute = 100000;
         update control.service set enabled = true where name = 'traffic'",
    )
    .await;
    let transactions = "select pg_snapshot_xmax(pg_current_snapshot())::text::bigint";
    db.until("select count(*) = 4 from screen.greylist").await;
    let before: i64 = db.value(transactions).await;
    let begin = Instant::now();
    for _ in 0..200 {
        begins(&rcpt(&mut known, SENDER, ALICE).await, "250");
    }
    let written = db.value::<i64>(transactions).await - before;
    let beats = 20 + 10 * i64::try_from(begin.elapsed().as_secs()).unwrap();
    assert!(
        written < beats,
        "{written} transactions have written for 200 recipients, in {:?}",
        begin.elapsed()
    );
    // Who is deleted is new again, and a network that somebody lets in need not wait, at once.
    db.apply("delete from screen.greylist where recipient = 'alice@example.test'").await;
    begins(&rcpt(&mut known, SENDER, ALICE).await, "451");
    db.apply(
        "insert into screen.greylist_network (network, passed, last_at) values ('127.0.0.0/24', 1000000, now())
         on conflict (network) do update set passed = excluded.passed, last_at = now()",
    )
    .await;
    begins(&rcpt(&mut known, "stranger@example.net", ALICE).await, "250");
    // Users are not greylisted, nor is anybody when it is off.
    begins(&rcpt(&mut user(&one, "bob").await, "bob@example.test", ALICE).await, "250");
    db.apply("update control.greylist set enabled = false").await;
    db.apply("delete from screen.greylist_network").await;
    begins(&rcpt(&mut known, "other@example.net", ALICE).await, "250");
}

#[tokio::test]
async fn greylisting_knows_whom_to_leave_alone() {
    let (db, dns) = (Database::new().await, Dns::start().await);
    let daemon = start(&db, &dns).await;
    dns.set("good.example. 60 IN TXT \"v=spf1 ip4:127.0.0.5 -all\"");
    db.apply("update control.greylist set enabled = true").await;
    let mut smtp = peer(&daemon, 5).await;
    begins(&rcpt(&mut smtp, "x@good.example", ALICE).await, "250");
    db.apply("update control.greylist set skip_spf_pass = false").await;
    begins(&rcpt(&mut smtp, "x@good.example", ALICE).await, "451");
    // 127.0.0.1 is called localhost, whatever name servers say (RFC 6761).
    let mut named = peer_named(&daemon, 1, "localhost").await;
    begins(&rcpt(&mut named, SENDER, ALICE).await, "451");
    db.apply("update control.greylist set skip_confirmed_names = true").await;
    begins(&rcpt(&mut named, SENDER, ALICE).await, "250");
    begins(&rcpt(&mut smtp, SENDER, ALICE).await, "451");
    // A network that has passed often enough passes at once.
    db.apply("update control.greylist set delay_seconds = 1, allow_after = 2").await;
    for from in ["a@example.net", "b@example.net"] {
        begins(&rcpt(&mut smtp, from, ALICE).await, "451");
    }
    db.until("select count(*) = 2 from screen.greylist where sender in ('a@example.net', 'b@example.net')")
        .await;
    db.until("select max(first_at) < now() - interval '1 second' from screen.greylist").await;
    for from in ["a@example.net", "b@example.net"] {
        begins(&rcpt(&mut smtp, from, ALICE).await, "250");
    }
    db.until("select sum(passed) >= 2 from screen.greylist_network").await;
    begins(&rcpt(&mut smtp, "c@example.net", ALICE).await, "250");
}

// Traffic ------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn incoming_traffic_is_limited_on_all_nodes_together() {
    let (db, dns) = (Database::new().await, Dns::start().await);
    let one = start(&db, &dns).await;
    let two = one.second_node().await;
    db.apply(
        "update control.traffic set interval_minutes = 1440; update control.service set enabled = true where name = 'traffic';
         select control.set_traffic_rules('incoming', E'*:4\\n127.0.0.9:0\\n\\n 127.0.0.8 : 100/1 ')",
    )
    .await;
    // Counted for each recipient.
    let mut smtp = peer(&one, 5).await;
    begins(&send(&mut smtp, SENDER, &[ALICE, "bob@example.test", "carol@example.test"], 0).await, "250");
    begins(&send(&mut smtp, SENDER, &[ALICE, "bob@example.test"], 0).await, "452 4.7.1");
    begins(&send(&mut smtp, SENDER, &[ALICE], 0).await, "250");
    begins(&rcpt(&mut smtp, SENDER, ALICE).await, "452 4.7.1");
    db.until("select exists (select 1 from report.traffic where direction = 'incoming' and key = '127.0.0.5' and messages = 4)").await;
    until_rcpt(&mut peer(&two, 5).await, SENDER, ALICE, "452").await;
    // Each host by itself, and the exempted one.
    begins(&rcpt(&mut peer(&two, 6).await, SENDER, ALICE).await, "250");
    let mut exempt = peer(&one, 9).await;
    for _ in 0..6 {
        begins(&send(&mut exempt, SENDER, &[ALICE], 0).await, "250");
    }
    // By size: at the end, or at RCPT where it was declared.
    let mut large = peer(&one, 8).await;
    begins(&send(&mut large, SENDER, &[ALICE], 700_000).await, "250");
    begins(&send(&mut large, SENDER, &[ALICE], 700_000).await, "452 4.7.1");
    large.send(&format!("MAIL FROM:<{SENDER}> SIZE=700000")).await;
    large.expect("250").await;
    large.send(&format!("RCPT TO:<{ALICE}>")).await;
    large.expect("452 4.7.1").await;
    large.send("RSET").await;
    large.expect("250").await;
    begins(&send(&mut large, SENDER, &[ALICE], 100_000).await, "250");
    // Users are not counted as incoming.
    let mut bob = user(&one, "bob").await;
    for _ in 0..6 {
        begins(&send(&mut bob, "bob@example.test", &[ALICE], 0).await, "250");
    }
    // Room by SQL, and the end of it all.
    db.sql("delete from live.counter where key = '127.0.0.5'").await;
    until_rcpt(&mut smtp, SENDER, ALICE, "250").await;
    db.apply("update control.service set enabled = false where name = 'traffic'").await;
    for _ in 0..6 {
        begins(&send(&mut smtp, SENDER, &[ALICE], 0).await, "250");
    }
}

#[tokio::test]
async fn outgoing_traffic_is_what_users_send_elsewhere() {
    let (db, dns) = (Database::new().await, Dns::start().await);
    let daemon = start(&db, &dns).await;
    db.apply(
        "update control.traffic set interval_minutes = 1440; update control.service set enabled = true where name = 'traffic';
         select control.set_traffic_rules('outgoing', E'*:2\\nalice@example.test:0')",
    )
    .await;
    let there = "someone@elsewhere.example";
    let (mut alice, mut bob) = (user(&daemon, "alice").await, user(&daemon, "bob").await);
    for _ in 0..4 {
        begins(&send(&mut alice, ALICE, &[there], 0).await, "250");
        begins(&send(&mut bob, "bob@example.test", &[ALICE], 0).await, "250");
    }
    begins(&send(&mut bob, "bob@example.test", &[there, ALICE], 0).await, "250");
    begins(&send(&mut bob, "bob@example.test", &[there, "other@elsewhere.example"], 0).await, "452 4.7.1");
    begins(&send(&mut bob, "bob@example.test", &[there], 0).await, "250");
    begins(&send(&mut bob, "bob@example.test", &[there], 0).await, "452 4.7.1");
    begins(&send(&mut bob, "bob@example.test", &[ALICE], 0).await, "250");
    // A rule for the domain counts all of its users together.
    db.apply("select control.set_traffic_rules('outgoing', 'example.test:1')").await;
    begins(&send(&mut alice, ALICE, &[there], 0).await, "250");
    begins(&send(&mut bob, "bob@example.test", &[there], 0).await, "452 4.7.1");
    db.until("select exists (select 1 from report.traffic where direction = 'outgoing' and key = 'example.test' and messages = 1)").await;
}

#[tokio::test]
async fn traffic_rules_are_entered_in_the_classic_form_and_kept_as_history() {
    let (db, dns) = (Database::new().await, Dns::start().await);
    let _daemon = start(&db, &dns).await;
    let rules =
        "select string_agg(pattern || ':' || max_messages || '/' || max_megabytes, ' ' order by id) from
                 control.set_traffic_rules('incoming', E'*:100/50\\r\\n 10.*:7\\n::1:0/3\\n')";
    assert_eq!(db.value::<String>(rules).await, "*:100/50 10.*:7/0 ::1:0/3");
    for (text, reason) in [
        ("10.0.0.1", "is no traffic rule"),
        ("10.0.0.999:1", "incoming rules are for IP patterns"),
        ("*:1\n*:2", "there are two rules"),
    ] {
        let refusal = db.refusal(&format!("select control.set_traffic_rules('incoming', '{text}')")).await;
        assert!(refusal.contains(reason), "{text}: {refusal}");
    }
    assert!(
        db.refusal("select control.set_traffic_rules('outgoing', 'a b:1')").await.contains("traffic rule")
    );
    // An interval that is over.
    db.sql(
        "insert into live.counter (kind, key, window_start, ends_at, amount, bytes) values
         ('incoming', '10.0.0.1', '2026-01-01 12:00+00', '2026-01-01 12:15+00', 5, 500),
         ('peer messages', 'peer:10.0.0.1', '2026-01-01 12:00+00', '2026-01-01 12:01+00', 5, 0)",
    )
    .await;
    db.until(
        "select exists (select 1 from log.traffic where key = '10.0.0.1' and messages = 5 and bytes = 500)",
    )
    .await;
    assert_eq!(db.value::<i64>("select count(*) from live.counter where key like '%10.0.0.1'").await, 0);
}

// Limits -------------------------------------------------------------------------------------------------------------

/// Sends until it is refused so; a window may end in between.
async fn until_refused(smtp: &mut Dialogue, from: &str, to: &str, limit: usize) {
    for _ in 0..=2 * limit {
        let answer = rcpt(smtp, from, to).await;
        if !answer.starts_with("250") {
            return begins(&answer, "452 4.7.1");
        }
    }
    panic!("more than twice {limit} passed");
}

#[tokio::test]
async fn hosts_and_accounts_have_limits() {
    let (db, dns) = (Database::new().await, Dns::start().await);
    let daemon = start(&db, &dns).await;
    db.apply("update control.smtp_limit set peer_messages_per_minute = 5").await;
    until_refused(&mut peer(&daemon, 5).await, SENDER, ALICE, 5).await;
    db.apply("update control.smtp_limit set peer_messages_per_minute = 0, peer_recipients_per_minute = 5")
        .await;
    until_refused(&mut peer(&daemon, 6).await, SENDER, ALICE, 5).await;
    db.apply("update control.smtp_limit set peer_recipients_per_minute = 0").await;
    begins(&rcpt(&mut peer(&daemon, 6).await, SENDER, ALICE).await, "250");

    db.apply("update control.smtp_limit set account_recipients_per_hour = 3").await;
    let (mut alice, mut bob) = (user(&daemon, "alice").await, user(&daemon, "bob").await);
    until_refused(&mut alice, ALICE, "bob@example.test", 3).await;
    begins(&rcpt(&mut bob, "bob@example.test", ALICE).await, "250");
    // The domain's own limit, then the account's.
    db.apply("update directory.domain set max_recipients_per_hour = 0").await;
    begins(&rcpt(&mut alice, ALICE, "bob@example.test").await, "250");
    db.apply("update directory.account set max_recipients_per_hour = 1 where local_part = 'alice'").await;
    begins(&rcpt(&mut alice, ALICE, "bob@example.test").await, "452 4.7.1");
    db.apply(
        "update directory.account set max_recipients_per_hour = null, max_messages_per_hour = 2 where local_part = 'alice'",
    )
    .await;
    until_refused(&mut alice, ALICE, "bob@example.test", 2).await;
    until_refused(&mut alice, ALICE, "bob@example.test", 0).await;
    db.until("select count(*) >= 2 from report.rate").await;

    db.apply("update control.smtp_limit set peer_connections_per_minute = 3").await;
    let mut refused = false;
    for _ in 0..8 {
        let mut smtp = Dialogue::plain_from([127, 0, 0, 7], daemon.port("smtp"), Language::Smtp).await;
        let greeting = smtp.answer().await;
        if greeting.starts_with("421 4.7.0") {
            smtp.expect_end().await;
            refused = true;
            break;
        }
    }
    assert!(refused);
}

#[tokio::test]
async fn who_guesses_addresses_is_sent_away() {
    let (db, dns) = (Database::new().await, Dns::start().await);
    let one = start(&db, &dns).await;
    let two = one.second_node().await;
    db.apply("update control.smtp_limit set peer_unknown_recipients_per_hour = 3").await;
    let mut smtp = peer(&one, 5).await;
    // The hour may end in between.
    for guess in 0.. {
        let answer = rcpt(&mut smtp, SENDER, &format!("guess{guess}@example.test")).await;
        if answer.starts_with("421 4.7.0") {
            smtp.expect_end().await;
            break;
        }
        begins(&answer, "550 5.1.1");
        assert!(guess < 7);
    }
    let mut again = Dialogue::plain_from([127, 0, 0, 5], one.port("smtp"), Language::Smtp).await;
    again.expect("421 4.7.0").await;
    again.expect_end().await;
    // And on the other node, as soon as it has asked.
    ask_until(async || {
        let mut there = Dialogue::plain_from([127, 0, 0, 5], two.port("smtp"), Language::Smtp).await;
        let answer = there.answer().await;
        if answer.starts_with("421") { Ok(()) } else { Err(answer) }
    })
    .await;
    begins(&rcpt(&mut peer(&one, 6).await, SENDER, ALICE).await, "250");
}

#[tokio::test]
async fn errors_are_answered_slowly_and_hold_up_nobody_else() {
    let (db, dns) = (Database::new().await, Dns::start().await);
    let mut daemon = start(&db, &dns).await;
    db.apply("update control.smtp_limit set tarpit_after_errors = 1, tarpit_seconds = 2").await;
    let (mut slow, mut other) = (peer(&daemon, 5).await, peer(&daemon, 6).await);
    slow.send("NONSENSE").await;
    slow.expect("500").await;
    let begin = Instant::now();
    slow.send("NONSENSE").await;
    db.until("select exists (select 1 from live.session where state = 'tarpit')").await;
    begins(&rcpt(&mut other, SENDER, ALICE).await, "250");
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    slow.expect("500").await;
    assert!(begin.elapsed() >= Duration::from_secs(2), "{:?}", begin.elapsed());
    // Neither a termination nor a stop waits for it.
    db.apply("update control.smtp_limit set tarpit_seconds = 60").await;
    let mut ended = peer(&daemon, 7).await;
    for smtp in [&mut slow, &mut ended] {
        smtp.send("NONSENSE").await;
    }
    ended.expect("500").await;
    ended.send("NONSENSE").await;
    db.until("select count(*) = 2 from live.session where state = 'tarpit'").await;
    let begin = Instant::now();
    db.sql("delete from live.session where peer = '127.0.0.7'").await;
    ended.expect("500").await;
    ended.expect("421").await;
    assert!(daemon.terminate().await.success());
    slow.expect("500").await;
    slow.expect("421").await;
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}

// Checks of the host -------------------------------------------------------------------------------------------------

#[tokio::test]
async fn hosts_are_checked_as_the_settings_say() {
    let (db, dns) = (Database::new().await, Dns::start().await);
    let daemon = start(&db, &dns).await;
    dns.set("mx.good.example. 60 IN A 127.0.0.5");
    dns.fail("trouble.example", Failing::ServFail);
    // All of 127.0.0.0/8 is called localhost, and localhost is 127.0.0.1, whatever name servers say (RFC 6761).
    for (column, last, helo) in [
        ("reverse_name_unconfirmed", 6, "mx.good.example"),
        ("helo_not_qualified", 1, "localhost"),
        ("helo_unknown", 1, "nowhere.example"),
        ("helo_is_us", 1, "mail.example.test"),
        ("helo_wrong_literal", 1, "[192.0.2.1]"),
    ] {
        let mut smtp = peer_named(&daemon, last, helo).await;
        let mut good = peer_named(&daemon, 1, "mx.good.example").await;
        let mut trouble = peer_named(&daemon, 1, "trouble.example").await;
        for (action, answer) in
            [("tempfail", "451 4.7.1"), ("reject", "550 5.7.1"), ("off", "250"), ("mark", "250")]
        {
            db.apply(&format!("update control.connection_check set {column} = '{action}'")).await;
            let came = rcpt(&mut smtp, SENDER, ALICE).await;
            assert!(came.starts_with(answer), "{column} {action}: {came}");
            begins(&rcpt(&mut good, SENDER, ALICE).await, "250");
            begins(&rcpt(&mut trouble, SENDER, ALICE).await, "250");
        }
        begins(&send(&mut smtp, SENDER, &[ALICE], 0).await, "250");
        let mark = column.replace('_', "-");
        let marked = prefix(&db, "alice").await;
        assert!(marked.contains(&format!("X-Mailwright-Check: {mark}\r\n")), "{marked}");
        begins(&send(&mut good, SENDER, &[ALICE], 0).await, "250");
        assert!(!prefix(&db, "alice").await.contains("X-Mailwright-Check"));
        db.apply(&format!("update control.connection_check set {column} = 'off'")).await;
    }
    // The name is told where it is known and true.
    db.apply("update control.connection_check set no_reverse_name = 'mark'").await;
    begins(&send(&mut peer_named(&daemon, 1, "other.example").await, SENDER, &[ALICE], 0).await, "250");
    let told = prefix(&db, "alice").await;
    assert!(told.contains("Received: from other.example (localhost [127.0.0.1])"), "{told}");
    begins(&send(&mut peer_named(&daemon, 6, "other.example").await, SENDER, &[ALICE], 0).await, "250");
    assert!(prefix(&db, "alice").await.contains("Received: from other.example ([127.0.0.6])"));
}

#[tokio::test]
async fn a_host_has_a_name_that_leads_back() {
    let (db, dns) = (Database::new().await, Dns::start().await);
    db.sql(&format!(
        "update control.dns set servers = array['{}'];
         update control.connection_check set no_reverse_name = 'tempfail', reverse_name_unconfirmed = 'reject'",
        dns.address()
    ))
    .await;
    dns.set("5.2.0.192.in-addr.arpa. 60 IN PTR other.example.\n5.2.0.192.in-addr.arpa. 60 IN PTR MX.good.example.");
    dns.set("mx.good.example. 60 IN A 192.0.2.5\nother.example. 60 IN A 192.0.2.9");
    dns.set("6.2.0.192.in-addr.arpa. 60 IN PTR liar.example.\nliar.example. 60 IN A 192.0.2.1");
    dns.fail("8.2.0.192.in-addr.arpa", Failing::ServFail);
    dns.set("9.2.0.192.in-addr.arpa. 60 IN PTR trouble.example.");
    dns.fail("trouble.example", Failing::ServFail);
    let config = Config::parse(db.value("select control.snapshot()").await).unwrap();
    let names = mailwright::dns::Dns::new(&config.dns.settings()).unwrap();
    for (peer, reverse, refused) in [
        ("192.0.2.5", ReverseName::Confirmed("mx.good.example".to_owned()), None),
        ("192.0.2.6", ReverseName::Unconfirmed("liar.example".to_owned()), Some("does not lead back")),
        ("192.0.2.7", ReverseName::None, Some("has no name")),
        ("192.0.2.8", ReverseName::NotKnown, None),
        ("192.0.2.9", ReverseName::NotKnown, None),
        ("2001:db8::1", ReverseName::None, Some("has no name")),
    ] {
        let stranger = Stranger {
            peer: peer.parse().unwrap(),
            helo: "mx.good.example",
            well_formed: true,
            helo_is_us: false,
            sender: None,
        };
        let checked = check(&names, &config, &stranger, false).await;
        assert_eq!(checked.reverse, reverse, "{peer}");
        let text = checked.refusal.as_ref().map(ToString::to_string);
        match (refused, &checked.refusal) {
            (None, None) => {}
            (Some(part), Some(Refusal::Later(_) | Refusal::Rejected(_))) => {
                assert!(text.unwrap().contains(part))
            }
            other => panic!("{peer}: {other:?}"),
        }
    }
}
