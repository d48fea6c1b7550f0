//! THREAD: messages as conversations.

use crate::support::dialogue::Dialogue;
use crate::support::{Daemon, Database};

async fn append(imap: &mut Dialogue, message: &str) {
    imap.send_literal("a APPEND INBOX", message.replace('\n', "\r\n").as_bytes()).await;
    imap.expect("a OK [APPENDUID ").await;
}

async fn dialogue(imap: &mut Dialogue, command: &str, answer: &str) {
    let mut said = imap.run(command).await;
    said.pop();
    assert_eq!(said, [answer], "{command}");
}

/// Alice with these messages: id, what it refers to, day it was sent, subject.
async fn inbox(daemon: &Daemon<'_>, messages: &[(&str, &str, u32, &str)]) -> Dialogue {
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    for (id, references, day, subject) in messages {
        let references: String = references.split_whitespace().map(|id| format!(" <{id}@x>\n")).collect();
        let references =
            if references.is_empty() { String::new() } else { format!("References:{references}") };
        append(
            &mut imap,
            &format!(
                "Message-ID: <{id}@x>\n{references}Date: {day} Jan 2024 10:00:00 +0000\nSubject: {subject}\n\nx\n"
            ),
        )
        .await;
    }
    imap.run("SELECT INBOX").await;
    imap
}

#[tokio::test]
async fn threads_rfc5256() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = inbox(
        &daemon,
        &[
            ("a", "", 1, "lunch"),
            ("b", "", 2, "holidays"),
            ("c", "a", 3, "Re: lunch"),
            ("d", "a c", 5, "Re: lunch"),
            ("e", "a c", 4, "dinner"),
            ("f", "b gone", 6, "Re: holidays"),
            ("g", "lost", 7, "meeting"),
            ("h", "lost", 8, "Re: meeting"),
            ("i", "", 9, "Re: lunch"),
            ("j", "", 10, ""),
        ],
    )
    .await;
    for (command, threads) in [
        ("THREAD REFERENCES UTF-8 ALL", " (1 (3 (5)(4))(9))(2 6)((7)(8))(10)"),
        ("THREAD REFS UTF-8 ALL", " (1 3 (5)(4))(2 6)((7)(8))(9)(10)"),
        ("THREAD ORDEREDSUBJECT UTF-8 ALL", " (1 (3)(4)(9))(2 6)(5)(7 8)(10)"),
        // What was not looked for is not there: 3, between 1 and its answers.
        ("THREAD REFERENCES UTF-8 NOT 3", " (1 (5)(4)(9))(2 6)((7)(8))(10)"),
        ("UID THREAD REFS US-ASCII UID 4:5", " ((5)(4))"),
        ("THREAD REFERENCES UTF-8 SUBJECT nothing", ""),
        ("THREAD ORDEREDSUBJECT UTF-8 SUBJECT nothing", ""),
        ("THREAD REFERENCES UTF-8 UID 8", " (8)"),
    ] {
        dialogue(&mut imap, command, &format!("* THREAD{threads}")).await;
    }
    for command in ["THREAD FOO UTF-8 ALL", "THREAD REFS ALL"] {
        imap.send(&format!("r {command}")).await;
        imap.expect(if command.contains("FOO") { "r BAD" } else { "r NO [BADCHARSET " }).await;
    }
}

#[tokio::test]
async fn threads_by_their_newest_mail() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = inbox(&daemon, &[("a", "", 9, "x"), ("b", "", 2, "y"), ("c", "b", 1, "y")]).await;
    db.sql(
        "update store.message set internal_date = timestamptz '2024-01-01' + make_interval(days => uid::int)",
    )
    .await;
    imap.run("NOOP").await;
    dialogue(&mut imap, "THREAD REFS UTF-8 ALL", "* THREAD (1)(2 3)").await;
    dialogue(&mut imap, "THREAD REFERENCES UTF-8 ALL", "* THREAD (2 3)(1)").await;
    db.sql("update store.message set internal_date = '2025-01-01' where uid = 1").await;
    imap.run("NOOP").await;
    dialogue(&mut imap, "THREAD REFS UTF-8 ALL", "* THREAD (2 3)(1)").await;
}

#[tokio::test]
async fn sequence_numbers_after_an_expunge() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = inbox(&daemon, &[("a", "", 1, "x"), ("b", "a", 2, "y"), ("c", "b", 3, "z")]).await;
    imap.run("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    imap.run("EXPUNGE").await;
    dialogue(&mut imap, "THREAD REFERENCES UTF-8 ALL", "* THREAD (1 2)").await;
    dialogue(&mut imap, "UID THREAD REFERENCES UTF-8 ALL", "* THREAD (2 3)").await;
}

#[tokio::test]
async fn hostile_references() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    let many: String = (0..20_000).map(|n| format!(" <{n}@x>\n")).collect();
    for message in [
        // Of themselves, of each other, of everybody, and of nothing that is an id.
        "Message-ID: <self@x>\nReferences: <self@x> <self@x>\nSubject: a\n\nx\n".to_owned(),
        "Message-ID: <one@x>\nReferences: <two@x>\nSubject: b\n\nx\n".to_owned(),
        "Message-ID: <two@x>\nReferences: <one@x>\nSubject: c\n\nx\n".to_owned(),
        format!("Message-ID: <end@x>\nReferences:{many}Subject: d\n\nx\n"),
        "Message-ID: <19999@x>\nReferences: <19998@x>\nSubject: e\n\nx\n".to_owned(),
        format!("Message-ID: {}\nReferences: {}\nSubject: f\n\nx\n", "<".repeat(50_000), "(".repeat(50_000)),
        "Message-ID: <one@x>\nIn-Reply-To: <one@x>\nSubject: g\n\nx\n".to_owned(),
    ] {
        append(&mut imap, &message).await;
    }
    imap.run("SELECT INBOX").await;
    for algorithm in ["REFERENCES", "REFS", "ORDEREDSUBJECT"] {
        let answer = imap.run(&format!("THREAD {algorithm} UTF-8 ALL")).await.remove(0);
        let mut numbers: Vec<u32> =
            answer.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7], "{algorithm}: {answer}");
    }
    dialogue(&mut imap, "THREAD REFS UTF-8 2:5", "* THREAD (3 2)(5 4)").await;
}
