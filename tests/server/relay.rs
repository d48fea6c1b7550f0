//! Mail to the world: what goes out, to whom, how often, and what senders hear of it. Other servers are sinks on loopback
//! addresses of their own, found by a name server in the test process.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::support::daemon::PASSWORD;
use crate::support::sink::{Act, At, Tls, loopback};
use crate::support::{Ca, Daemon, Database, Dialogue, Script, Sink};

/// The network around the daemon: a name server, and a port that all mail servers have.
pub struct Net {
    pub dns: crate::support::dns::Dns,
    pub port: u16,
}

impl Net {
    /// Points the daemon to it. Attempts follow each other quickly.
    async fn around(db: &Database, first: &Sink) -> Net {
        let dns = crate::support::dns::Dns::start().await;
        let port = first.port();
        db.apply(&format!(
            "update control.dns set servers = array['{}'];
             update control.relay set port = {port};
             update control.retry set after_seconds = 1;
             update control.server set hostname = 'mail.example.test'",
            dns.address()
        ))
        .await;
        Net { dns, port }
    }

    /// Another server, on the same port of another address, named `name`.
    pub async fn server(&self, name: &str, script: Script) -> Sink {
        let sink = Sink::start(&loopback(), self.port, script).await;
        self.name(name, &sink);
        sink
    }

    /// Gives a sink a name.
    pub fn name(&self, name: &str, sink: &Sink) {
        self.dns.set(&format!("{name}. 60 IN A {}", sink.address().ip()));
    }

    /// A name where nobody listens.
    pub fn nobody(&self, name: &str) {
        self.dns.set(&format!("{name}. 60 IN A {}", loopback()));
    }
}

/// A daemon, the first sink as `mx.far.test`, which takes the mail of `far.test`.
pub async fn scene(db: &Database, script: Script) -> (Daemon<'_>, Sink, Net) {
    let daemon = Daemon::start(db).await;
    let sink = Sink::start(&loopback(), 0, script).await;
    let net = Net::around(db, &sink).await;
    net.name("mx.far.test", &sink);
    net.dns.set("far.test. 60 IN MX 10 mx.far.test.");
    (daemon, sink, net)
}

/// A submission session that alice has opened.
pub async fn alice(daemon: &Daemon<'_>) -> Dialogue {
    let mut smtp = daemon.submission().await;
    smtp.expect("220").await;
    smtp.send("EHLO client.test").await;
    smtp.expect("250").await;
    let secret = STANDARD.encode(format!("\0alice@example.test\0{PASSWORD}"));
    smtp.send(&format!("AUTH PLAIN {secret}")).await;
    smtp.expect("235").await;
    smtp
}

/// Sends a message; `mail` and `recipients` with their parameters.
pub async fn send(smtp: &mut Dialogue, mail: &str, recipients: &[&str], body: &str) {
    smtp.send(&format!("MAIL FROM:{mail}")).await;
    smtp.expect("250").await;
    for recipient in recipients {
        smtp.send(&format!("RCPT TO:{recipient}")).await;
        smtp.expect("250").await;
    }
    smtp.send("DATA").await;
    smtp.expect("354").await;
    let header = "From: alice@example.test\r\nSubject: Hello\r\nMessage-ID: <hello@client.test>\r\n";
    smtp.send(&format!("{header}\r\n{body}\r\n.")).await;
    smtp.expect("250").await;
}

/// The newest message in a mailbox, as text.
async fn newest(daemon: &Daemon<'_>, user: &str) -> String {
    let mut imap = daemon.imap().await;
    imap.run(&format!("LOGIN {user}@example.test {PASSWORD}")).await;
    imap.run("SELECT INBOX").await;
    imap.send("f FETCH * BODY[]").await;
    let text = imap.expect_literal("* ").await;
    String::from_utf8(text).unwrap()
}

fn wait_reports(count: i64) -> String {
    format!(
        "select count(*) >= {count} from report.message where address = 'alice@example.test' and mailbox = 'INBOX'
         and from_address = 'MAILER-DAEMON@mail.example.test'"
    )
}

pub const QUEUE_IS_EMPTY: &str =
    "select not exists (select 1 from queue.message) and not exists (select 1 from queue.recipient)";

/// Sends a message of alice's.
pub async fn mail(daemon: &Daemon<'_>, to: &str) {
    send(&mut alice(daemon).await, "<alice@example.test>", &[&format!("<{to}>")], "x").await;
}

