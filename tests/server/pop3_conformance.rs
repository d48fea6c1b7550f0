//! POP3 as its RFCs have it, command by command and answer by answer: 1939, 2449, 2595, 3206, 5034, 6856.
//!
//! Their example dialogues are here as they stand there, as far as a server decides what it says: the texts behind +OK
//! and -ERR are ours, and APOP is not offered.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::support::daemon::PASSWORD;
use crate::support::dialogue::{Dialogue, Language, tcp};
use crate::support::{Daemon, Database, PATIENCE, ask_until};

/// Passwords over plain connections, as the RFCs' examples send them, and names without a domain.
const AS_OF_OLD: &str =
    "update control.pop3 set require_tls_for_login = false; update directory.domain set is_default = true";

/// A connection without TLS, its greeting read.
async fn plain(daemon: &Daemon<'_>) -> Dialogue {
    let mut pop3 = Dialogue::plain(daemon.port("pop3"), Language::Pop3).await;
    pop3.expect("+OK").await;
    pop3
}

/// Says a line and expects how the answer begins.
async fn say(pop3: &mut Dialogue, line: &str, answer: &str) -> String {
    pop3.send(line).await;
    pop3.expect(answer).await
}

/// Says a line whose answer has several, and returns those after the first.
async fn ask(pop3: &mut Dialogue, line: &str) -> Vec<String> {
    say(pop3, line, "+OK").await;
    pop3.lines().await
}

/// A dialogue of commands and how their answers begin; an answer of several lines stands whole.
async fn dialogue(pop3: &mut Dialogue, lines: &[(&str, &str)]) {
    for (line, expected) in lines {
        let mut expected = expected.split("\r\n");
        say(pop3, line, expected.next().unwrap()).await;
        let rest: Vec<&str> = expected.collect();
        if !rest.is_empty() {
            assert_eq!([pop3.lines().await, vec![".".to_owned()]].concat(), rest, "{line}");
        }
    }
}

/// All that is answered to these bytes by alice's session on a plain connection, byte for byte. It must end with QUIT.
async fn session(daemon: &Daemon<'_>, bytes: &[u8]) -> Vec<u8> {
    let login = format!("USER alice\r\nPASS {PASSWORD}\r\n");
    let mut stream = tcp(daemon.port("pop3")).await;
    let (mut read, mut write) = stream.split();
    let all = [login.as_bytes(), bytes].concat();
    let mut answer = Vec::new();
    let both = async { tokio::join!(write.write_all(&all), read.read_to_end(&mut answer)) };
    let (sent, received) = timeout(PATIENCE, both).await.expect("the session does not end");
    sent.unwrap();
    received.unwrap();
    // The greeting, and the answers to the login.
    let ends: Vec<usize> = memchr::memchr_iter(b'\n', &answer).collect();
    answer.split_off(ends[2] + 1)
}

/// Puts a message into alice's INBOX as it is.
async fn put(imap: &mut Dialogue, message: &[u8]) {
    imap.send_literal("a APPEND INBOX", message).await;
    imap.expect("a OK").await;
}

/// A message of so many octets.
fn sized(octets: usize) -> Vec<u8> {
    let mut message = b"Subject: sized\r\n\r\n".to_vec();
    message.resize(octets - 2, b'x');
    message.extend_from_slice(b"\r\n");
    message
}

/// Messages of 120 and 200 octets, those of the RFC's examples.
async fn two_messages(daemon: &Daemon<'_>) {
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    put(&mut imap, &sized(120)).await;
    put(&mut imap, &sized(200)).await;
}

async fn count(db: &Database) -> i64 {
    db.value("select count(*) from store.message").await
}

// RFC 1939 -------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn the_session_of_rfc_1939_section_10() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply(AS_OF_OLD).await;
    two_messages(&daemon).await;
    let [first, second] = [120, 200].map(|octets| String::from_utf8(sized(octets)).unwrap());
    let got = session(&daemon, b"STAT\r\nLIST\r\nRETR 1\r\nDELE 1\r\nRETR 2\r\nDELE 2\r\nQUIT\r\n").await;
    assert_eq!(
        String::from_utf8(got).unwrap(),
        format!(
            "+OK 2 320\r\n\
             +OK 2 messages (320 octets)\r\n1 120\r\n2 200\r\n.\r\n\
             +OK 120 octets\r\n{first}.\r\n\
             +OK message 1 goes with QUIT\r\n\
             +OK 200 octets\r\n{second}.\r\n\
             +OK message 2 goes with QUIT\r\n\
             +OK 2 messages deleted, bye\r\n"
        )
    );
    assert_eq!(count(&db).await, 0);
}

