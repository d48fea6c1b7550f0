//! Bad input, by protocol: what is said to it is exact, memory stays bounded, nothing panics, and sessions beside it
//! are unharmed.
//!
//! Every test has [`Bystanders`]: well-behaved sessions of all three protocols that were there before, that work
//! afterwards, and that look at the daemon's log and memory.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::support::daemon::PASSWORD;
use crate::support::dialogue::{Language, tcp};
use crate::support::{Daemon, Database, Dialogue, PATIENCE};

/// By how much the daemon may have grown when all is over, bytes: far more than any one session is allowed, far less
/// than what the peers below would like it to keep.
const GROWTH: u64 = 64 << 20;

const MAIL: &[u8] = b"MAIL FROM:<sender@example.net>";
const RCPT: &[u8] = b"RCPT TO:<alice@example.test>";

/// What must not notice anything.
struct Bystanders<'a> {
    daemon: &'a Daemon<'a>,
    resident: u64,
    smtp: Dialogue,
    imap: Dialogue,
    pop3: Dialogue,
}

impl<'a> Bystanders<'a> {
    async fn new(daemon: &'a Daemon<'a>) -> Bystanders<'a> {
        let mut smtp = daemon.smtp().await;
        smtp.expect("220").await;
        smtp.send("EHLO bystander.example.net").await;
        smtp.expect("250").await;
        let mut imap = daemon.imap().await;
        imap.login("carol").await;
        imap.run("SELECT INBOX").await;
        let mut pop3 = daemon.pop3().await;
        pop3.login("carol").await;
        // Once, so that what the first message costs is part of what is compared with.
        let mut bystanders = Bystanders { daemon, resident: 0, smtp, imap, pop3 };
        bystanders.work().await;
        bystanders.resident = resident(daemon.pid());
        bystanders
    }

    /// A message to carol arrives, at once.
    async fn work(&mut self) {
        for (line, reply) in [(MAIL, "250"), (b"RCPT TO:<carol@example.test>", "250"), (b"DATA", "354")] {
            self.smtp.send_bytes(&[line, b"\r\n"].concat()).await;
            self.smtp.expect(reply).await;
        }
        self.smtp.data("Subject: as ever\n\nall is well\n").await;
        self.smtp.expect("250").await;
        let news = self.imap.run("NOOP").await;
        assert!(news.iter().any(|line| line.ends_with(" EXISTS")), "{news:?}");
        self.pop3.send("STAT").await;
        self.pop3.expect("+OK").await;
    }

    /// At the end of a test.
    async fn check(mut self) {
        self.work().await;
        let log = self.daemon.log();
        assert!(!log.contains("panicked"), "{log}");
        let now = resident(self.daemon.pid());
        assert!(now < self.resident + GROWTH, "memory: {} MB, was {} MB", now >> 20, self.resident >> 20);
    }
}

/// Resident memory of a process, bytes.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
}

/// Many mistakes in one session: how many are too many is a test of its own.
const TOLERANT: &str = "update control.smtp set max_errors = 1000; update control.imap set max_errors = 1000;
                        update control.pop3 set max_errors = 1000";

/// Sends each line and expects its answer, and that nothing more is answered.
async fn refused(dialogue: &mut Dialogue, (idle, fine): (&str, &str), rows: &[(&[u8], &str)]) {
    for (line, answer) in rows {
        dialogue.send_bytes(&[*line, b"\r\n"].concat()).await;
        dialogue.expect(answer).await;
        dialogue.send(idle).await;
        dialogue.expect(fine).await;
    }
}

/// Sends bytes, expects the answer, and that the connection is closed with it.
async fn sent_away(mut dialogue: Dialogue, bytes: &[u8], answers: &[&str]) {
    dialogue.send_bytes(bytes).await;
    for answer in answers {
        dialogue.expect(answer).await;
    }
    dialogue.expect_end().await;
}

fn repeated(text: &str, times: usize) -> Vec<u8> {
    text.repeat(times).into_bytes()
}