/// Has everything tried again after each attempt, until it is so. A destination that could not be reached is left alone
/// for a minute, unless somebody asks for it.
pub async fn retry_until(db: &Database, question: &str) {
    for _ in 0..40 {
        if db.value::<bool>(question).await {
            return;
        }
        let before: i64 = db.value("select count(*) from queue.attempt").await;
        db.sql("select queue.retry()").await;
        db.until(&format!("select ({question}) or (select count(*) > {before} from queue.attempt)")).await;
    }
    panic!("after many attempts this was not so:\n{question}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_goes_by_mx_and_leaves_the_queue() {
    let db = Database::new().await;
    let (daemon, sink, net) = scene(&db, Script::default()).await;
    net.nobody("dead.far.test");
    net.dns.set("far.test. 60 IN MX 5 dead.far.test.\nfar.test. 60 IN MX 10 mx.far.test.");
    let mut smtp = alice(&daemon).await;
    for _ in 0..3 {
        send(&mut smtp, "<alice@example.test>", &["<bob@far.test>", "<carol@far.test>"], "x\r\n..dot").await;
    }
    let messages = sink.wait_for(3).await;
    for message in &messages {
        assert_eq!((message.sender(), message.helo.as_str()), ("alice@example.test", "mail.example.test"));
        assert_eq!(message.addresses(), ["bob@far.test", "carol@far.test"]);
        let text = message.text();
        assert!(
            text.starts_with("Received: from client.test ") && text.ends_with("\r\nx\r\n.dot\r\n"),
            "{text}"
        );
        assert!(text.contains("\r\nMessage-ID: <"), "{text}");
    }
    db.until(QUEUE_IS_EMPTY).await;
    let log =
        db.rows("select outcome, host, host(address), reply, attempt from queue.attempt order by id").await;
    assert_eq!(log.len(), 6);
    for row in &log {
        assert_eq!(row.get::<_, &str>(0), "delivered");
        assert_eq!(row.get::<_, &str>(1), "mx.far.test");
        assert_eq!(row.get::<_, String>(2), sink.address().ip().to_string());
        assert!(row.get::<_, &str>(3).starts_with("250 ") && row.get::<_, i32>(4) == 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_used_again() {
    let db = Database::new().await;
    let (daemon, sink, _net) = scene(&db, Script::default()).await;
    db.apply("update control.relay set max_connections_per_destination = 1, idle_seconds = 20").await;
    let mut smtp = alice(&daemon).await;
    for count in 1..=5 {
        send(&mut smtp, "<alice@example.test>", &["<bob@far.test>"], "x").await;
        sink.wait_for(count).await;
    }
    assert_eq!(sink.connections(), 1);
    // No more than so many over one.
    db.apply("update control.relay set max_messages_per_connection = 2, idle_seconds = 19").await;
    for count in 6..=9 {
        send(&mut smtp, "<alice@example.test>", &["<bob@far.test>"], "x").await;
        sink.wait_for(count).await;
    }
    assert!(sink.connections() > 2, "{}", sink.connections());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_never_arrive_is_reported_at_once() {
    let db = Database::new().await;
    let (daemon, sink, net) = scene(&db, Script::default()).await;
    sink.change(|script| {
        script.always(At::RcptOf("nobody@far.test".to_owned()), Act::reply("550 5.1.1 No such user"))
    });
    net.dns.set("null.test. 60 IN MX 0 .");
    net.dns.set("noaddress.test. 60 IN TXT \"v=spf1 -all\"");
    net.dns.set("loop.test. 60 IN MX 10 mail.example.test.");
    let mut smtp = alice(&daemon).await;
    for (count, (recipient, status, words)) in [
        ("nobody@far.test", "5.1.1", "mx.far.test said: 550 5.1.1 No such user"),
        ("x@null.test", "5.1.10", "the domain null.test takes no mail (null MX)"),
        ("x@nowhere.test", "5.1.2", "the domain nowhere.test does not exist"),
        ("x@noaddress.test", "5.4.4", "the host noaddress.test has no address"),
        ("x@loop.test", "5.4.6", "the mail servers of loop.test lead back to this one"),
    ]
    .into_iter()
    .enumerate()
    {
        let mail = "<alice@example.test> ENVID=Q1 RET=HDRS";
        send(&mut smtp, mail, &[&format!("<{recipient}> ORCPT=rfc822;First+2BLast@x.test")], "secret body")
            .await;
        db.until(&wait_reports(count as i64 + 1)).await;
        let report = newest(&daemon, "alice").await;
        assert!(report.starts_with("Return-Path: <>\r\nDelivered-To: alice@example.test\r\n"), "{report}");
        for line in [
            "Subject: Not delivered: Hello\r\n",
            "In-Reply-To: <hello@client.test>\r\n",
            "Original-Envelope-Id: Q1\r\n",
            "Reporting-MTA: dns; mail.example.test\r\n",
            "Original-Recipient: rfc822; First+Last@x.test\r\n",
            &format!("Final-Recipient: rfc822; {recipient}\r\nAction: failed\r\nStatus: {status}\r\n"),
            "Content-Type: text/rfc822-headers\r\n",
            words,
        ] {
            assert!(report.contains(line), "{line:?} is not in\n{report}");
        }
        assert!(!report.contains("secret body"));
    }
    db.until(QUEUE_IS_EMPTY).await;
    // RET=FULL brings all of it back.
    send(&mut smtp, "<alice@example.test> RET=FULL", &["<nobody@far.test>"], "secret body").await;
    db.until(&wait_reports(6)).await;
    let report = newest(&daemon, "alice").await;
    assert!(report.contains("Content-Type: message/rfc822") && report.contains("secret body"), "{report}");
    assert_eq!(sink.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_without_mx_is_its_own_server() {
    let db = Database::new().await;
    let (daemon, sink, net) = scene(&db, Script::default()).await;
    net.name("plain.test", &sink);
    send(&mut alice(&daemon).await, "<alice@example.test>", &["<bob@plain.test>"], "x").await;
    assert_eq!(sink.wait_for(1).await[0].addresses(), ["bob@plain.test"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_recipient_is_refused_and_the_other_is_not() {
    let db = Database::new().await;
    let (daemon, sink, _net) = scene(&db, Script::default()).await;
    sink.change(|s| s.always(At::RcptOf("no@far.test".to_owned()), Act::reply("550 5.1.1 No")));
    let recipients = ["<no@far.test> NOTIFY=NEVER", "<yes@far.test>", "<bob@example.test>"];
    send(&mut alice(&daemon).await, "<alice@example.test>", &recipients, "x").await;
    assert_eq!(sink.wait_for(1).await[0].addresses(), ["yes@far.test"]);
    db.until(QUEUE_IS_EMPTY).await;
    assert_eq!(db.value::<i64>("select count(*) from report.message").await, 1, "bob's copy, and no report");
    // All are refused: the transaction ends without a message, whatever the server says to DATA.
    send(&mut alice(&daemon).await, "<alice@example.test>", &["<no@far.test>"], "x").await;
    db.until(&wait_reports(1)).await;
    assert_eq!(sink.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_for_now_is_tried_again() {
    let db = Database::new().await;
    let script = Script::default()
        .without("CHUNKING")
        .once(At::Connect, Act::reply("554 5.7.1 Not now"))
        .once(At::Mail, Act::reply("451 4.7.1 Greylisted"))
        // Once behind the MAIL that is refused, and once by itself.
        .times(2, At::Data, Act::reply("451 4.3.0 Disk full"))
        .once(At::End, Act::reply("451 4.3.2 Busy"));
    let (daemon, sink, _net) = scene(&db, script).await;
    send(&mut alice(&daemon).await, "<alice@example.test>", &["<bob@far.test>"], "x").await;
    db.until("select attempts >= 1 and last_reply is not null and next_attempt_at > now() - interval '5 s' from queue.recipient").await;
    // A destination that could not be reached is left alone for a minute, unless somebody asks for it.
    retry_until(&db, QUEUE_IS_EMPTY).await;
    assert_eq!(sink.count(), 1);
    let said: Vec<String> = db
        .rows("select outcome || ' ' || reply from queue.attempt order by id")
        .await
        .iter()
        .map(|row| row.get(0))
        .collect();
    for words in ["554 5.7.1 Not now", "451 4.7.1 Greylisted", "451 4.3.0 Disk full", "451 4.3.2 Busy"] {
        assert!(
            said.iter().any(|said| said.starts_with("delayed ") && said.contains(words)),
            "{words} {said:?}"
        );
    }
    assert!(said.last().unwrap().starts_with("delivered 250 "));
    assert_eq!(db.value::<i64>("select count(*) from report.message").await, 0, "nothing to report yet");
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_misbehave_cost_only_themselves() {
    for act in [Act::Drop, Act::Flood, Act::reply("what?"), Act::reply("250-a\r\n350 b")] {
        let db = Database::new().await;
        let (daemon, sink, net) = scene(&db, Script::default()).await;
        let good = net.server("mx.good.test", Script::default()).await;
        net.dns.set("good.test. 60 IN MX 10 mx.good.test.");
        let mut smtp = alice(&daemon).await;
        for at in [At::Connect, At::Ehlo, At::Mail, At::Rcpt, At::Data, At::End] {
            sink.change(|script| script.once(at.clone(), act.clone()));
        }
        send(&mut smtp, "<alice@example.test>", &["<bob@far.test>", "<bob@good.test>"], "x").await;
        good.wait_for(1).await;
        retry_until(&db, QUEUE_IS_EMPTY).await;
        // Twice only where the answer to the end was lost.
        let messages = sink.messages();
        let answered = messages.iter().filter(|message| !message.answer_lost()).count();
        assert!(answered >= 1 && good.count() == 1, "{act:?}: {answered} of {}", messages.len());
        drop(daemon);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_holds_releases_retries_and_cancels() {
    let db = Database::new().await;
    let (daemon, sink, _net) = scene(&db, Script::default()).await;
    db.apply("update control.relay set enabled = false").await;
    let mut smtp = alice(&daemon).await;
    for name in ["held", "cancelled", "sent"] {
        send(&mut smtp, "<alice@example.test>", &[&format!("<{name}@far.test>")], "x").await;
    }
    assert_eq!(db.value::<i64>("select count(*) from queue.recipient where state = 'waiting'").await, 3);
    let of =
        |name: &str| format!("(select message_id from queue.recipient where address = '{name}@far.test')");
    assert_eq!(db.value::<i64>(&format!("select queue.hold({})", of("held"))).await, 1);
    db.sql(&format!("delete from queue.message where id = {}", of("cancelled"))).await;
    db.apply("update control.relay set enabled = true").await;
    assert_eq!(sink.wait_for(1).await[0].addresses(), ["sent@far.test"]);
    db.until("select array_agg(state::text) = '{held}' from queue.recipient").await;
    assert_eq!(db.value::<i64>(&format!("select queue.release({})", of("held"))).await, 1);
    assert_eq!(sink.wait_for(2).await[1].addresses(), ["held@far.test"]);
    db.until(QUEUE_IS_EMPTY).await;
    let gone: String =
        db.value("select reply from queue.attempt where outcome = 'cancelled' and recipient = 'cancelled@far.test'").await;
    assert!(gone.starts_with("cancelled by "), "{gone}");
    // A row that somebody writes is delivered like any other.
    db.sql(
        "insert into queue.message (content_id, size, sender) select id, size, 'sql@example.test' from store.content limit 1;
         insert into queue.recipient (message_id, address, domain) select max(id), 'byhand@far.test', 'far.test' from queue.message",
    )
    .await;
    assert_eq!(sink.wait_for(3).await[2].addresses(), ["byhand@far.test"]);
    // What is stored is said to other servers: nothing that ends a line, and the domain is that of the address.
    for (columns, values, why) in [
        ("address, domain", "E'a@far.test>\\r\\nDATA', 'far.test'", "a recipient is an address"),
        ("address, domain", "'nobody', 'far.test'", "a recipient is an address"),
        ("address, domain", "'a@far.test', 'other.test'", "the domain is the part of the address"),
        (
            "address, domain, original_recipient",
            "'a@far.test', 'far.test', 'rfc822;a b'",
            "an original recipient is like",
        ),
    ] {
        let row = format!(
            "insert into queue.recipient (message_id, {columns}) select id, {values} from queue.message limit 1"
        );
        let message = "insert into queue.message (content_id, size, sender) select id, size, '' from store.content limit 1";
        let refused = db.refusal(&format!("{message}; {row}")).await;
        assert!(refused.contains(why), "{values}: {refused}");
    }
    let refused = db
        .refusal("insert into queue.message (content_id, size, sender) values (1, 1, E'a@b.test> SIZE=1\\r\\nRSET')")
        .await;
    assert!(refused.contains("a sender is empty or an address"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn queued_mail_for_a_domain_of_ours_goes_into_the_mailbox() {
    let db = Database::new().await;
    let (daemon, _sink, _net) = scene(&db, Script::default()).await;
    db.apply("update control.relay set enabled = false").await;
    let recipients = ["<dave@new.test> NOTIFY=SUCCESS,FAILURE", "<nobody@new.test>"];
    send(&mut alice(&daemon).await, "<alice@example.test>", &recipients, "x").await;
    db.apply(
        "insert into directory.domain (name) values ('new.test');
         insert into directory.account (domain_id, local_part) select id, 'dave' from directory.domain where name = 'new.test';
         update control.relay set enabled = true",
    )
    .await;
    db.until("select count(*) = 1 from report.message where address = 'dave@new.test'").await;
    db.until(&wait_reports(2)).await;
    db.until(QUEUE_IS_EMPTY).await;
    let outcomes: String = db
        .value("select string_agg(recipient || ' ' || outcome, ', ' order by recipient) from queue.attempt")
        .await;
    assert_eq!(outcomes, "dave@new.test delivered, nobody@new.test failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn extensions_are_used_where_they_are_offered() {
    let db = Database::new().await;
    let (daemon, sink, _net) = scene(&db, Script::default()).await;
    // What a server offers is asked anew each time.
    db.apply("update control.relay set max_messages_per_connection = 1").await;
    let mut smtp = alice(&daemon).await;
    let mail = "<alice@example.test> RET=HDRS ENVID=a+2Bb BODY=8BITMIME";
    send(&mut smtp, mail, &["<bob@far.test> NOTIFY=SUCCESS ORCPT=rfc822;c@d.test"], "gr\u{fc}n").await;
    let message = &sink.wait_for(1).await[0];
    for word in ["RET=HDRS", "ENVID=a+2Bb", "BODY=8BITMIME", "SIZE="] {
        assert!(message.mail_from.contains(word), "{word} {}", message.mail_from);
    }
    assert_eq!(message.recipients, ["<bob@far.test> NOTIFY=SUCCESS ORCPT=rfc822;c@d.test"]);
    db.until(QUEUE_IS_EMPTY).await;
    assert_eq!(db.value::<i64>("select count(*) from report.message").await, 0, "the other server reports");
    // An international address needs a server that takes it.
    send(&mut smtp, "<alice@example.test> SMTPUTF8", &["<j\u{fc}rgen@far.test>"], "x").await;
    let message = &sink.wait_for(2).await[1];
    assert!(message.mail_from.contains(" SMTPUTF8") && message.addresses() == ["j\u{fc}rgen@far.test"]);
    // A server with nothing: one command at a time, no parameters, and the report of success is ours.
    sink.change(|_| Script { forgets_pipelined: true, ..Script::plain() });
    send(&mut smtp, mail, &["<bob@far.test> NOTIFY=SUCCESS"], "plain").await;
    let message = &sink.wait_for(3).await[2];
    assert_eq!(
        (message.mail_from.trim(), message.recipients[0].trim()),
        ("<alice@example.test>", "<bob@far.test>")
    );
    db.until(&wait_reports(1)).await;
    let report = newest(&daemon, "alice").await;
    assert!(report.contains("Subject: Relayed: Hello") && report.contains("Action: relayed"), "{report}");
    // A message that is too large is not sent at all.
    sink.change(|_| Script { keywords: vec!["SIZE 500".to_owned()], ..Script::default() });
    send(&mut smtp, "<alice@example.test>", &["<bob@far.test>"], &"x\r\n".repeat(500)).await;
    db.until(&wait_reports(2)).await;
    let report = newest(&daemon, "alice").await;
    assert!(report.contains("Status: 5.3.4") && report.contains("takes 500"), "{report}");
    send(&mut smtp, "<alice@example.test> SMTPUTF8", &["<j\u{fc}rgen@far.test>"], "x").await;
    db.until(&wait_reports(3)).await;
    let report = newest(&daemon, "alice").await;
    assert!(report.contains("needs SMTPUTF8"), "{report}");
    // RFC 6533: the sender's program knows UTF-8.
    assert!(report.contains("Content-Type: message/global-delivery-status"), "{report}");
    assert!(report.contains("Final-Recipient: utf-8; j\u{fc}rgen@far.test\r\n"), "{report}");
    assert_eq!(sink.count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn late_mail_is_announced_once_and_given_up_in_the_end() {
    let db = Database::new().await;
    let script = Script::default().always(At::Mail, Act::reply("451 4.3.0 Later"));
    let (daemon, _sink, _net) = scene(&db, script).await;
    send(&mut alice(&daemon).await, "<alice@example.test>", &["<bob@far.test>"], "x").await;
    db.until("select attempts >= 1 from queue.recipient").await;
    db.sql("update queue.message set received_at = now() - interval '5 hours'; select queue.retry()").await;
    db.until(&wait_reports(1)).await;
    let report = newest(&daemon, "alice").await;
    assert!(report.contains("Subject: Delayed: Hello") && report.contains("Action: delayed"), "{report}");
    assert!(report.contains("Status: 4.3.0") && report.contains("Will-Retry-Until: "), "{report}");
    db.until("select attempts >= 4 and delay_reported from queue.recipient").await;
    db.sql("update queue.message set received_at = now() - interval '6 days'; select queue.retry()").await;
    db.until(&wait_reports(2)).await;
    let report = newest(&daemon, "alice").await;
    assert!(report.contains("Subject: Not delivered: Hello") && report.contains("Status: 5.4.7"), "{report}");
    db.until(QUEUE_IS_EMPTY).await;
    assert_eq!(db.value::<i64>("select count(*) from report.message").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn delivery_here_is_reported_to_who_asks() {
    let db = Database::new().await;
    let (daemon, sink, _net) = scene(&db, Script::default()).await;
    db.apply(
        "insert into directory.alias (domain_id, local_part, targets)
         select id, 'both', '{bob@example.test,x@far.test}' from directory.domain where name = 'example.test'",
    )
    .await;
    let mut smtp = alice(&daemon).await;
    send(&mut smtp, "<alice@example.test> ENVID=E1", &["<bob@example.test> NOTIFY=SUCCESS"], "x").await;
    db.until(&wait_reports(1)).await;
    let report = newest(&daemon, "alice").await;
    for words in [
        "Subject: Delivered: Hello\r\n",
        "Original-Envelope-Id: E1\r\n",
        "Action: delivered\r\nStatus: 2.1.5\r\n",
    ] {
        assert!(report.contains(words), "{words:?} is not in\n{report}");
    }
    let copy = newest(&daemon, "bob").await;
    let begin = "Return-Path: <alice@example.test>\r\nDelivered-To: bob@example.test\r\nReceived: from ";
    assert!(copy.starts_with(begin), "{copy}");
    // An alias that leads to several is reported once, by us.
    send(&mut smtp, "<alice@example.test>", &["<both@example.test> NOTIFY=SUCCESS,FAILURE"], "x").await;
    db.until(&wait_reports(2)).await;
    assert!(sink.wait_for(1).await[0].recipients[0].contains("NOTIFY=FAILURE"));
    db.until(QUEUE_IS_EMPTY).await;
    assert_eq!(db.value::<i64>("select count(*) from report.message where address like 'bob@%'").await, 2);
    assert_eq!(db.value::<i64>("select count(*) from report.message where address like 'alice@%'").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_said_about_mail_without_a_sender() {
    let db = Database::new().await;
    let (daemon, sink, _net) = scene(&db, Script::default()).await;
    sink.change(|s| s.always(At::Rcpt, Act::reply("550 5.1.1 No")));
    send(&mut alice(&daemon).await, "<>", &["<bob@far.test> NOTIFY=SUCCESS,FAILURE,DELAY"], "x").await;
    db.until("select count(*) = 1 from queue.attempt where outcome = 'failed'").await;
    db.until(QUEUE_IS_EMPTY).await;
    assert_eq!(db.value::<i64>("select count(*) from report.message").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_smart_host_takes_everything_after_a_login_under_verified_tls() {
    let db = Database::new().await;
    let ca = Ca::new();
    let script = Script::default()
        .tls(Tls::Offered(ca.certificate(&["smart.test"])))
        .login("us@isp.test", "let me in");
    let (daemon, far, net) = scene(&db, Script::default()).await;
    let smart = net.server("smart.test", script).await;
    let wrong =
        net.server("wrong.test", Script::default().tls(Tls::Offered(ca.certificate(&["other.test"])))).await;
    db.apply(&format!(
        "update control.relay set extra_roots = '{}';
         insert into control.route (pattern, host, port, tls, username, password)
         values ('*', 'smart.test', {port}, 'verified', 'us@isp.test', 'let me in');
         insert into control.route (pattern, host, port, tls) values ('bad.test', 'wrong.test', {port}, 'verified');
         insert into control.route (pattern) values ('*.far.test'), ('far.test')",
        ca.pem(),
        port = net.port,
    ))
    .await;
    let mut smtp = alice(&daemon).await;
    send(
        &mut smtp,
        "<alice@example.test>",
        &["<a@one.test>", "<b@two.test>", "<c@far.test>", "<d@bad.test>"],
        "x",
    )
    .await;
    let messages = smart.wait_for(2).await;
    for message in &messages {
        assert_eq!(message.login.as_deref(), Some("us@isp.test"));
        assert_eq!(message.tls.as_ref().unwrap().sni.as_deref(), Some("smart.test"));
    }
    assert_eq!(far.wait_for(1).await[0].addresses(), ["c@far.test"], "an empty route is the way by DNS");
    db.until(
        "select last_reply like '%TLS handshake failed%' from queue.recipient where domain = 'bad.test'",
    )
    .await;
    assert_eq!(wrong.count(), 0);
    db.until("select exists (select 1 from queue.attempt where recipient = 'a@one.test')").await;
    let tls: String = db.value("select tls from queue.attempt where recipient = 'a@one.test'").await;
    assert!(tls.starts_with("TLSv1.3 TLS_") && tls.ends_with(" verified"), "{tls}");
    let refused = db.refusal("insert into control.route (pattern, host, tls, username, password) values ('x.test', 'h', 'opportunistic', 'u', 'p')").await;
    assert!(refused.contains("a login needs TLS"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_used_where_it_is_offered_and_missed_where_it_is_broken() {
    let db = Database::new().await;
    let ca = Ca::new();
    let (daemon, sink, _net) =
        scene(&db, Script::default().tls(Tls::Offered(ca.certificate(&["whatever.test"])))).await;
    let mut smtp = alice(&daemon).await;
    send(&mut smtp, "<alice@example.test>", &["<bob@far.test>"], "x").await;
    assert!(sink.wait_for(1).await[0].tls.is_some());
    let mut count = 1;
    for tls in [Tls::Refused, Tls::Garbage, Tls::Closed] {
        sink.change(|script| script.tls(tls));
        // A connection that is still there was secured before.
        db.apply("update control.relay set idle_seconds = 1 + mod(idle_seconds, 2)").await;
        send(&mut smtp, "<alice@example.test>", &[&format!("<bob{count}@far.test>")], "x").await;
        count += 1;
        sink.wait_for(count).await;
    }
    db.until(QUEUE_IS_EMPTY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn domains_have_names_and_addresses_of_their_own() {
    let db = Database::new().await;
    let (daemon, sink, _net) = scene(&db, Script::default()).await;
    db.apply(
        "update control.relay set source_ipv4 = '127.0.0.71';
         update directory.domain set helo_name = 'out.example.test', source_ipv4 = '127.0.0.72' where name = 'example.test'",
    )
    .await;
    let mut smtp = alice(&daemon).await;
    send(&mut smtp, "<alice@example.test>", &["<bob@far.test>"], "x").await;
    send(&mut smtp, "<>", &["<bob@far.test>"], "x").await;
    let mut seen: Vec<(String, String)> = sink
        .wait_for(2)
        .await
        .iter()
        .map(|message| (message.peer.ip().to_string(), message.helo.clone()))
        .collect();
    seen.sort();
    let expected = [("127.0.0.71", "mail.example.test"), ("127.0.0.72", "out.example.test")];
    assert_eq!(seen, expected.map(|(ip, helo)| (ip.to_owned(), helo.to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_of_reports_are_rows() {
    let db = Database::new().await;
    let (daemon, sink, _net) = scene(&db, Script::default()).await;
    sink.change(|s| s.always(At::Rcpt, Act::reply("550 5.1.1 No")));
    let refused = db.refusal("update control.template set body = 'Hello {name}' where name = 'failed'").await;
    assert!(refused.contains("the text uses {name}, which stands for nothing"), "{refused}");
    db.apply(
        "insert into control.template (name, domain_id, subject, body)
         select 'failed', id, 'Zur\u{fc}ck: {subject}', 'An {recipients}: {reasons}' from directory.domain where name = 'example.test'",
    )
    .await;
    send(&mut alice(&daemon).await, "<alice@example.test>", &["<bob@far.test>"], "x").await;
    db.until("select count(*) = 1 from report.message where subject = 'Zur\u{fc}ck: Hello'").await;
    let preview: String = db.value("select subject from control.preview_template('failed')").await;
    assert_eq!(preview, "Not delivered: Lunch on Friday");
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_that_leave_are_signed() {
    let db = Database::new().await;
    let script = Script::default().once(At::RcptOf("carol@far.test".into()), Act::reply("550 5.1.1 nobody"));
    let (daemon, sink, _net) = scene(&db, script).await;
    let (id, name, value) = crate::sign::key(&db, "ed25519-sha256").await;
    db.apply(&format!(
        "select directory.activate_dkim_key({id});
         update directory.account set forward_to = '{{bob@far.test}}' where local_part = 'alice'"
    ))
    .await;
    let mut smtp = alice(&daemon).await;
    send(&mut smtp, "<alice@example.test>", &["<carol@far.test>"], "x").await;
    let report = sink.wait_for(1).await.remove(0);
    assert_eq!((report.sender(), report.addresses()), ("", vec!["bob@far.test"]));
    let records = serde_json::json!({ format!("{name}."): value });
    let request =
        serde_json::json!({ "do": "verify", "message": STANDARD.encode(&report.bytes), "dns": records });
    assert_eq!(crate::verify::dkimpy(request).await, serde_json::json!([true]), "{}", report.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_family_is_tried_where_the_first_does_not_answer() {
    let db = Database::new().await;
    let (daemon, sink, net) = scene(&db, Script::default()).await;
    // Nobody listens there.
    net.dns.set("mx.far.test. 60 IN AAAA ::1");
    let mut smtp = alice(&daemon).await;
    send(&mut smtp, "<alice@example.test>", &["<both@far.test>"], "x").await;
    sink.wait_for(1).await;
    db.apply("update control.relay set ip_preference = 'ipv6 only', idle_seconds = 1").await;
    net.dns.set("six.test. 60 IN MX 10 mx.far.test.");
    send(&mut smtp, "<alice@example.test>", &["<six@six.test>"], "x").await;
    db.until(
        "select last_reply like '%no connection to [::1]:%' from queue.recipient where domain = 'six.test'",
    )
    .await;
    assert_eq!(sink.count(), 1);
    db.apply("update control.relay set ip_preference = 'ipv4 only'").await;
    db.sql("select queue.retry()").await;
    assert_eq!(sink.wait_for(2).await[1].addresses(), ["six@six.test"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_to_deliver_by_goes_along_and_ends_the_attempts() {
    let db = Database::new().await;
    let (daemon, sink, _net) = scene(&db, Script::default().offer("DELIVERBY").offer("MT-PRIORITY")).await;
    let mut smtp = alice(&daemon).await;
    send(&mut smtp, "<alice@example.test> BY=3600;RT MT-PRIORITY=4", &["<bob@far.test>"], "x").await;
    let message = &sink.wait_for(1).await[0];
    assert!(
        message.mail_from.contains(" MT-PRIORITY=4") && message.mail_from.contains(";RT"),
        "{}",
        message.mail_from
    );
    // T: the sender is told that it was relayed.
    db.until("select count(*) = 1 from queue.attempt where outcome = 'delivered'").await;
    sink.change(|script| script.always(At::Mail, Act::reply("451 4.3.0 Later")));
    send(&mut smtp, "<alice@example.test> BY=3600;R", &["<bob@far.test>"], "x").await;
    db.until("select attempts >= 1 from queue.recipient").await;
    db.sql("update queue.message set deliver_by = now() - interval '1 second'; select queue.retry()").await;
    db.until("select count(*) = 1 from report.message where subject = 'Not delivered: Hello'").await;
    let report = newest(&daemon, "alice").await;
    assert!(report.contains("Status: 5.4.7") && report.contains("the time that the sender gave"), "{report}");
    db.until(QUEUE_IS_EMPTY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_route_counts_from_the_next_message_on() {
    let db = Database::new().await;
    let (daemon, old, net) = scene(&db, Script::default()).await;
    let new = net.server("new.test", Script::default()).await;
    net.name("old.test", &old);
    db.apply(&format!(
        "update control.relay set idle_seconds = 3600, max_connections_per_destination = 1;
         insert into control.route (pattern, host, port) values ('*', 'old.test', {})",
        net.port
    ))
    .await;
    let mut smtp = alice(&daemon).await;
    send(&mut smtp, "<alice@example.test>", &["<a@one.test>"], "x").await;
    old.wait_for(1).await;
    // The connection to the old host is still there, and is not used any more.
    db.apply("update control.route set host = 'new.test'").await;
    send(&mut smtp, "<alice@example.test>", &["<b@one.test>"], "x").await;
    assert_eq!(new.wait_for(1).await[0].addresses(), ["b@one.test"]);
    assert_eq!(old.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_has_a_pace() {
    let db = Database::new().await;
    let (daemon, sink, net) = scene(&db, Script::default()).await;
    db.apply(&format!(
        "insert into control.route (pattern, host, port, max_messages_per_minute) values ('*', 'mx.far.test', {}, 2)",
        net.port
    ))
    .await;
    let mut smtp = alice(&daemon).await;
    for name in ["a", "b", "c"] {
        send(&mut smtp, "<alice@example.test>", &[&format!("<{name}@far.test>")], "x").await;
    }
    sink.wait_for(2).await;
    db.until("select count(*) = 2 from queue.attempt").await;
    assert_eq!(db.value::<i64>("select count(*) from queue.recipient").await, 1);
    // Without a limit it goes at once.
    db.apply("update control.route set max_messages_per_minute = 0").await;
    sink.wait_for(3).await;
}