#[tokio::test]
async fn the_examples_of_rfc_1939_sections_5_and_7() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply(AS_OF_OLD).await;
    two_messages(&daemon).await;
    db.sql(
        "update store.message set pop3_uidl = case uid when 1 then 'whqtswO00WBw418f9t5JxYwZ' else 'QhdPYR:00WBw1Ph7x7' end",
    )
    .await;
    let mut pop3 = plain(&daemon).await;
    dialogue(
        &mut pop3,
        &[
            // Whether there is such a user is not told, which §7 leaves to the server (and §13 asks to think of).
            ("USER frated", "+OK"),
            ("USER alice", "+OK"),
            ("PASS mailwright", "+OK "),
            ("STAT", "+OK 2 320"),
            ("LIST", "+OK 2 messages (320 octets)\r\n1 120\r\n2 200\r\n."),
            ("LIST 2", "+OK 2 200"),
            ("LIST 3", "-ERR there is no message 3"),
            ("UIDL", "+OK\r\n1 whqtswO00WBw418f9t5JxYwZ\r\n2 QhdPYR:00WBw1Ph7x7\r\n."),
            ("UIDL 2", "+OK 2 QhdPYR:00WBw1Ph7x7"),
            ("UIDL 3", "-ERR there is no message 3"),
            ("TOP 100 3", "-ERR there is no message 100"),
            ("RETR 3", "-ERR there is no message 3"),
            ("DELE 1", "+OK message 1"),
            ("DELE 1", "-ERR message 1 is deleted"),
            // §5: a message that is marked is not referred to any more, and not counted.
            ("RETR 1", "-ERR"),
            ("TOP 1 0", "-ERR"),
            ("LIST 1", "-ERR"),
            ("UIDL 1", "-ERR"),
            ("STAT", "+OK 1 200"),
            ("LIST", "+OK 1 messages (200 octets)\r\n2 200\r\n."),
            ("UIDL", "+OK\r\n2 QhdPYR:00WBw1Ph7x7\r\n."),
            ("NOOP", "+OK"),
            ("RSET", "+OK the maildrop has 2 messages (320 octets)"),
            ("STAT", "+OK 2 320"),
            // §3: any case, and nothing else.
            ("stat", "+OK 2 320"),
            ("LiSt 1", "+OK 1 120"),
            ("STATS", "-ERR"),
            ("LAST", "-ERR"),
            ("QUIT", "+OK"),
        ],
    )
    .await;
    pop3.expect_end().await;
    assert_eq!(count(&db).await, 2);

    // An empty maildrop: §5 has LIST answer with the dot alone.
    let mut bob = plain(&daemon).await;
    bob.login("bob").await;
    dialogue(
        &mut bob,
        &[
            ("STAT", "+OK 0 0"),
            ("LIST", "+OK 0\r\n."),
            ("UIDL", "+OK\r\n."),
            ("RETR 1", "-ERR"),
            ("QUIT", "+OK bye"),
        ],
    )
    .await;
}

#[tokio::test]
async fn commands_out_of_their_state_are_refused() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply(&format!("{AS_OF_OLD}; update control.pop3 set max_errors = 1000")).await;
    two_messages(&daemon).await;
    let transaction = ["STAT", "LIST", "LIST 1", "RETR 1", "DELE 1", "NOOP", "RSET", "TOP 1 0", "UIDL"];
    let mut pop3 = plain(&daemon).await;
    for line in transaction {
        say(&mut pop3, line, "-ERR log in before").await;
    }
    say(&mut pop3, "PASS mailwright", "-ERR USER first").await;
    pop3.login("alice").await;
    for line in transaction {
        // The fifth has marked the message that the eighth asks for; the seventh has brought it back.
        say(&mut pop3, line, "+OK").await;
        if ["LIST", "RETR 1", "TOP 1 0", "UIDL"].contains(&line) {
            pop3.lines().await;
        }
    }
    for line in ["USER alice", "PASS mailwright", "AUTH PLAIN", "AUTH", "APOP a b", "STLS", "UTF8"] {
        say(&mut pop3, line, "-ERR you are logged in").await;
    }
    // Arguments (§3): as many as the command has, with one space before each.
    for line in [
        "STAT 1", "NOOP 1", "RSET 1", "QUIT 1", "LIST 1 2", "LIST  1", "RETR", "DELE", "TOP 1", "UIDL 1 2",
        "CAPA x",
    ] {
        say(&mut pop3, line, "-ERR").await;
    }
    say(&mut pop3, "QUIT", "+OK").await;
    assert_eq!(count(&db).await, 2);
}