fn line(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

// SMTP -----------------------------------------------------------------------------------------------------------

/// A connection to port 25 after EHLO.
async fn greeted(daemon: &Daemon<'_>) -> Dialogue {
    let mut smtp = daemon.smtp().await;
    smtp.expect("220").await;
    smtp.send("EHLO client.example.net").await;
    smtp.expect("250").await;
    smtp
}

/// The same with a sender and a recipient.
async fn addressed(daemon: &Daemon<'_>) -> Dialogue {
    let mut smtp = greeted(daemon).await;
    for line in [MAIL, RCPT] {
        smtp.send_bytes(&[line, b"\r\n"].concat()).await;
        smtp.expect("250").await;
    }
    smtp
}

const NOOP: (&str, &str) = ("NOOP", "250 2.0.0 OK");

#[tokio::test]
async fn smtp_refuses_junk() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply(TOLERANT).await;
    let bystanders = Bystanders::new(&daemon).await;

    let mut smtp = daemon.smtp().await;
    smtp.expect("220").await;
    let before_ehlo: [(&[u8], &str); 20] = [
        (b"", "500"),
        (b"   ", "500"),
        (b"\0", "500"),
        (b"NOOP\0", "500"),
        (b"\x01\x02\x03", "500"),
        (b"\xff\xfe\xfd", "500"),
        (b"\x16\x03\x01\x02\x00\x01\x00", "500"),
        (b"GET / HTTP/1.1", "500"),
        (&repeated("NOOP ", 200_000), "500"),
        (&repeated("\u{fc}", 2000), "500"),
        (MAIL, "503"),
        (RCPT, "503"),
        (b"DATA", "503"),
        (b"BDAT 4\r\nNOOP", "503"),
        (b"STARTTLS", "503"),
        (b"AUTH PLAIN AGEAYg==", "502"),
        (b"LHLO client.example.net", "500"),
        (b"EHLO", "501"),
        (b"EHLO a\0b", "500"),
        (b"XCLIENT ADDR=192.0.2.1", "500"),
    ];
    // The chunk of BDAT has no line end of its own: what follows it is an empty line.
    for (line, answer) in before_ehlo {
        smtp.send_bytes(&[line, b"\r\n"].concat()).await;
        smtp.expect(answer).await;
        if line.starts_with(b"BDAT") {
            smtp.expect("500").await;
        }
        smtp.send(NOOP.0).await;
        smtp.expect(NOOP.1).await;
    }

    let mut smtp = greeted(&daemon).await;
    let long = repeated("x", 1000);
    let path = repeated("x", 5000);
    refused(
        &mut smtp,
        NOOP,
        &[
            (b"MAIL", "501"),
            (b"MAIL FROM", "501"),
            (b"MAIL FROM:", "501"),
            (b"MAIL FROM:<", "501"),
            (b"MAIL FROM:<a@b", "501"),
            (b"MAIL TO:<a@example.net>", "501"),
            (b"MAIL FROM:<@@>", "553"),
            (b"MAIL FROM:<a b@example.net>", "501"),
            (b"MAIL FROM:<a@example..net>", "553"),
            (b"MAIL FROM:<no-domain>", "553"),
            (&line(&[b"MAIL FROM:<", &long, b"@example.net>"]), "553"),
            (&line(&[b"MAIL FROM:<a@", &long, b".net>"]), "553"),
            (&line(&[b"MAIL FROM:<", &path, b"@example.net>"]), "500"),
            ("MAIL FROM:<\u{fc}@example.net>".as_bytes(), "553"),
            (b"MAIL FROM:<\xfc@example.net>", "500"),
            (b"MAIL FROM:<a@example.net> SIZE=x", "501"),
            (b"MAIL FROM:<a@example.net> SIZE=99999999999999999999", "552"),
            (b"MAIL FROM:<a@example.net> SIZE=1 SIZE=1", "501"),
            (b"MAIL FROM:<a@example.net> BODY=9BIT", "501"),
            (b"MAIL FROM:<a@example.net> X-Y=1", "555"),
            (b"MAIL FROM:<a@example.net> AUTH=<>", "555"),
            (b"MAIL FROM:<a@example.net> =", "501"),
            (b"RCPT TO:<alice@example.test>", "503"),
            (b"DATA", "503"),
            (b"AUTH PLAIN AGEAYg==", "502"),
            (b"EXPN staff", "502"),
            (b"VRFY alice", "252"),
            (b"BDAT 0 LAST", "503"),
        ],
    )
    .await;
    smtp.send_bytes(&[MAIL, b"\r\n"].concat()).await;
    smtp.expect("250").await;
    refused(
        &mut smtp,
        NOOP,
        &[
            (MAIL, "503"),
            (b"DATA", "554"),
            (b"BDAT 0 LAST", "554"),
            (b"RCPT", "501"),
            (b"RCPT TO:<>", "501"),
            (b"RCPT TO:<@>", "553"),
            (b"RCPT TO:<alice@example.test> NOTIFY=SOMETIMES", "501"),
            (b"RCPT TO:<alice@example.test> X=Y", "555"),
            (b"RCPT TO:<nobody@example.test>", "550"),
            (b"RCPT TO:<a@elsewhere.example>", "550"),
            (b"RCPT TO:<alice%elsewhere.example@example.test>", "550"),
            (b"RCPT TO:<elsewhere.example!a@example.test>", "550"),
            (b"RCPT TO:<@elsewhere.example:nobody@example.test>", "550"),
            (b"RCPT TO:<alice@[127.0.0.1]>", "550"),
            (b"RCPT TO:<\"alice\0\"@example.test>", "500"),
            (b"STARTTLS", "503"),
            (RCPT, "250"),
            (b"DATA now", "501"),
        ],
    )
    .await;
    // After all this the transaction is what it was.
    smtp.send("DATA").await;
    smtp.expect("354").await;
    smtp.data("Subject: still here\n\n").await;
    smtp.expect("250").await;
    bystanders.check().await;
}

#[tokio::test]
async fn smtp_refuses_what_has_no_end() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let bystanders = Bystanders::new(&daemon).await;

    let mut smtp = greeted(&daemon).await;
    smtp.send_bytes(&repeated("x", 1 << 20)).await;
    smtp.expect("500").await;
    smtp.send_bytes(b"\r\n").await;
    refused(&mut smtp, NOOP, &[(b"NOOP still in step", "250")]).await;
    // A bare LF is answered at once, and what follows it is not obeyed (RFC 5321 §2.3.8).
    smtp.send_bytes(b"NOOP\n").await;
    smtp.expect("500").await;
    smtp.send_bytes(b"QUIT\r\n").await;
    smtp.expect("500").await;
    refused(&mut smtp, NOOP, &[(b"NOOP still in step", "250")]).await;

    // Chunks of which nobody knows where they end, or that nobody wants to swallow.
    for size in ["", "x", "-1", "+1", "18446744073709551616", "99999999999999999999999", "1 FIRST", "0x10"] {
        let smtp = addressed(&daemon).await;
        sent_away(smtp, format!("BDAT {size}\r\n").as_bytes(), &["501"]).await;
    }
    for size in ["18446744073709551615", "9223372036854775808 LAST"] {
        let smtp = addressed(&daemon).await;
        sent_away(smtp, format!("BDAT {size}\r\n").as_bytes(), &["552"]).await;
        let smtp = greeted(&daemon).await;
        sent_away(smtp, format!("BDAT {size}\r\n").as_bytes(), &["503"]).await;
    }
    // One that is too large, but can be swallowed, is (RFC 3030 §2).
    db.apply("update control.smtp set max_message_bytes = 1048576").await;
    let mut smtp = addressed(&daemon).await;
    smtp.send_bytes(&line(&[b"BDAT 2097152\r\n", &repeated("x", 2 << 20)])).await;
    smtp.expect("552").await;
    smtp.send_bytes(b"BDAT 4 LAST\r\nabcd").await;
    smtp.expect("503").await;
    refused(&mut smtp, NOOP, &[(b"NOOP still in step", "250")]).await;
    bystanders.check().await;
}

#[tokio::test]
async fn smtp_counts_mistakes() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let bystanders = Bystanders::new(&daemon).await;
    let smtp = greeted(&daemon).await;
    sent_away(smtp, &repeated("NONSENSE\r\n", 100), &[["500"; 20].as_slice(), &["421"]].concat()).await;
    let imap = daemon.imap().await;
    sent_away(imap, &repeated("x NONSENSE\r\n", 100), &[["x BAD"; 50].as_slice(), &["* BYE"]].concat()).await;
    let pop3 = daemon.pop3().await;
    sent_away(pop3, &repeated("NONSENSE\r\n", 100), &["-ERR"; 20]).await;
    bystanders.check().await;
}

/// What follows the end of a message in the eyes of a careless server, and must stay part of it here.
const SMUGGLED: &[u8] = b"MAIL FROM:<evil@example.net>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n\
                          Subject: smuggled\r\n\r\nevil\r\n.\r\n";

