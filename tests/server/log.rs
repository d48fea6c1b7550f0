//! What has happened, in tables: events of the daemon, and what became of each message; in batches, without a commit for each.

use std::sync::Arc;

use crate::relay::{QUEUE_IS_EMPTY, alice, retry_until, scene, send};
use crate::support::cluster::{Cluster, Durability};
use crate::support::daemon::ReservedPort;
use crate::support::sink::{Act, At};
use crate::support::{Daemon, Database, Dialogue, Script};

/// A session of another server that has said EHLO.
async fn stranger(daemon: &Daemon<'_>) -> Dialogue {
    let mut smtp = daemon.smtp().await;
    smtp.expect("220").await;
    say(&mut smtp, "EHLO client.example.net", "250").await;
    smtp
}

async fn say(smtp: &mut Dialogue, line: &str, answer: &str) -> String {
    smtp.send(line).await;
    smtp.expect(answer).await
}

/// The steps of the stories that a search finds: the step, its recipient, what was said.
async fn story(db: &Database, search: &str) -> Vec<(String, String, String)> {
    let query =
        format!("select step, coalesce(recipient, ''), coalesce(reply, '') from report.find_trace({search})");
    db.rows(&query).await.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

/// Waits until a search finds so many steps, and gives them.
async fn story_of(db: &Database, search: &str, steps: usize) -> Vec<(String, String, String)> {
    db.until(&format!("select count(*) >= {steps} from report.find_trace({search})")).await;
    story(db, search).await
}

fn steps(story: &[(String, String, String)]) -> Vec<(&str, &str)> {
    story.iter().map(|(step, recipient, _)| (&**step, &**recipient)).collect()
}

// Events ---------------------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_login_is_an_event() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = daemon.imap().await;
    imap.send("a LOGIN alice@example.test wrong").await;
    imap.expect("a NO").await;
    db.until(
        "select exists (select 1 from log.event e where level = 'info' and service = 'imap' and node = 'one'
           and message = 'wrong user name or password' and login = 'alice@example.test' and peer = '127.0.0.1' and fields is null
           and session_id = (select id from live.session where service = 'imap'))",
    )
    .await;
    // What is said within a session is said of it, though nobody names it there.
    db.apply("update control.service set max_connections_per_account = 1 where name = 'imap'").await;
    imap.run("LOGIN alice@example.test mailwright").await;
    let mut second = daemon.imap().await;
    second.send("b LOGIN alice@example.test mailwright").await;
    second.expect("b NO").await;
    db.until(
        "select exists (select 1 from log.event where message = 'login refused' and service = 'imap' and peer = '127.0.0.1'
           and session_id is not null and fields ? 'refusal')",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_cannot_start_is_an_event() {
    let db = Database::new().await;
    let _daemon = Daemon::start(&db).await;
    // It is bound, and listens: two can't.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    db.apply(&format!(
        "insert into control.listener (service, address, port) values ('pop3', '127.0.0.1', {port})"
    ))
    .await;
    db.until(&format!(
        "select exists (select 1 from log.event where level = 'error' and service = 'pop3' and session_id is null
           and message like 'a listener could not be opened%' and fields->>'error' like 'port {port} on 127.0.0.1 is in use%')"
    ))
    .await;
    // And what happened before there was a database connection is there as well.
    let started: i64 =
        db.value("select count(*) from log.event where message = 'starting' and service = 'server'").await;
    assert_eq!(started, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_say_which_events_are_kept() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let wrong = async |name: &str| {
        let mut imap = daemon.imap().await;
        imap.send(&format!("a LOGIN {name}@example.test wrong")).await;
        imap.expect("a NO").await;
    };
    db.apply("update control.log set event_level = 'warn'").await;
    wrong("nobody1").await;
    db.apply("update control.log set event_level = 'off'; update control.server set log_level = 'debug'")
        .await;
    wrong("nobody2").await;
    db.apply("update control.log set event_level = 'debug'").await;
    wrong("nobody3").await;
    db.until("select exists (select 1 from log.event where login = 'nobody3@example.test')").await;
    let kept: i64 = db.value("select count(*) from log.event where login like 'nobody%'").await;
    assert_eq!(kept, 1);
    // No further than the daemon itself says anything.
    db.apply("update control.server set log_level = 'warn'").await;
    wrong("nobody4").await;
    db.apply("update control.server set log_level = 'info'").await;
    wrong("nobody5").await;
    db.until("select exists (select 1 from log.event where login = 'nobody5@example.test')").await;
    let kept: i64 = db.value("select count(*) from log.event where login like 'nobody%'").await;
    assert_eq!(kept, 2);
    assert!(
        db.refusal("update control.log set event_level = 'loud'").await.contains("event_level is off, error")
    );
    assert!(db.refusal("update control.log set trace_days = 0").await.contains("trace_days is from 1"));
}