#[tokio::test]
async fn only_quit_deletes() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply(AS_OF_OLD).await;
    two_messages(&daemon).await;
    // §6: a session that ends in another way than by QUIT removes nothing: dropped, ended by an administrator, or by the
    // service's end.
    let mut dropped = plain(&daemon).await;
    dropped.login("alice").await;
    say(&mut dropped, "DELE 1", "+OK").await;
    drop(dropped);
    db.until("select count(*) = 0 from live.session where login = 'alice@example.test'").await;

    let mut ended = plain(&daemon).await;
    ended.login("alice").await;
    say(&mut ended, "DELE 1", "+OK").await;
    db.until("select count(*) = 1 from live.session where login = 'alice@example.test'").await;
    db.sql("delete from live.session where login = 'alice@example.test'").await;
    ended.expect("-ERR [SYS/TEMP]").await;
    ended.expect_end().await;

    let mut stopped = plain(&daemon).await;
    stopped.login("alice").await;
    say(&mut stopped, "DELE 1", "+OK").await;
    db.apply("update control.service set enabled = false where name = 'pop3'").await;
    stopped.rest().await;
    db.apply("update control.service set enabled = true where name = 'pop3'").await;
    assert_eq!(count(&db).await, 2);

    // QUIT does, and whoever looks on by IMAP is told.
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    imap.run("SELECT INBOX").await;
    imap.send("i IDLE").await;
    imap.expect("+").await;
    let mut pop3 = plain(&daemon).await;
    pop3.login("alice").await;
    say(&mut pop3, "DELE 1", "+OK").await;
    say(&mut pop3, "QUIT", "+OK 1 messages deleted").await;
    pop3.expect_end().await;
    imap.expect("* 1 EXPUNGE").await;
    assert_eq!(count(&db).await, 1);
}

#[tokio::test]
async fn the_maildrop_stays_as_it_was_at_login() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply(AS_OF_OLD).await;
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    for number in 1..=4 {
        put(&mut imap, format!("Subject: {number}\r\n\r\nbody {number}\r\n").as_bytes()).await;
    }
    let (mut pop3, mut other) = (plain(&daemon).await, plain(&daemon).await);
    pop3.login("alice").await;
    // No lock (§4): both are let in, and neither shifts the other's numbers.
    other.login("alice").await;
    let before = [ask(&mut pop3, "LIST").await, ask(&mut pop3, "UIDL").await];
    imap.run("SELECT INBOX").await;
    imap.run("STORE 2 +FLAGS.SILENT (\\Deleted)").await;
    imap.run("EXPUNGE").await;
    imap.run("MOVE 2 Trash").await;
    put(&mut imap, b"Subject: 5\r\n\r\nbody 5\r\n").await;
    assert_eq!([ask(&mut pop3, "LIST").await, ask(&mut pop3, "UIDL").await], before);
    // Expunged, and moved away.
    for line in ["RETR 2", "TOP 2 0", "RETR 3", "TOP 3 1"] {
        say(&mut pop3, line, "-ERR there is no such message any more").await;
    }
    assert_eq!(ask(&mut pop3, "RETR 4").await.last().unwrap(), "body 4");
    say(&mut pop3, "RETR 5", "-ERR there is no message 5").await;
    for number in [2, 3, 4] {
        say(&mut pop3, &format!("DELE {number}"), "+OK").await;
    }
    say(&mut other, "DELE 4", "+OK").await;
    say(&mut pop3, "QUIT", "+OK").await;
    say(&mut other, "QUIT", "+OK").await;
    // What was moved away is not theirs any more; what came later stays.
    let left = db.rows(
        "select m.name, x.uid from store.message x join store.mailbox m on m.id = x.mailbox_id order by 1, 2",
    );
    let left: Vec<(String, i64)> = left.await.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(left, [("INBOX".to_owned(), 1), ("INBOX".to_owned(), 5), ("Trash".to_owned(), 1)]);
    assert_eq!(db.value::<i64>("select count(*) from report.quota_drift").await, 0);
}