#[tokio::test]
async fn no_second_message_is_smuggled() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let bystanders = Bystanders::new(&daemon).await;
    let mut arrived = 0;
    for (policy, taken) in [("refuse", false), ("normalise", true)] {
        db.apply(&format!("update control.smtp set bare_newline = '{policy}'")).await;
        for end in [
            "\n.\n",
            "\n.\r\n",
            "\r.\r\n",
            "\r.\r",
            "\r\n.\n",
            "\r\n.\r",
            "\n\n.\r\n",
            "\r\r\n.\n",
            "\r\n.\r\r\n",
            "\r\n\0.\r\n",
        ] {
            // NUL is none of the two that the policy is about.
            let taken = taken || end.contains('\0');
            let mut smtp = addressed(&daemon).await;
            smtp.send("DATA").await;
            smtp.expect("354").await;
            smtp.send_bytes(&line(&[b"Subject: first\r\n\r\nbody", end.as_bytes(), SMUGGLED])).await;
            smtp.expect(if taken { "250 2.0.0 Accepted" } else { "550 5.6.0" }).await;
            smtp.send("QUIT").await;
            smtp.expect("221").await;
            smtp.expect_end().await;
            arrived += i64::from(taken);
            let counts: Vec<i64> = mailbox_counts(&db).await;
            assert_eq!(counts, [arrived, 0], "alice, bob; {policy} {end:?}");
        }
    }
    bystanders.check().await;
}

/// How many messages alice and bob have.
async fn mailbox_counts(db: &Database) -> Vec<i64> {
    let rows = db
        .rows(
            "select (select count(*) from store.message m where m.account_id = a.id) from directory.account a
             where local_part in ('alice', 'bob') order by local_part",
        )
        .await;
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn nothing_is_injected_ahead_of_tls() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let bystanders = Bystanders::new(&daemon).await;
    // Whole commands and halves: neither is answered, neither becomes part of the first command under TLS.
    for glued in [
        "NOOP\r\n",
        "EHLO evil.example.net\r\nMAIL FROM:<evil@example.net>\r\n",
        "MAIL FROM:<evil@exa",
        "\r\n",
    ] {
        let mut smtp = greeted(&daemon).await;
        smtp.starttls_with(glued.as_bytes()).await;
        smtp.send_bytes(&[MAIL, b"\r\n"].concat()).await;
        smtp.expect("503").await;
        smtp.send("EHLO client.example.net").await;
        smtp.expect("250").await;
        for (line, reply) in [(MAIL, "250 2.1.0"), (RCPT, "250 2.1.5"), (b"RSET", "250"), (b"QUIT", "221")] {
            smtp.send_bytes(&[line, b"\r\n"].concat()).await;
            smtp.expect(reply).await;
        }
        smtp.expect_end().await;
    }
    for glued in
        ["x NOOP\r\n", "x LOGIN alice@example.test mailwright\r\n", "x LOGIN ev", "x LOGIN {5+}\r\nal"]
    {
        let mut imap = Dialogue::plain(daemon.port("imap"), Language::Imap).await;
        imap.expect("* OK").await;
        imap.starttls_with(glued.as_bytes()).await;
        imap.send("y SELECT INBOX").await;
        imap.expect("y BAD").await;
        imap.login("alice").await;
        imap.send("z LOGOUT").await;
        imap.expect("* BYE").await;
        imap.expect("z OK").await;
        imap.expect_end().await;
    }
    for glued in ["CAPA\r\n", "USER evil@example.test\r\n", "USER evil@exa", "QUIT\r\n"] {
        let mut pop3 = Dialogue::plain(daemon.port("pop3"), Language::Pop3).await;
        pop3.expect("+OK").await;
        pop3.starttls_with(glued.as_bytes()).await;
        pop3.send("PASS mailwright").await;
        pop3.expect("-ERR").await;
        pop3.login("alice").await;
        pop3.send("QUIT").await;
        pop3.expect("+OK").await;
        pop3.expect_end().await;
    }
    bystanders.check().await;
}

#[tokio::test]
async fn authentication_refuses_junk() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply(TOLERANT).await;
    let bystanders = Bystanders::new(&daemon).await;

    let mut smtp = Dialogue::plain(daemon.port("submission"), Language::Smtp).await;
    smtp.expect("220").await;
    smtp.send("EHLO client.example.net").await;
    smtp.expect("250").await;
    refused(
        &mut smtp,
        NOOP,
        &[(b"AUTH PLAIN AGEAYg==", "538"), (b"AUTH LOGIN", "538"), (b"AUTH CRAM-MD5", "504"), (MAIL, "530")],
    )
    .await;
    smtp.starttls().await;
    smtp.send("EHLO client.example.net").await;
    smtp.expect("250").await;
    let endless = repeated("A", 100_000);
    refused(
        &mut smtp,
        NOOP,
        &[
            (b"AUTH", "501"),
            (b"AUTH NONSENSE", "504"),
            (b"AUTH PLAIN =", "501"),
            (b"AUTH PLAIN !!!!", "501"),
            (b"AUTH PLAIN AAAA=AAA", "501"),
            (b"AUTH PLAIN AGEAYg== AGEAYg==", "501"),
            (b"AUTH PLAIN YWxpY2U=", "501"),
            (&line(&[b"AUTH PLAIN ", &endless]), "500"),
            (b"AUTH SCRAM-SHA-256 eCxuPSxyPQ==", "501"),
            (MAIL, "530"),
        ],
    )
    .await;
    // Answers to a challenge.
    for (answer, reply) in
        [(b"*".as_slice(), "501"), (b"!!!!", "501"), (b"", "501"), (b"\xff\0", "501"), (&endless, "500")]
    {
        smtp.send("AUTH PLAIN").await;
        smtp.expect("334").await;
        refused(&mut smtp, NOOP, &[(answer, reply)]).await;
    }
    smtp.login("alice").await;
    refused(&mut smtp, NOOP, &[(b"AUTH PLAIN AGEAYg==", "503")]).await;

    let mut imap = daemon.imap().await;
    refused(
        &mut imap,
        ("k NOOP", "k OK"),
        &[
            (b"x AUTHENTICATE", "x BAD"),
            (b"x AUTHENTICATE NONSENSE", "x NO"),
            (b"x AUTHENTICATE PLAIN !!!!", "x BAD"),
            (b"x AUTHENTICATE PLAIN YWxpY2U=", "x BAD"),
            (&line(&[b"x AUTHENTICATE PLAIN ", &repeated("A", 50_000)]), "x BAD"),
            (b"x LOGIN", "x BAD"),
            (b"x LOGIN alice@example.test", "x BAD"),
            (b"x LOGIN \"a\\b\" c", "x BAD"),
            (b"x LOGIN \"never ends", "x BAD"),
            (b"x LOGIN {3+}\r\na\0b {3+}\r\nabc", "x BAD"),
        ],
    )
    .await;
    for (answer, reply) in
        [(b"*".as_slice(), "x BAD"), (b"!!!!", "x BAD"), (b"", "x BAD"), (b"\xff", "x BAD")]
    {
        imap.send("x AUTHENTICATE PLAIN").await;
        imap.expect("+").await;
        refused(&mut imap, ("k NOOP", "k OK"), &[(answer, reply)]).await;
    }
    imap.login("alice").await;

    let mut pop3 = daemon.pop3().await;
    let idle = ("UTF8", "+OK");
    refused(
        &mut pop3,
        idle,
        &[
            (b"AUTH NONSENSE", "-ERR"),
            (b"AUTH PLAIN !!!!", "-ERR"),
            (b"AUTH PLAIN YWxpY2U=", "-ERR"),
            (&line(&[b"AUTH PLAIN ", &endless]), "-ERR"),
            (b"PASS mailwright", "-ERR"),
            (b"USER", "-ERR"),
            (b"APOP alice 0123", "-ERR"),
        ],
    )
    .await;
    for answer in [b"*".as_slice(), b"!!!!", b"", b"\xff", &endless] {
        pop3.send("AUTH PLAIN").await;
        pop3.expect("+").await;
        refused(&mut pop3, idle, &[(answer, "-ERR")]).await;
    }
    pop3.login("alice").await;
    bystanders.check().await;
}