// The trace ------------------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn a_local_delivery_from_beginning_to_end() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply(
        "insert into directory.alias (domain_id, local_part, targets)
         select id, 'team', '{bob@example.test,carol@example.test}' from directory.domain",
    )
    .await;
    let mut smtp = stranger(&daemon).await;
    say(&mut smtp, "MAIL FROM:<Sender@example.net>", "250").await;
    say(&mut smtp, "RCPT TO:<alice@example.test>", "250").await;
    say(&mut smtp, "RCPT TO:<nobody@example.test>", "550 5.1.1").await;
    say(&mut smtp, "RCPT TO:<Team@example.test>", "250").await;
    say(&mut smtp, "DATA", "354").await;
    smtp.data("Message-ID: <one@example.net>\r\nSubject: x\r\n\r\nbody\r\n").await;
    let accepted = smtp.expect("250").await;
    let told = story_of(&db, "sender => 'sender@EXAMPLE.net'", 6).await;
    assert_eq!(
        steps(&told),
        [
            ("refused", "nobody@example.test"),
            ("accepted", "alice@example.test"),
            ("accepted", "Team@example.test"),
            ("placed", "alice@example.test"),
            ("placed", "bob@example.test"),
            ("placed", "carol@example.test"),
        ]
    );
    assert!(told[0].2.starts_with("550 5.1.1 "), "{told:?}");
    for search in [
        "recipient => 'alice@example.test'",
        "recipient => 'nobody@example.test'",
        "recipient => 'team@example.test'",
        "recipient => 'CAROL@example.test'",
        "recipient => 'bob@example.test', sender => 'sender@example.net', peer => '127.0.0.1'",
        "message_id => 'one@example.net'",
        "message_id => '<one@example.net>'",
        "peer => '127.0.0.1', since => now() - interval '1 hour'",
    ] {
        assert_eq!(story(&db, search).await, told, "{search}");
    }
    for search in [
        "sender => 'other@example.net'",
        "recipient => 'bob@example.test', sender => 'other@example.net'",
        "sender => 'sender@example.net', until => now() - interval '1 hour'",
        "sender => 'sender@example.net', most => 0",
    ] {
        assert!(story(&db, search).await.is_empty(), "{search}");
    }
    let refusal = db.refusal("select report.find_trace()").await;
    assert!(refusal.contains("Give a sender"), "{refusal}");
    // The client and the header know it by the same name, and the mailbox by the same UID.
    let row = &db
        .rows(
            "select t.message, t.peer, t.size, t.header_message_id, t.session_id::text from report.trace t
             where t.step = 'accepted' and t.recipient = 'alice@example.test'",
        )
        .await[0];
    let (name, peer, size): (String, String, i64) = (row.get(0), row.get(1), row.get(2));
    assert!(accepted.contains(&name), "{accepted} {name}");
    assert_eq!((peer.as_str(), row.get::<_, &str>(3)), ("127.0.0.1", "<one@example.net>"));
    assert!(size > 40 && name.starts_with(row.get::<_, &str>(4)));
    let found: bool = db
        .value(
            "select count(*) = 3 from report.trace t
             join report.message m on (m.address, m.mailbox, m.uid) = (t.account, t.mailbox, t.uid) where t.step = 'placed'",
        )
        .await;
    assert!(found);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_refused_leaves_a_trace() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply("update control.smtp set max_message_bytes = 1024, max_received_headers = 10").await;
    let mut smtp = stranger(&daemon).await;
    say(&mut smtp, "MAIL FROM:<big@example.net> SIZE=5000", "552").await;
    say(&mut smtp, "MAIL FROM:<far@example.net>", "250").await;
    say(&mut smtp, "RCPT TO:<x@elsewhere.test>", "550 5.7.1").await;
    say(&mut smtp, "RSET", "250").await;
    say(&mut smtp, "MAIL FROM:<long@example.net>", "250").await;
    say(&mut smtp, "RCPT TO:<alice@example.test>", "250").await;
    say(&mut smtp, "RCPT TO:<bob@example.test>", "250").await;
    say(&mut smtp, "DATA", "354").await;
    smtp.data(&format!("Subject: x\r\n\r\n{}", "too long\r\n".repeat(200))).await;
    smtp.expect("552").await;
    say(&mut smtp, "MAIL FROM:<loop@example.net>", "250").await;
    say(&mut smtp, "RCPT TO:<alice@example.test>", "250").await;
    say(&mut smtp, "DATA", "354").await;
    smtp.data(&format!("{}Subject: x\r\n\r\nx\r\n", "Received: by x; now\r\n".repeat(11))).await;
    smtp.expect("5").await;
    db.until("select count(*) >= 5 from log.trace where step = 'refused'").await;
    let rows = db
        .rows("select command, coalesce(sender, '-'), coalesce(recipient, '-'), split_part(reply, ' ', 1), message from report.trace order by trace_id")
        .await;
    let told: Vec<(&str, &str, &str, &str)> =
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect();
    assert_eq!(
        told,
        [
            ("MAIL", "big@example.net", "-", "552"),
            ("RCPT", "far@example.net", "x@elsewhere.test", "550"),
            ("DATA", "long@example.net", "alice@example.test", "552"),
            ("DATA", "-", "bob@example.test", "552"),
            ("DATA", "loop@example.net", "alice@example.test", "554"),
        ]
    );
    let names: std::collections::BTreeSet<&str> = rows.iter().map(|row| row.get(4)).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    // Nothing is kept where nobody wants it.
    db.apply("update control.log set trace = false").await;
    say(&mut smtp, "MAIL FROM:<unseen@example.net> SIZE=5000", "552").await;
    daemon.deliver("alice", "Subject: y\r\n\r\nz\r\n").await;
    db.apply("update control.log set trace = true").await;
    say(&mut smtp, "MAIL FROM:<seen@example.net> SIZE=5000", "552").await;
    db.until("select exists (select 1 from log.trace where sender = 'seen@example.net')").await;
    assert_eq!(db.value::<i64>("select count(*) from log.trace").await, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn lmtp_tells_of_each_recipient() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let port = ReservedPort::any();
    db.apply(&format!(
        "insert into control.listener (service, address, port, tls, mode) values ('smtp', '127.0.0.1', {}, 'none', 'lmtp');
         update directory.account set max_message_bytes = 2000 where local_part = 'bob'",
        port.number()
    ))
    .await;
    let mut lmtp = Dialogue::plain(port.number(), crate::support::dialogue::Language::Smtp).await;
    lmtp.expect("220").await;
    say(&mut lmtp, "LHLO client.example.net", "250").await;
    say(&mut lmtp, "MAIL FROM:<>", "250").await;
    for name in ["alice", "bob", "carol"] {
        say(&mut lmtp, &format!("RCPT TO:<{name}@example.test>"), "250").await;
    }
    say(&mut lmtp, "DATA", "354").await;
    lmtp.data(&format!("Subject: x\r\n\r\n{}", "line of it\r\n".repeat(300))).await;
    for code in ["250", "552", "250"] {
        lmtp.expect(code).await;
    }
    let told = story_of(&db, "sender => ''", 5).await;
    let mut told = steps(&told);
    told.sort_unstable();
    assert_eq!(
        told,
        [
            ("accepted", "alice@example.test"),
            ("accepted", "carol@example.test"),
            ("placed", "alice@example.test"),
            ("placed", "carol@example.test"),
            ("refused", "bob@example.test"),
        ]
    );
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_delivery_from_beginning_to_end() {
    let db = Database::new().await;
    let script = Script::default().always(At::Rcpt, Act::reply("450 4.2.0 come again"));
    let (daemon, sink, _net) = scene(&db, script).await;
    let mut smtp = alice(&daemon).await;
    send(&mut smtp, "<alice@example.test>", &["<bob@far.test>"], "x").await;
    db.until("select exists (select 1 from queue.attempt where outcome = 'delayed')").await;
    sink.heal();
    retry_until(&db, QUEUE_IS_EMPTY).await;
    let search = "sender => 'alice@example.test'";
    db.until(&format!("select exists (select 1 from report.find_trace({search}) where step = 'delivered')"))
        .await;
    // Whoever has it tried again is named as well.
    let (retried, told): (Vec<_>, Vec<_>) =
        story(&db, search).await.into_iter().partition(|(step, ..)| step == "retried");
    assert!(
        !retried.is_empty()
            && retried.iter().all(|(_, to, by)| to == "bob@far.test" && by == "retried by mailwright")
    );
    let names: Vec<&str> = told.iter().map(|(step, ..)| &**step).collect();
    let (first, rest) = names.split_at(2);
    let (last, delays) = rest.split_last().unwrap();
    assert_eq!((first, *last), (&["accepted", "queued"][..], "delivered"), "{told:?}");
    assert!(!delays.is_empty() && delays.iter().all(|step| *step == "delayed"), "{told:?}");
    assert!(told.iter().all(|(_, recipient, _)| recipient == "bob@far.test"));
    assert!(told[2].2.starts_with("450 ") && told.last().unwrap().2.starts_with("250 "), "{told:?}");
    let host: String =
        db.value(&format!("select host from report.find_trace({search}) where step = 'delivered'")).await;
    assert_eq!(host, "mx.far.test");
    let submitter: String = db.value("select account from report.trace where step = 'accepted'").await;
    assert_eq!(submitter, "alice@example.test");
    let mut by_recipient = story(&db, "recipient => 'bob@far.test'").await;
    by_recipient.retain(|(step, ..)| step != "retried");
    assert_eq!(by_recipient, told);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bounce_belongs_to_the_story() {
    let db = Database::new().await;
    let script = Script::default().always(At::Rcpt, Act::reply("550 5.1.1 nobody"));
    let (daemon, _sink, _net) = scene(&db, script).await;
    let mut smtp = alice(&daemon).await;
    send(&mut smtp, "<alice@example.test>", &["<bob@far.test>"], "x").await;
    let told = story_of(&db, "recipient => 'bob@far.test'", 5).await;
    assert_eq!(
        steps(&told),
        [
            ("accepted", "bob@far.test"),
            ("queued", "bob@far.test"),
            ("failed", "bob@far.test"),
            ("reported", "alice@example.test"),
            ("placed", "alice@example.test"),
        ]
    );
    assert!(told[2].2.starts_with("550 ") && told[3].2 == "failed", "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cancelled_and_what_was_held_is_told() {
    let db = Database::new().await;
    let (daemon, _sink, _net) = scene(&db, Script::default()).await;
    db.apply("update control.relay set enabled = false").await;
    let mut smtp = alice(&daemon).await;
    send(&mut smtp, "<alice@example.test>", &["<bob@far.test>"], "x").await;
    db.until("select exists (select 1 from log.trace where step = 'queued')").await;
    db.sql("select queue.cancel(id) from queue.message").await;
    let told = story_of(&db, "recipient => 'bob@far.test'", 3).await;
    assert_eq!(
        steps(&told),
        [("accepted", "bob@far.test"), ("queued", "bob@far.test"), ("cancelled", "bob@far.test")]
    );
    // Mail that waited in the queue for a mailbox here.
    send(&mut smtp, "<alice@example.test>", &["<carol@example.test> NOTIFY=SUCCESS"], "x").await;
    db.until("select exists (select 1 from queue.recipient)").await;
    db.apply("update control.relay set enabled = true").await;
    let told = story_of(&db, "recipient => 'carol@example.test'", 6).await;
    let mut told = steps(&told);
    assert_eq!(told[..2], [("accepted", "carol@example.test"), ("queued", "carol@example.test")]);
    told.sort_unstable();
    assert_eq!(
        told,
        [
            ("accepted", "carol@example.test"),
            ("delivered", "carol@example.test"),
            ("placed", "alice@example.test"),
            ("placed", "carol@example.test"),
            ("queued", "carol@example.test"),
            ("reported", "alice@example.test"),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_text_is_kept_as_text() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut smtp = stranger(&daemon).await;
    say(&mut smtp, "MAIL FROM:<x@example.net>", "250").await;
    say(&mut smtp, "RCPT TO:<\"'; drop table log.trace; --\"@example.test>", "550").await;
    smtp.send_bytes(b"RCPT TO:<\xff\xfe<script>@example.test>\r\n").await;
    smtp.expect("5").await;
    say(&mut smtp, &format!("RCPT TO:<{}@example.test>", "a".repeat(300)), "5").await;
    say(&mut smtp, "RCPT TO:<last@example.test>", "550").await;
    db.until("select exists (select 1 from log.trace where recipient = 'last@example.test')").await;
    let longest: i32 = db.value("select max(length(recipient)) from log.trace").await;
    assert!(longest <= 500, "{longest}");
    let kept: i64 = db.value("select count(*) from log.trace where recipient like '%drop table%'").await;
    assert_eq!(kept, 1);
}

// Batches, absence, retention ------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_messages_are_few_transactions() {
    const MESSAGES: i64 = 200;
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut smtp = stranger(&daemon).await;
    let began = std::time::Instant::now();
    for number in 0..MESSAGES {
        say(&mut smtp, "MAIL FROM:<many@example.net>", "250").await;
        say(&mut smtp, "RCPT TO:<alice@example.test>", "250").await;
        say(&mut smtp, "DATA", "354").await;
        smtp.data(&format!("Subject: {number}\r\n\r\nx\r\n")).await;
        smtp.expect("250").await;
    }
    let halves = began.elapsed().as_millis() as i64 / 500;
    db.until(&format!("select count(*) = {} from log.trace", 2 * MESSAGES)).await;
    let transactions: i64 = db.value("select count(distinct xmin::text) from log.trace").await;
    // One for each half second that has begun, whatever came in it.
    assert!(
        transactions <= halves + 2 && transactions < MESSAGES / 4,
        "{transactions} in {halves} half seconds"
    );
    let in_order: bool = db
        .value(
            "select bool_and(step = 'accepted') from (
               select step, row_number() over (partition by message order by id) n from log.trace) t where n = 1",
        )
        .await;
    assert!(in_order);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_while_the_database_is_away_is_written_later() {
    let cluster = Arc::new(Cluster::start_new(Durability::Real));
    let db = Database::on(&cluster).await;
    let mut daemon = Daemon::start(&db).await;
    daemon.deliver("alice", "Subject: before\r\n\r\nx\r\n").await;
    db.until("select count(*) = 2 from log.trace").await;
    let mut smtp = stranger(&daemon).await;
    say(&mut smtp, "MAIL FROM:<away@example.net>", "250").await;
    cluster.stop_immediate();
    say(&mut smtp, "RCPT TO:<bob@example.test>", "451").await;
    assert!(daemon.is_running());
    cluster.start();
    db.reconnect().await;
    db.until("select exists (select 1 from report.trace where sender = 'away@example.net' and step = 'refused' and reply like '451 %')").await;
    db.until(
        "select exists (select 1 from log.event where message like 'the database does not answer%')
           or exists (select 1 from log.event where message = 'the notification connection is lost')",
    )
    .await;
    // What was written just before the crash may be gone: nobody waited for the disk.
    daemon.deliver("alice", "Message-ID: <after@example.net>\r\n\r\nx\r\n").await;
    let told = story_of(&db, "message_id => 'after@example.net'", 2).await;
    assert_eq!(steps(&told), [("accepted", "alice@example.test"), ("placed", "alice@example.test")]);
    // The end of the daemon is written before it ends.
    assert!(daemon.terminate().await.success());
    let last: bool = db.value("select exists (select 1 from log.event where message = 'stopping')").await;
    assert!(last);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_much_is_dropped_and_counted() {
    const REFUSED: usize = 26_000;
    let cluster = Arc::new(Cluster::start_new(Durability::None));
    let db = Database::on(&cluster).await;
    db.sql("update control.smtp set max_errors = 1000000, max_recipients = 50000").await;
    let mut daemon = Daemon::start(&db).await;
    let mut smtp = stranger(&daemon).await;
    say(&mut smtp, "MAIL FROM:<flood@example.net>", "250").await;
    cluster.stop_immediate();
    // Refused without a question to the database. Each is noted, as far as there is room.
    let line = "RCPT TO:<x@[192.0.2.1]>\r\n".repeat(100);
    for _ in 0..REFUSED / 100 {
        smtp.send_bytes(line.as_bytes()).await;
        for _ in 0..100 {
            smtp.expect("550 5.1.2").await;
        }
    }
    assert!(daemon.is_running());
    cluster.start();
    db.reconnect().await;
    db.until(
        "select exists (select 1 from log.event where level = 'warn' and service = 'log' and (fields->>'trace')::bigint > 0)",
    )
    .await;
    let all = format!(
        "select (select count(*) from log.trace where sender = 'flood@example.net')
            + (select sum((fields->>'trace')::bigint) from log.event where service = 'log') = {REFUSED}"
    );
    db.until(&all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_old_is_forgotten() {
    let db = Database::new().await;
    let _daemon = Daemon::start(&db).await;
    db.sql(
        "insert into log.event (at, level, node, service, message)
         select now() - make_interval(days => d), 'info', 'old', 'test', d::text from generate_series(1, 40) d, generate_series(1, 600);
         insert into log.trace (at, step, node, message)
         select now() - make_interval(days => d), 'accepted', 'old', d::text from generate_series(1, 40) d, generate_series(1, 600)",
    )
    .await;
    db.apply("update control.log set event_days = 10, trace_days = 5").await;
    db.until("select count(*) = 600 * 9 from log.event where node = 'old'").await;
    db.until("select count(*) = 600 * 4 from log.trace where node = 'old'").await;
    let holder: String = db.value("select node from control.lease where name = 'log.upkeep'").await;
    assert_eq!(holder, "one");
}