#[tokio::test]
async fn dots_are_stuffed_and_lines_end_with_crlf() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply(AS_OF_OLD).await;
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    let dots = b"Subject: dots\r\n.X: not folded\r\n\r\n.\r\n..\r\n...\r\n.a\r\na.\r\n\r\n.".to_vec();
    put(&mut imap, &dots).await;
    put(&mut imap, b".\r\n").await;
    put(&mut imap, b"Subject: bare\r\n\r\na\n.\nb\r.\rc\r\n").await;
    let got = session(&daemon, b"RETR 1\r\nTOP 1 2\r\nRETR 2\r\nRETR 3\r\nQUIT\r\n").await;
    let expected = format!(
        // §3: a line that begins with the dot gets another; a last line without an end gets one.
        "+OK {} octets\r\nSubject: dots\r\n..X: not folded\r\n\r\n..\r\n...\r\n....\r\n..a\r\na.\r\n\r\n..\r\n.\r\n\
         +OK the top of it\r\nSubject: dots\r\n..X: not folded\r\n\r\n..\r\n...\r\n.\r\n\
         +OK 3 octets\r\n..\r\n.\r\n\
         +OK 28 octets\r\nSubject: bare\r\n\r\na\r\n..\r\nb\r\n..\r\nc\r\n.\r\n\
         +OK bye\r\n",
        dots.len()
    );
    assert_eq!(got.escape_ascii().to_string(), expected.as_bytes().escape_ascii().to_string());
}

#[tokio::test]
async fn top_gives_as_many_lines_as_asked() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply(AS_OF_OLD).await;
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    put(&mut imap, b"Subject: three\r\n\r\none\r\ntwo\r\nthree\r\n").await;
    put(&mut imap, b"Subject: no body\r\n").await;
    put(&mut imap, b"Subject: empty body\r\n\r\n").await;
    let mut pop3 = plain(&daemon).await;
    pop3.login("alice").await;
    let all = ["Subject: three", "", "one", "two", "three"];
    for (lines, expected) in [
        ("0", 2),
        ("1", 3),
        ("3", 5),
        // §7: more than there are is the whole message.
        ("4", 5),
        ("4294967295", 5),
        ("4294967296", 5),
        ("99999999999999999999999999", 5),
    ] {
        assert_eq!(ask(&mut pop3, &format!("TOP 1 {lines}")).await, all[..expected], "{lines}");
    }
    assert_eq!(ask(&mut pop3, "TOP 2 5").await, ["Subject: no body"]);
    assert_eq!(ask(&mut pop3, "TOP 3 5").await, ["Subject: empty body", ""]);
    for line in ["TOP 1 -1", "TOP 1 x", "TOP 1 ", "TOP 0 1", "TOP 4 1"] {
        say(&mut pop3, line, "-ERR").await;
    }
    // §5: looking at a message changes nothing about it.
    assert_eq!(db.value::<i64>("select count(*) from store.message where seen").await, 0);
}

#[tokio::test]
async fn numbers_beyond_four_gigabytes() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply(AS_OF_OLD).await;
    two_messages(&daemon).await;
    // What the table says is what is listed; as the daemon, so that no trigger mends it.
    db.sql("set mailwright.daemon = 'on'; update store.message set size = 5000000000 where uid = 1; reset mailwright.daemon")
        .await;
    let mut pop3 = plain(&daemon).await;
    pop3.login("alice").await;
    dialogue(
        &mut pop3,
        &[
            ("STAT", "+OK 2 5000000200"),
            ("LIST", "+OK 2 messages (5000000200 octets)\r\n1 5000000000\r\n2 200\r\n."),
            ("LIST 1", "+OK 1 5000000000"),
            ("DELE 1", "+OK"),
            ("STAT", "+OK 1 200"),
            ("RETR 4294967297", "-ERR"),
            ("RETR 18446744073709551617", "-ERR"),
            ("DELE 4294967298", "-ERR"),
        ],
    )
    .await;
}