#[tokio::test]
async fn ten_thousand_recipients() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let bystanders = Bystanders::new(&daemon).await;
    let mut smtp = greeted(&daemon).await;
    smtp.send_bytes(&[MAIL, b"\r\n"].concat()).await;
    smtp.expect("250").await;
    let pair = "RCPT TO:<alice@example.test>\r\nRCPT TO:<bob@example.test>\r\n";
    for block in 0..20 {
        smtp.send_bytes(&repeated(pair, 250)).await;
        for _ in 0..500 {
            // RFC 5321 §4.5.3.1.10: the rest is refused for now, and what was accepted stands.
            smtp.expect(if block < 2 { "250 2.1.5" } else { "452 4.5.3" }).await;
        }
    }
    smtp.send("DATA").await;
    smtp.expect("354").await;
    smtp.data("Subject: to all\n\n").await;
    smtp.expect("250").await;
    assert_eq!(mailbox_counts(&db).await, [1, 1]);
    bystanders.check().await;
}

#[tokio::test]
async fn huge_headers_are_refused() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let bystanders = Bystanders::new(&daemon).await;
    let one_line = format!("Subject: x\nX-Long: {}\n\nbody\n", "x".repeat(1 << 20));
    let folded = format!("Subject: x\nX-Long: {}\n\nbody\n", "x\n ".repeat(350_000));
    let many = format!("{}\nbody\n", "X-Field: 0123456789\n".repeat(52_429));
    let endless = "X-Field: 0123456789\n".repeat(52_429);
    for message in [one_line, folded, many, endless] {
        let mut submission = daemon.submission().await;
        submission.expect("220").await;
        submission.send("EHLO client.example.net").await;
        submission.expect("250").await;
        submission.login("bob").await;
        let mut smtp = greeted(&daemon).await;
        for dialogue in [&mut smtp, &mut submission] {
            for (line, reply) in [(MAIL, "250"), (RCPT, "250"), (b"DATA", "354")] {
                dialogue.send_bytes(&[line, b"\r\n"].concat()).await;
                dialogue.expect(reply).await;
            }
            dialogue.data(&message).await;
            dialogue.expect("552 5.3.4").await;
            refused(dialogue, NOOP, &[(b"NOOP still in step", "250")]).await;
        }
    }
    assert_eq!(mailbox_counts(&db).await, [0, 0]);
    bystanders.check().await;
}

// Messages -------------------------------------------------------------------------------------------------------

/// How often chunks of contents have been looked up, as far as PostgreSQL has counted it: it does so once a second in
/// each connection that is busy.
async fn chunk_reads(db: &Database) -> i64 {
    db.value(
        "select seq_scan + coalesce(idx_scan, 0) from pg_stat_user_tables
         where relid = 'store.content_chunk'::regclass",
    )
    .await
}

#[tokio::test]
async fn strange_messages_are_taken_and_shown() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    // Searches read the messages themselves.
    db.apply("update control.store set index_text = false").await;
    let bystanders = Bystanders::new(&daemon).await;
    let head = "Subject: strange\nMIME-Version: 1.0\n";
    let multipart =
        |level: usize| format!("Content-Type: multipart/mixed; boundary=b{level}\n\n--b{level}\n");
    let open: String = (0..1000).map(multipart).collect();
    let close: String = (0..1000).rev().map(|level| format!("--b{level}--\n")).collect();
    let same = "Content-Type: multipart/mixed; boundary=b\n\n--b\n".repeat(1000);
    let inner = "Content-Type: message/rfc822\n\n".repeat(1000);
    let parts = "--b\n\nx\n".repeat(100_000);
    let empty = "--b\n".repeat(100_000);
    let parameters = format!("Content-Type: text/plain{}\n\nx\n", "; a=b".repeat(30_000));
    let addresses = format!("To: {}\n\nx\n", "a@example.net,\n ".repeat(12_000));
    let groups = format!("To: {}\n\nx\n", "(".repeat(900) + &"a:".repeat(40_000));
    let encoded = format!("Subject: {}\n\nx\n", "=?utf-8?q?=C3=BC?=\n ".repeat(10_000));
    let messages = [
        format!("{head}{open}\nin the middle\n{close}"),
        format!("{head}{open}"),
        format!("{head}{same}\nin the middle\n"),
        format!("{head}{inner}Subject: innermost\n\ntext\n"),
        format!("{head}Content-Type: multipart/mixed; boundary=b\n\n{parts}--b--\n"),
        format!("{head}Content-Type: multipart/digest; boundary=b\n\n{empty}--b--\n"),
        format!("{head}{parameters}"),
        format!("{head}{addresses}"),
        format!("{head}{groups}"),
        encoded,
        "no header at all\n".to_owned(),
        ":\n: \n :\n\n".to_owned(),
    ];
    for (number, message) in messages.iter().enumerate() {
        let begin = Instant::now();
        daemon.deliver("alice", message).await;
        assert!(begin.elapsed() < PATIENCE, "message {number} took {:?}", begin.elapsed());
    }
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    imap.run("SELECT INBOX").await;
    for number in 1..=messages.len() {
        for item in
            ["BODYSTRUCTURE", "ENVELOPE", "BODY", "BODY.PEEK[1.1.1.1]", "BODY.PEEK[HEADER.FIELDS (SUBJECT)]"]
        {
            let begin = Instant::now();
            let answers = imap.run(&format!("FETCH {number} ({item})")).await;
            assert!(
                answers[0].starts_with(&format!("* {number} FETCH (")),
                "{number} {item}: {:?}",
                answers[0].len()
            );
            assert!(begin.elapsed() < Duration::from_secs(10), "{number} {item} took {:?}", begin.elapsed());
        }
    }
    // However many parts a message has, a search reads its chunks once.
    let (begin, reads) = (Instant::now(), chunk_reads(&db).await);
    assert_eq!(imap.run("SEARCH TEXT nowhere").await[0], "* SEARCH");
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(10), "the search took {took:?}");
    let reads = chunk_reads(&db).await - reads;
    assert!(reads < 500, "the search read chunks {reads} times");
    // Deeper than the structure is followed, text is searched as far as it is known to be text.
    let found = imap.run("SEARCH BODY middle").await;
    assert!(found[0].starts_with("* SEARCH") && found[0].contains(" 3"), "{found:?}");
    assert_eq!(imap.run("SEARCH LARGER 900000 BODY x").await[0], "* SEARCH 5");
    // What is stored is what came, to the byte.
    imap.send("t FETCH 5 (BODY.PEEK[TEXT])").await;
    let text = imap.expect_literal("* 5 FETCH").await;
    imap.expect("t OK").await;
    assert!(text == format!("{parts}--b--\n").replace('\n', "\r\n").into_bytes(), "the message has changed");
    bystanders.check().await;
}