#[tokio::test]
async fn unique_ids_last() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply(AS_OF_OLD).await;
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    for number in 1..=5 {
        put(&mut imap, format!("Subject: {number}\r\n\r\n").as_bytes()).await;
    }
    // Brought along: one twice, one that is none (§7: 1 to 70 characters from 0x21 to 0x7E), one that could be ours.
    db.sql(
        "update store.message m set pop3_uidl = case uid when 1 then 'same' when 2 then 'same' when 3 then 'with space'
           when 4 then (select uid_validity || '.9' from store.mailbox b where b.id = m.mailbox_id) end",
    )
    .await;
    let ids = async || {
        let mut pop3 = plain(&daemon).await;
        pop3.login("alice").await;
        let lines = ask(&mut pop3, "UIDL").await;
        let mut ids = Vec::new();
        for line in lines {
            let (number, id) = line.split_once(' ').unwrap();
            say(&mut pop3, &format!("UIDL {number}"), &format!("+OK {line}")).await;
            assert!((1..=70).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()), "{id}");
            ids.push(id.to_owned());
        }
        say(&mut pop3, "QUIT", "+OK").await;
        ids
    };
    let first = ids().await;
    assert_eq!(first[0], "same");
    let distinct: std::collections::BTreeSet<_> = first.iter().collect();
    assert_eq!(distinct.len(), 5, "{first:?}");
    assert_eq!(ids().await, first);

    // Flags change nothing, nor does what happens to others: the second keeps its own when the first goes.
    imap.run("SELECT INBOX").await;
    imap.run("STORE 1:* +FLAGS (\\Seen work)").await;
    imap.run("STORE 1 +FLAGS (\\Deleted)").await;
    imap.run("EXPUNGE").await;
    put(&mut imap, b"Subject: 6\r\n\r\n").await;
    let second = ids().await;
    assert_eq!(second[..4], first[1..]);
    assert!(!first.contains(&second[4]), "{second:?}");

    // What goes and comes back is new, and nobody gets an id again, not even in an emptied INBOX.
    imap.run("MOVE 5 Archive").await;
    imap.run("RENAME INBOX Old").await;
    put(&mut imap, b"Subject: 7\r\n\r\n").await;
    imap.run("SELECT Archive").await;
    imap.run("MOVE 1 INBOX").await;
    let third = ids().await;
    assert_eq!(third.len(), 2);
    assert!(third.iter().all(|id| !first.contains(id) && !second.contains(id)), "{third:?} {second:?}");
}

// RFC 2449 -------------------------------------------------------------------------------------------------------

const FIXED: [&str; 9] = [
    "TOP",
    "UIDL",
    "RESP-CODES",
    "AUTH-RESP-CODE",
    "PIPELINING",
    "EXPIRE NEVER",
    "UTF8 USER",
    "LANG",
    "IMPLEMENTATION Mailwright",
];

/// What CAPA says beyond that which it always says.
async fn further(pop3: &mut Dialogue) -> Vec<String> {
    let mut lines = ask(pop3, "CAPA").await;
    for fixed in FIXED {
        let at =
            lines.iter().position(|line| line == fixed).unwrap_or_else(|| panic!("no {fixed} in {lines:?}"));
        lines.remove(at);
    }
    lines
}

#[tokio::test]
async fn capabilities_by_state_and_protection() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut pop3 = plain(&daemon).await;
    assert_eq!(further(&mut pop3).await, ["STLS", "SASL SCRAM-SHA-256"]);
    let secured = ["USER", "SASL SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN"];
    pop3.starttls().await;
    assert_eq!(further(&mut pop3).await, secured);
    pop3.login("alice").await;
    assert_eq!(further(&mut pop3).await, secured);
    let mut implicit = daemon.pop3().await;
    assert_eq!(further(&mut implicit).await, secured);

    db.apply(&format!("{AS_OF_OLD}; update control.pop3 set login_delay_seconds = 60")).await;
    let mut pop3 = plain(&daemon).await;
    let open = ["USER", "SASL SCRAM-SHA-256 PLAIN LOGIN"];
    // §6.7; and RFC 2595 §4 has STLS in the AUTHORIZATION state only.
    assert_eq!(further(&mut pop3).await, [&["LOGIN-DELAY 60", "STLS"], &open[..]].concat());
    pop3.login("bob").await;
    assert_eq!(further(&mut pop3).await, [&["LOGIN-DELAY 60"], &open[..]].concat());
}