// IMAP -----------------------------------------------------------------------------------------------------------

const KEEP: (&str, &str) = ("k NOOP", "k OK");

#[tokio::test]
async fn imap_refuses_junk_before_login() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply(TOLERANT).await;
    let bystanders = Bystanders::new(&daemon).await;
    let mut imap = daemon.imap().await;
    // More than a stranger may send, and it comes all the same (RFC 7888 §4).
    let literal = line(&[b"x LOGIN {5000+}\r\n", &repeated("x", 5000)]);
    refused(
        &mut imap,
        KEEP,
        &[
            (b"", "* BAD"),
            (b"x", "x BAD"),
            (b"x ", "x BAD"),
            (b" NOOP", "* BAD"),
            (b"* NOOP", "* BAD"),
            (b"+ NOOP", "* BAD"),
            (b"x% NOOP", "* BAD"),
            (b"(x) NOOP", "* BAD"),
            (b"\"x\" NOOP", "* BAD"),
            (b"\x01\x02 NOOP", "* BAD"),
            (b"\xff\xfe NOOP", "* BAD"),
            (b"x\0 NOOP", "* BAD"),
            (b"x NO\0OP", "x BAD"),
            (b"\x16\x03\x01\x02\x00\x01\x00", "* BAD"),
            (b"GET / HTTP/1.1", "GET BAD"),
            (&repeated("x", 10_000), "* BAD"),
            (&line(&[b"x NOOP ", &repeated("x", 1 << 15)]), "x BAD"),
            (&repeated("x", 1 << 16), "* BAD"),
            (b"x NOOP now", "x BAD"),
            (b"x  NOOP", "x BAD"),
            (b"x NONSENSE", "x BAD"),
            (b"x UID NOOP", "x BAD"),
            (b"x SELECT INBOX", "x BAD"),
            (b"x FETCH 1 FLAGS", "x BAD"),
            (b"x APPEND INBOX {4294967295}", "x BAD"),
            (b"x APPEND INBOX {5+}\r\nabcde", "x BAD"),
            (b"x IDLE", "x BAD"),
            (b"x STARTTLS", "x BAD"),
            (b"x LOGIN {4294967295}", "x BAD"),
            (b"x LOGIN {99999999999999999999}", "x BAD"),
            (b"x LOGIN {-1}", "x BAD"),
            (b"x LOGIN {}", "x BAD"),
            (&literal, "x BAD"),
        ],
    )
    .await;
    // What nobody wants to swallow ends the connection.
    for size in ["4294967295+", "99999999999999999999+", "18446744073709551615+"] {
        let imap = daemon.imap().await;
        sent_away(imap, format!("x LOGIN {{{size}}}\r\n").as_bytes(), &["x BAD", "* BYE"]).await;
    }
    for start in ["x NOOP ", "x LOGIN \"", "x AUTHENTICATE PLAIN "] {
        let endless = format!("{start}{}\r\n", "x".repeat(1 << 20));
        sent_away(daemon.imap().await, endless.as_bytes(), &["x BAD", "* BYE"]).await;
    }
    bystanders.check().await;
}

#[tokio::test]
async fn imap_refuses_junk_after_login() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply(TOLERANT).await;
    daemon.deliver("alice", "Subject: one\n\nbody\n").await;
    let bystanders = Bystanders::new(&daemon).await;
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    refused(
        &mut imap,
        KEEP,
        &[(b"x FETCH 1 FLAGS", "x BAD"), (b"x LOGIN a b", "x BAD"), (b"x EXPUNGE", "x BAD")],
    )
    .await;
    imap.run("SELECT INBOX").await;

    let set = |count| line(&[b"x FETCH ", &repeated("1,", count), b"1 FLAGS"]);
    let nested = |open: &str, close: &str, depth| {
        line(&[b"x SEARCH ", &repeated(open, depth), b"ALL", &repeated(close, depth)])
    };
    let section = line(&[b"x FETCH 1 BODY[1", &repeated(".1", 10_000), b"]"]);
    let pattern = line(&[b"x LIST \"\" \"", &repeated("*%", 5000), b"x\""]);
    let fields = line(&[b"x FETCH 1 BODY.PEEK[HEADER.FIELDS (", &repeated("a ", 20_000), b"a)]"]);
    let flags = line(&[b"x STORE 1 FLAGS (", &repeated("a ", 20_000), b"a)"]);
    let keyword = line(&[b"x STORE 1 FLAGS (", &repeated("a", 10_000), b")"]);
    let deep = line(&[b"x CREATE \"", &repeated("a/", 5000), b"a\""]);
    let list = line(&[b"x ID (", &repeated("\"a\" \"b\" ", 2000), b"\"a\" \"b\")"]);
    let two_megabytes = line(&[b"x SEARCH SUBJECT ", &repeated("x", 2 << 20)]);
    refused(
        &mut imap,
        KEEP,
        &[
            (b"x FETCH", "x BAD"),
            (b"x FETCH 0 FLAGS", "x BAD"),
            (b"x FETCH 4294967296 FLAGS", "x BAD"),
            (b"x FETCH 99999999999999999999 FLAGS", "x BAD"),
            (b"x FETCH 1:2:3 FLAGS", "x BAD"),
            (b"x FETCH 1,,2 FLAGS", "x BAD"),
            (b"x FETCH 1 (FLAGS", "x BAD"),
            (b"x FETCH 1 ()", "x BAD"),
            (b"x FETCH 1 NONSENSE", "x BAD"),
            (b"x FETCH 1 BODY[", "x BAD"),
            (b"x FETCH 1 BODY[0]", "x BAD"),
            (b"x FETCH 1 BODY[]<0.0>", "x BAD"),
            (b"x FETCH 1 BODY[]<99999999999999999999.1>", "x BAD"),
            (b"x FETCH 1 BODY[]<4294967295.4294967295>", "x OK"),
            (b"x FETCH 1 BODY[]<9223372036854775807.9223372036854775807>", "x OK"),
            (b"x UID FETCH 4294967295:* FLAGS", "x OK"),
            (&set(30_000), "x OK"),
            (&set(100_000), "x BAD"),
            (&section, "x OK"),
            (&fields, "x BAD"),
            (&flags, "x BAD"),
            (&keyword, "x BAD"),
            (b"x STORE 1 FLAGS (\\Nonsense)", "x BAD"),
            (b"x STORE 1 +FLAGS", "x BAD"),
            (b"x STORE 1 FLAGS (\xff)", "x BAD"),
            (b"x SEARCH", "x BAD"),
            (&nested("(", ")", 10_000), "x BAD"),
            (&nested("NOT ", "", 10_000), "x BAD"),
            (&nested("OR ALL ", "", 5_000), "x BAD"),
            (&line(&[b"x SEARCH ", &repeated("ALL ", 10_000), b"ALL"]), "x OK"),
            (b"x SEARCH CHARSET NONSENSE TEXT a", "x NO [BADCHARSET"),
            (b"x SEARCH SINCE 32-Jan-2020", "x BAD"),
            (b"x SEARCH UID 0", "x BAD"),
            (b"x SEARCH SUBJECT {4294967295}", "x BAD"),
            (b"x SEARCH SUBJECT {99999999999999999999}", "x BAD"),
            (b"x SEARCH SUBJECT {5+}\r\na\0b\0c", "x BAD"),
            (&two_megabytes, "x BAD"),
            (&pattern, "x OK"),
            (b"x COPY 1 nowhere", "x NO [TRYCREATE]"),
            (b"x COPY 1", "x BAD"),
            (b"x MOVE 1 nowhere", "x NO [TRYCREATE]"),
            (b"x SELECT \"&\"", "x BAD"),
            (b"x CREATE \"\"", "x NO [CANNOT]"),
            (b"x CREATE \"a\x7fb\"", "x NO [CANNOT]"),
            (b"x CREATE {3+}\r\na\0b", "x NO [CANNOT]"),
            (&deep, "x NO [CANNOT]"),
            (b"x DELETE INBOX", "x NO [CANNOT]"),
            (b"x RENAME nowhere somewhere", "x NO [NONEXISTENT]"),
            (b"x STATUS INBOX ()", "x BAD"),
            (b"x STATUS INBOX (NONSENSE)", "x BAD"),
            (b"x ENABLE", "x BAD"),
            (&list, "x BAD"),
            (b"x APPEND INBOX {4294967295}", "x NO [TOOBIG]"),
            (b"x APPEND INBOX {99999999999999999999}", "x BAD"),
            (b"x APPEND INBOX \"no date\" {5}", "x BAD"),
            (b"x APPEND INBOX (\\Seen {5}", "x BAD"),
            (b"x APPEND INBOX", "x BAD"),
            (b"x APPEND nowhere {5+}\r\nabcde", "x NO [TRYCREATE]"),
            (b"x APPEND INBOX {5+}\r\nabcde trailing", "x BAD"),
            (b"x LOGIN a b", "x BAD"),
            (b"x STARTTLS", "x BAD"),
            (b"x AUTHENTICATE PLAIN", "x BAD"),
        ],
    )
    .await;
    assert_eq!(mailbox_counts(&db).await, [1, 0], "nothing was appended");
    imap.send("x IDLE").await;
    imap.expect("+").await;
    refused(&mut imap, KEEP, &[(b"nonsense", "x BAD")]).await;

    for command in ["x SEARCH SUBJECT {4294967295+}", "x APPEND INBOX {99999999999999999999+}"] {
        let mut imap = daemon.imap().await;
        imap.login("alice").await;
        imap.run("SELECT INBOX").await;
        sent_away(imap, format!("{command}\r\n").as_bytes(), &["x BAD", "* BYE"]).await;
    }
    bystanders.check().await;
}

// POP3 -----------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn pop3_refuses_junk() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply(TOLERANT).await;
    daemon.deliver("alice", "Subject: one\n\nbody\n").await;
    let bystanders = Bystanders::new(&daemon).await;
    let long = repeated("x", 100_000);
    let mut pop3 = daemon.pop3().await;
    let before_login: [&[u8]; 18] = [
        b"",
        b" ",
        b"\0",
        b"UTF8\0",
        b"\xff\xfe",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/1.1",
        b"STAT",
        b"RETR 1",
        b"DELE 1",
        b"NOOP",
        b"PASS mailwright",
        b"USER",
        b"USER a\0b",
        b"STLS",
        b"STLS now",
        b"APOP alice 0123",
        &long,
    ];
    let rows: Vec<(&[u8], &str)> = before_login.iter().map(|line| (*line, "-ERR")).collect();
    refused(&mut pop3, ("UTF8", "+OK"), &rows).await;
    pop3.login("alice").await;
    let after_login: [&[u8]; 22] = [
        b"",
        b"NONSENSE",
        b"USER alice",
        b"STLS",
        b"AUTH PLAIN",
        b"RETR",
        b"RETR 0",
        b"RETR 2",
        b"RETR -1",
        b"RETR 1 1",
        b"RETR 4294967297",
        b"RETR 99999999999999999999",
        b"RETR \xd9\xa1",
        b"TOP 1",
        b"TOP 1 -1",
        b"TOP 1 1x",
        b"LIST 2",
        b"LIST x",
        b"UIDL 0",
        b"DELE 4294967296",
        b"STAT 1",
        &long,
    ];
    let rows: Vec<(&[u8], &str)> = after_login.iter().map(|line| (*line, "-ERR")).collect();
    refused(&mut pop3, ("NOOP", "+OK"), &rows).await;
    pop3.send("STAT").await;
    pop3.expect("+OK 1 ").await;

    // A line that never ends.
    let pop3 = daemon.pop3().await;
    sent_away(pop3, &repeated("x", 1 << 20), &["-ERR"]).await;
    bystanders.check().await;
}