#[tokio::test]
async fn thousands_of_pipelined_commands_are_answered_in_order() {
    const TIMES: usize = 5000;
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply(AS_OF_OLD).await;
    two_messages(&daemon).await;
    let mut commands = String::new();
    let mut expected = String::new();
    for number in 0..TIMES {
        let (command, answer) = match number % 4 {
            0 => ("NOOP", "+OK still here\r\n"),
            1 => ("LIST 2", "+OK 2 200\r\n"),
            2 => ("STAT", "+OK 2 320\r\n"),
            _ => ("LIST", "+OK 2 messages (320 octets)\r\n1 120\r\n2 200\r\n.\r\n"),
        };
        commands.push_str(command);
        commands.push_str("\r\n");
        expected.push_str(answer);
    }
    commands.push_str("DELE 2\r\nRETR 2\r\nRSET\r\nQUIT\r\nSTAT\r\n");
    let got = session(&daemon, commands.as_bytes()).await;
    let (got, last) = got.split_at(expected.len());
    assert!(got == expected.as_bytes(), "an answer is missing or out of order");
    let last: Vec<String> = String::from_utf8_lossy(last).lines().map(str::to_owned).collect();
    let starts = ["+OK", "-ERR message 2 is deleted", "+OK the maildrop has 2", "+OK bye"];
    assert_eq!(last.len(), starts.len(), "{last:?}");
    assert!(last.iter().zip(starts).all(|(line, start)| line.starts_with(start)), "{last:?}");
}

/// Logs in until the answer begins so: nobody tells when another session's place is free.
async fn password_until(mut pop3: Dialogue, user: &str, answer: &str) -> Dialogue {
    ask_until(async || {
        say(&mut pop3, &format!("USER {user}"), "+OK").await;
        pop3.send(&format!("PASS {PASSWORD}")).await;
        let came = pop3.answer().await;
        if came.starts_with(answer) { Ok(()) } else { Err(came) }
    })
    .await;
    pop3
}

#[tokio::test]
async fn response_codes() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut pop3 = plain(&daemon).await;
    // RFC 3206 §4: AUTH is for what the user can mend, which a password in the clear is.
    say(&mut pop3, "USER alice@example.test", "-ERR [AUTH] ").await;
    db.apply(&format!(
        "{AS_OF_OLD}; update control.service set max_connections_per_account = 1 where name = 'pop3';
         update control.pop3 set max_errors = 1000000;
         update directory.account set forbidden_services = '{{pop3}}' where local_part = 'carol'"
    ))
    .await;
    for (name, password, answer) in [
        ("alice", "wrong", "-ERR [AUTH] "),
        ("nobody", "wrong", "-ERR [AUTH] "),
        ("carol", "wrong", "-ERR [AUTH] "),
        ("carol", PASSWORD, "-ERR [SYS/PERM] "),
    ] {
        say(&mut pop3, &format!("USER {name}"), "+OK").await;
        say(&mut pop3, &format!("PASS {password}"), answer).await;
    }
    pop3.login("alice").await;
    // RFC 2449 §8.1.2
    let mut second = plain(&daemon).await;
    say(&mut second, "USER alice", "+OK").await;
    say(&mut second, "PASS mailwright", "-ERR [IN-USE] ").await;
    // The session stays as it was, and the place is free again when the first goes.
    say(&mut pop3, "QUIT", "+OK").await;
    pop3.expect_end().await;
    let mut second = password_until(second, "alice", "+OK").await;
    say(&mut second, "STAT", "+OK 0 0").await;
    // RFC 2449 §8.1.1
    db.apply("update control.pop3 set login_delay_seconds = 3600").await;
    let mut bob = plain(&daemon).await;
    bob.login("bob").await;
    say(&mut bob, "QUIT", "+OK").await;
    let mut again = password_until(plain(&daemon).await, "bob", "-ERR [LOGIN-DELAY] ").await;
    // RFC 2449 §8: with RESP-CODES no other text begins with a bracket.
    for line in ["NONSENSE", "PASS x", "AUTH NONE", "LANG xx", "[X] y"] {
        let answer = say(&mut again, line, "-ERR ").await;
        assert!(!answer.starts_with("-ERR ["), "{answer}");
    }
}