// Peers ----------------------------------------------------------------------------------------------------------

/// Sends all of it, says that nothing more will come, and returns what is answered until the other side closes too.
async fn half_closed(port: u16, bytes: &[u8]) -> String {
    let mut stream = tcp(port).await;
    stream.write_all(bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut said = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("the server does not close").unwrap();
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn half_closed_peers_get_their_answers() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply(
        "update control.imap set require_tls_for_login = false; update control.pop3 set require_tls_for_login = false",
    )
    .await;
    let bystanders = Bystanders::new(&daemon).await;
    let whole = "EHLO client.example.net\r\nMAIL FROM:<sender@example.net>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n\
                 Subject: whole\r\n\r\n.\r\nNOOP half closed\r\n";
    let said = half_closed(daemon.port("smtp"), whole.as_bytes()).await;
    let codes: Vec<&str> =
        said.lines().filter(|line| line.as_bytes()[3] == b' ').map(|line| &line[..3]).collect();
    assert_eq!(codes, ["220", "250", "250", "250", "354", "250", "250"], "{said}");
    assert_eq!(mailbox_counts(&db).await, [1, 0]);
    // Half a message is none, however much of it there is.
    for part in [
        "DATA\r\nSubject: half\r\n\r\nbody\r\n",
        "DATA\r\nbody\r\n.",
        "BDAT 100 LAST\r\nSubject: half\r\n",
        "BDAT 4\r\nbody",
        "NOO",
    ] {
        let begun =
            "EHLO client.example.net\r\nMAIL FROM:<sender@example.net>\r\nRCPT TO:<alice@example.test>\r\n";
        let said = half_closed(daemon.port("smtp"), format!("{begun}{part}").as_bytes()).await;
        assert!(said.contains("\r\n250 2.1.5 "), "{said}");
        assert_eq!(mailbox_counts(&db).await, [1, 0], "{part}");
    }
    let said = half_closed(
        daemon.port("imap"),
        b"a LOGIN alice@example.test mailwright\r\nb SELECT INBOX\r\nc FETCH 1 FLAGS\r\nd NOO",
    )
    .await;
    assert!(said.contains("\r\na OK") && said.contains("\r\nb OK") && said.contains("\r\nc OK"), "{said}");
    let said = half_closed(
        daemon.port("imap"),
        b"a LOGIN alice@example.test mailwright\r\nb APPEND INBOX {100+}\r\nSubject: half",
    )
    .await;
    assert!(said.contains("\r\na OK") && !said.contains("\r\nb OK"), "{said}");
    let said = half_closed(
        daemon.port("imap"),
        b"a LOGIN alice@example.test mailwright\r\nb SELECT INBOX\r\nc IDLE\r\n",
    )
    .await;
    assert!(said.contains("\r\nb OK"), "{said}");
    // RFC 1939 §6: without QUIT nothing is deleted.
    let said =
        half_closed(daemon.port("pop3"), b"USER alice@example.test\r\nPASS mailwright\r\nDELE 1\r\nNOO")
            .await;
    assert_eq!(said.matches("+OK").count(), 4, "{said}");
    assert_eq!(mailbox_counts(&db).await, [1, 0]);
    bystanders.check().await;
}

#[tokio::test]
async fn silent_peers_are_sent_away() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    // Who has logged in may be silent for longer.
    let (mut user, mut reader) = (daemon.imap().await, daemon.pop3().await);
    user.login("carol").await;
    reader.login("carol").await;
    db.apply("update control.smtp set data_timeout_seconds = 1").await;
    let mut in_data = addressed(&daemon).await;
    in_data.send_bytes(b"DATA\r\nSubject: half").await;
    in_data.expect("354").await;
    db.apply(
        "update control.smtp set command_timeout_seconds = 1; update control.imap set login_timeout_seconds = 1;
         update control.pop3 set login_timeout_seconds = 1",
    )
    .await;
    let begin = Instant::now();
    let mut smtp = daemon.smtp().await;
    smtp.expect("220").await;
    let mut half = daemon.smtp().await;
    half.expect("220").await;
    half.send_bytes(b"EHLO cli").await;
    let mut imap = daemon.imap().await;
    let mut half_imap = daemon.imap().await;
    half_imap.send_bytes(b"a LOGIN {5+}\r\nal").await;
    let mut pop3 = daemon.pop3().await;
    for (dialogue, words) in [
        (&mut smtp, "421"),
        (&mut half, "421"),
        (&mut imap, "* BYE"),
        (&mut half_imap, "* BYE"),
        (&mut pop3, "-ERR"),
    ] {
        dialogue.expect(words).await;
        dialogue.expect_end().await;
    }
    assert!(begin.elapsed() >= Duration::from_millis(900), "patience was {:?}", begin.elapsed());
    // The time to log in is not the client's to stretch.
    let mut imap = daemon.imap().await;
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        imap.send("a NOOP").await;
        let answer = imap.answer().await;
        if answer.starts_with("* BYE") {
            break;
        }
        assert!(answer.starts_with("a OK") && Instant::now() < deadline, "{answer}");
    }
    let mut pop3 = daemon.pop3().await;
    loop {
        pop3.send("UTF8").await;
        let answer = pop3.answer().await;
        if answer.starts_with("-ERR") {
            break;
        }
        assert!(Instant::now() < deadline, "{answer}");
    }
    in_data.expect("421").await;
    in_data.expect_end().await;
    assert_eq!(mailbox_counts(&db).await, [0, 0]);
    user.run("NOOP").await;
    reader.send("NOOP").await;
    reader.expect("+OK").await;
    assert!(!daemon.log().contains("panicked"));
}