// RFC 2595 -------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn the_stls_example_of_rfc_2595_section_4() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut pop3 = plain(&daemon).await;
    pop3.starttls().await;
    say(&mut pop3, "STLS", "-ERR TLS is active").await;
    pop3.login("alice").await;
    say(&mut pop3, "STLS", "-ERR").await;
    db.apply(AS_OF_OLD).await;
    let mut pop3 = plain(&daemon).await;
    pop3.login("bob").await;
    say(&mut pop3, "STLS", "-ERR").await;
    say(&mut pop3, "STAT", "+OK 0 0").await;
}

// RFC 5034 -------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn the_examples_of_rfc_5034_section_4() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply(AS_OF_OLD).await;
    // The user "test" with the password "test".
    let hash = mailwright::directory::password::hash(&"test".into()).unwrap();
    let client = db.client().await;
    client
        .execute(
            "insert into directory.account (domain_id, local_part, password_hash, scram)
             select id, 'test', $1::text, $2::text from directory.domain where is_default",
            &[&hash.hash, &hash.scram],
        )
        .await
        .unwrap();
    let good = "dGVzdAB0ZXN0AHRlc3Q=";
    // With an initial response, under TLS; without; and with "=", which is an empty one, and no name at all.
    let mut pop3 = plain(&daemon).await;
    pop3.starttls().await;
    say(&mut pop3, &format!("AUTH PLAIN {good}"), "+OK").await;
    say(&mut pop3, &format!("AUTH PLAIN {good}"), "-ERR").await;
    let mut pop3 = plain(&daemon).await;
    pop3.send("AUTH PLAIN").await;
    assert_eq!(pop3.answer().await, "+ ");
    say(&mut pop3, good, "+OK").await;
    say(&mut pop3, "STAT", "+OK 0 0").await;
    let mut pop3 = plain(&daemon).await;
    dialogue(
        &mut pop3,
        &[
            ("AUTH PLAIN =", "-ERR"),
            ("AUTH PLAIN", "+ "),
            // Cancelled by the client.
            ("*", "-ERR"),
            ("AUTH DIGEST-MD5", "-ERR"),
            ("AUTH PLAIN AHRlc3QAd3Jvbmc=", "-ERR [AUTH]"),
            // The session is where it was.
            ("STAT", "-ERR log in"),
            ("USER test", "+OK"),
            ("PASS test", "+OK"),
        ],
    )
    .await;
    // §4: who acts for another must be allowed to.
    let mut pop3 = plain(&daemon).await;
    say(&mut pop3, "AUTH PLAIN YWxpY2UAdGVzdAB0ZXN0", "-ERR").await;
}

// RFC 6856 -------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn utf8_in_names_passwords_and_messages() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply(AS_OF_OLD).await;
    let hash = mailwright::directory::password::hash(&"p\u{e4}ssw\u{f6}rd".into()).unwrap();
    let client = db.client().await;
    client
        .execute(
            "update directory.account set password_hash = $1::text, scram = $2::text where local_part = 'alice'",
            &[&hash.hash, &hash.scram],
        )
        .await
        .unwrap();
    let mut pop3 = plain(&daemon).await;
    dialogue(
        &mut pop3,
        &[
            ("UTF8 now", "-ERR"),
            ("UTF8", "+OK"),
            ("UTF8", "+OK"),
            ("USER j\u{f6}rg@example.test", "+OK"),
            ("PASS x", "-ERR [AUTH]"),
            ("USER alice", "+OK"),
            // §2.2: SASLprep, so that composed and decomposed letters are the same.
            ("PASS pa\u{308}sswo\u{308}rd", "+OK"),
            ("UTF8", "-ERR"),
        ],
    )
    .await;
    let mut imap = daemon.imap().await;
    imap.send_literal("l LOGIN alice@example.test", "p\u{e4}ssw\u{f6}rd".as_bytes()).await;
    imap.expect("l OK").await;
    let message = "From: J\u{f6}rg <j\u{f6}rg@b\u{fc}cher.example>\r\nSubject: Gr\u{fc}\u{df}e \u{1f600}\r\n\r\nK\u{fc}sse\r\n";
    put(&mut imap, message.as_bytes()).await;
    let mut pop3 = plain(&daemon).await;
    dialogue(&mut pop3, &[("UTF8", "+OK"), ("USER alice", "+OK"), ("PASS p\u{e4}ssw\u{f6}rd", "+OK")]).await;
    let lines: Vec<&str> = message.lines().collect();
    assert_eq!(ask(&mut pop3, "RETR 1").await, lines);
    assert_eq!(ask(&mut pop3, "TOP 1 0").await, lines[..3]);
    // §2.1: what LIST says is what RETR sends.
    say(&mut pop3, "LIST 1", &format!("+OK 1 {}", message.len())).await;
    // Without UTF8 messages are what they are stored as, too: see the rules of the house in `src/pop3/mod.rs`.
    let mut old = plain(&daemon).await;
    dialogue(&mut old, &[("USER alice", "+OK"), ("PASS p\u{e4}ssw\u{f6}rd", "+OK")]).await;
    assert_eq!(ask(&mut old, "RETR 1").await, lines);
    // Bytes that are no UTF-8 are no name.
    let mut pop3 = plain(&daemon).await;
    pop3.send_bytes(b"USER j\xf6rg\r\n").await;
    pop3.expect("-ERR").await;
}

#[tokio::test]
async fn the_lang_examples_of_rfc_6856_section_3() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply(&format!("{AS_OF_OLD}; update control.pop3 set max_errors = 1000")).await;
    let mut pop3 = plain(&daemon).await;
    let listing = "+OK languages\r\nen English\r\ni-default the server's own: English\r\n.";
    let rounds = [
        ("LANG MUL", "-ERR"),
        ("LANG", listing),
        ("LANG en", "+OK en "),
        ("LANG uga", "-ERR"),
        ("LANG *", "+OK en "),
        ("LANG I-DEFAULT", "+OK i-default "),
        // Neither a language that is not there, nor what is no language range, changes anything or is taken for one.
        ("LANG en-boont", "-ERR"),
        ("LANG sv", "-ERR"),
        ("LANG e", "-ERR"),
        ("LANG **", "-ERR"),
        ("LANG -", "-ERR"),
        ("LANG en de", "-ERR"),
        ("LANG \u{e9}", "-ERR"),
        ("LANG xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "-ERR"),
    ];
    // In both states.
    dialogue(&mut pop3, &rounds).await;
    pop3.login("alice").await;
    dialogue(&mut pop3, &rounds).await;
}

// Hostile --------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn hostile_lines_change_nothing() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply(&format!("{AS_OF_OLD}; update control.pop3 set max_errors = 1000")).await;
    two_messages(&daemon).await;
    let mut bytes: Vec<u8> = Vec::new();
    // Not one of them is DELE, whatever a reader of C strings, of bare CRs or of lines cut at a limit would see.
    let lines: [&[u8]; 9] = [
        b"DELE 1\0",
        b"\0DELE 1",
        b"NOOP\0\r\rDELE 1",
        b"DELE\t1",
        b" DELE 1",
        b"DELE 1 \xff",
        b"DELE \xef\xbc\x91",
        b"RETR 1\rDELE 1",
        b"DELE 0x1",
    ];
    for line in lines {
        bytes.extend_from_slice(line);
        bytes.extend_from_slice(b"\r\n");
    }
    // RFC 2449 §4: 255 octets are a command, and what is longer is none, not two.
    bytes.extend_from_slice(&[b"NOOP".as_slice(), &[b' '; 249], b"\r\n"].concat());
    bytes.extend_from_slice(&[&[b' '; 255], b"DELE 1".as_slice(), b"\r\n"].concat());
    bytes.extend_from_slice(&[&b"x".repeat(60_000), b"\r\n".as_slice()].concat());
    bytes.extend_from_slice(b"STAT\r\nQUIT\r\n");
    let got = String::from_utf8(session(&daemon, &bytes).await).unwrap();
    let got: Vec<&str> = got.lines().collect();
    assert_eq!(got.len(), lines.len() + 5, "{got:#?}");
    for (line, answer) in lines.iter().zip(&got) {
        assert!(answer.starts_with("-ERR "), "{}: {answer}", line.escape_ascii());
    }
    let rest = &got[lines.len()..];
    let starts =
        ["+OK still here", "-ERR the line is too long", "-ERR the line is too long", "+OK 2 320", "+OK bye"];
    assert!(rest.iter().zip(starts).all(|(answer, start)| answer.starts_with(start)), "{rest:#?}");
    assert_eq!(count(&db).await, 2);
}