/// One byte at a time; returns what is answered until the other side closes.
async fn dripped(port: u16, bytes: &[u8]) -> String {
    let stream = tcp(port).await;
    stream.set_nodelay(true).unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let mut said = Vec::new();
    let drip = async {
        for byte in bytes {
            writer.write_all(&[*byte]).await.unwrap();
        }
    };
    let both = async { tokio::join!(drip, reader.read_to_end(&mut said)).1 };
    timeout(PATIENCE, both).await.expect("the server does not close").unwrap();
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn a_slow_drip_is_understood() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply(
        "update control.imap set require_tls_for_login = false; update control.pop3 set require_tls_for_login = false",
    )
    .await;
    let bystanders = Bystanders::new(&daemon).await;
    let said = dripped(
        daemon.port("smtp"),
        b"EHLO client.example.net\r\nMAIL FROM:<sender@example.net>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n\
          Subject: drip\r\n\r\n..\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<alice@example.test>\r\nBDAT 6\r\nSubjecBDAT 10 LAST\r\n\
          t: b\r\n\r\n\r\nQUIT\r\n",
    )
    .await;
    let codes: Vec<&str> =
        said.lines().filter(|line| line.as_bytes()[3] == b' ').map(|line| &line[..3]).collect();
    assert_eq!(
        codes,
        ["220", "250", "250", "250", "354", "250", "250", "250", "250", "250", "221"],
        "{said}"
    );
    let said = dripped(
        daemon.port("imap"),
        b"a LOGIN {18+}\r\nalice@example.test {10+}\r\nmailwright\r\nb SELECT INBOX\r\nc FETCH 1:* (BODY[TEXT])\r\n\
          d APPEND INBOX {15+}\r\nSubject: c\r\n\r\nx\r\ne LOGOUT\r\n",
    )
    .await;
    for part in ["a OK", "b OK", "* 1 FETCH (BODY[TEXT] {3}\r\n.\r\n", "c OK", "d OK", "* BYE", "e OK"] {
        assert!(said.contains(&format!("\r\n{part}")), "{part}: {said}");
    }
    let said = dripped(
        daemon.port("pop3"),
        b"USER alice@example.test\r\nPASS mailwright\r\nSTAT\r\nDELE 1\r\nRETR 3\r\nQUIT\r\n",
    )
    .await;
    assert!(said.contains("+OK 3 ") && said.contains("Subject: c\r\n\r\nx\r\n.\r\n"), "{said}");
    assert_eq!(mailbox_counts(&db).await, [2, 0]);
    bystanders.check().await;
}

#[tokio::test]
async fn a_crowd_that_says_nothing_holds_nobody_up() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let bystanders = Bystanders::new(&daemon).await;
    let mut crowd = Vec::new();
    for number in 0..300 {
        // Of half of them not even a TLS handshake comes.
        crowd.push(tcp(daemon.port(if number % 2 == 0 { "smtp" } else { "smtps" })).await);
    }
    for number in 0..10 {
        daemon.deliver("alice", &format!("Subject: {number}\n\n")).await;
    }
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    let answers = imap.run("SELECT INBOX").await;
    assert!(answers.contains(&"* 10 EXISTS".to_owned()), "{answers:?}");
    bystanders.check().await;
    drop(crowd);
}

#[tokio::test]
async fn a_peer_that_does_not_read_costs_itself_only() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply(
        "update control.imap set require_tls_for_login = false; update control.pop3 set require_tls_for_login = false",
    )
    .await;
    daemon.deliver("alice", &format!("Subject: long\n\n{}", "0123456789\n".repeat(300_000))).await;
    let bystanders = Bystanders::new(&daemon).await;
    let begins: [(&str, &[u8], &str); 3] = [
        ("smtp", b"EHLO client.example.net\r\n", "NOOP\r\n"),
        ("imap", b"a LOGIN alice@example.test mailwright\r\nb SELECT INBOX\r\n", "c FETCH 1 BODY.PEEK[]\r\n"),
        ("pop3", b"USER alice@example.test\r\nPASS mailwright\r\n", "RETR 1\r\n"),
    ];
    let daemon = &daemon;
    let greedy = begins.map(|(name, begin, command)| async move {
        let mut stream = tcp(daemon.port(name)).await;
        stream.write_all(begin).await.unwrap();
        // It must come to a halt: the server stops reading a client that does not read.
        let block = command.repeat(10_000);
        let flood = async {
            for _ in 0..1000 {
                stream.write_all(block.as_bytes()).await.unwrap();
            }
        };
        assert!(
            timeout(Duration::from_secs(2), flood).await.is_err(),
            "{name}: the server reads without end"
        );
        stream
    });
    let greedy = futures_util::future::join_all(greedy).await;
    bystanders.check().await;
    drop(greedy);
}

// Guessing -------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn guessing_locks_known_and_unknown_names_alike() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let bystanders = Bystanders::new(&daemon).await;
    let mut told = Vec::new();
    for name in ["alice@example.test", "nobody@example.test"] {
        let mut answers = Vec::new();
        let mut imap = daemon.imap().await;
        // By all three doors, counted together.
        for guess in 0..6 {
            match guess % 3 {
                0 => {
                    imap.send(&format!("x LOGIN {name} wrong{guess}")).await;
                    answers.push(imap.expect("x NO [AUTHENTICATIONFAILED]").await);
                }
                1 => answers.push(pop3_login(&daemon, name, "wrong").await),
                _ => answers.push(smtp_login(&daemon, name, "wrong").await),
            }
        }
        // The right one comes too late.
        imap.send(&format!("x LOGIN {name} {PASSWORD}")).await;
        answers.push(imap.expect("x NO").await);
        answers.push(pop3_login(&daemon, name, PASSWORD).await);
        answers.push(smtp_login(&daemon, name, PASSWORD).await);
        assert!(answers[1].starts_with("-ERR [AUTH]") && answers[2].starts_with("535 5.7.8"), "{answers:?}");
        assert!(answers[6].contains("locked") && answers[7].starts_with("-ERR"), "{answers:?}");
        assert!(answers[8].starts_with("454 4.7.0"), "{answers:?}");
        told.push(answers);
    }
    assert_eq!(told[0], told[1], "nobody learns who exists");

    // Others log in, until their address has guessed too often, at whatever names.
    assert!(pop3_login(&daemon, "bob@example.test", PASSWORD).await.starts_with("+OK"));
    db.apply("update control.directory set max_peer_login_failures = 13").await;
    assert!(pop3_login(&daemon, "somebody@example.test", "wrong").await.starts_with("-ERR"));
    assert!(pop3_login(&daemon, "bob@example.test", PASSWORD).await.starts_with("-ERR"));
    // An administrator lets them in again.
    db.sql("delete from live.login_failure").await;
    for name in ["alice@example.test", "bob@example.test"] {
        assert!(pop3_login(&daemon, name, PASSWORD).await.starts_with("+OK"));
    }
    bystanders.check().await;
}

async fn pop3_login(daemon: &Daemon<'_>, name: &str, password: &str) -> String {
    let mut pop3 = daemon.pop3().await;
    pop3.send(&format!("USER {name}")).await;
    pop3.expect("+OK").await;
    pop3.send(&format!("PASS {password}")).await;
    pop3.answer().await
}

async fn smtp_login(daemon: &Daemon<'_>, name: &str, password: &str) -> String {
    let mut smtp = daemon.submission().await;
    smtp.expect("220").await;
    smtp.send("EHLO client.example.net").await;
    smtp.expect("250").await;
    smtp.send(&format!("AUTH PLAIN {}", STANDARD.encode(format!("\0{name}\0{password}")))).await;
    smtp.answer().await
}
