//! UIDONLY (RFC 9586): no sequence number in either direction.

use crate::support::{Daemon, Database, Dialogue};

async fn uid_only(daemon: &Daemon<'_>) -> Dialogue {
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    assert_eq!(imap.run("ENABLE UIDONLY").await[0], "* ENABLED UIDONLY");
    imap
}

/// Messages in alice's INBOX, the first of them with UID 4.
async fn fill(db: &Database, imap: &mut Dialogue, count: u32) {
    db.sql("update store.mailbox set uid_next = 4 where name = 'INBOX'").await;
    for _ in 0..count {
        imap.send_literal("a APPEND INBOX", b"Subject: x\r\n\r\nhello\r\n").await;
        imap.expect("a OK [APPENDUID ").await;
    }
}

#[tokio::test]
async fn sequence_numbers_are_refused() {
    // RFC 9586 §3: BAD, with UIDREQUIRED, in every command that takes them.
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply("update control.imap set max_errors = 1000").await;
    let mut imap = uid_only(&daemon).await;
    fill(&db, &mut imap, 2).await;
    imap.run("ENABLE QRESYNC").await;
    imap.run("SELECT INBOX").await;
    for command in [
        "FETCH 1 FLAGS",
        "FETCH * FLAGS",
        "FETCH 1 FLAGS (CHANGEDSINCE 1)",
        "STORE 1 FLAGS ()",
        "COPY 1 Archive",
        "MOVE 1 Archive",
        "SEARCH ALL",
        "SEARCH UID 1",
        "UID SEARCH 1",
        "UID SEARCH ALL *",
        "UID SEARCH OR DELETED NOT (SEEN 1:2)",
        "SELECT INBOX (QRESYNC (1 5 (1,3,6 1,3,6)))",
    ] {
        imap.send(&format!("r {command}")).await;
        imap.expect("r BAD [UIDREQUIRED]").await;
    }
    // The mailbox is still selected, and no harm was done.
    for command in [
        "UID FETCH 1:* FLAGS",
        "UID FETCH * FLAGS",
        "UID STORE 4 FLAGS ()",
        "UID COPY 4 Archive",
        "UID SEARCH UID 1:*",
        "UID MOVE 4 Archive",
        "EXPUNGE",
        "UID EXPUNGE 1:*",
        "NOOP",
        "CHECK",
    ] {
        imap.run(command).await;
    }
}

#[tokio::test]
async fn answers_name_uids() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = uid_only(&daemon).await;
    fill(&db, &mut imap, 5).await;
    let selected = imap.run("SELECT INBOX").await;
    // How many there are is no sequence number; which is the first unseen is one.
    assert!(selected.contains(&"* 5 EXISTS".to_owned()), "{selected:?}");
    assert!(!selected.iter().any(|answer| answer.contains("UNSEEN")), "{selected:?}");

    let fetched = imap.run("UID FETCH 5:6 (FLAGS RFC822.SIZE)").await;
    assert_eq!(fetched[0], "* 5 UIDFETCH (FLAGS (\\Recent) RFC822.SIZE 21 UID 5)");
    assert_eq!(fetched[1], "* 6 UIDFETCH (FLAGS (\\Recent) RFC822.SIZE 21 UID 6)");
    let fetched = imap.run("UID FETCH 7 (BODY[TEXT])").await;
    assert!(
        fetched[0].starts_with("* 7 UIDFETCH (BODY[TEXT] {7}\r\nhello\r\n UID 7 FLAGS (\\Seen"),
        "{fetched:?}"
    );
    let stored = imap.run("UID STORE 5 +FLAGS (\\Deleted)").await;
    assert_eq!(stored[0], "* 5 UIDFETCH (FLAGS (\\Deleted \\Recent))");
    assert_eq!(imap.run("UID STORE 6 +FLAGS.SILENT (\\Deleted)").await, ["t OK stored"]);
    let expunged = imap.run("EXPUNGE").await;
    assert_eq!(expunged, ["* VANISHED 5:6", "t OK expunged"]);
    let moved = imap.run("UID MOVE 4 Archive").await;
    assert_eq!(moved[1], "* VANISHED 4");
    assert_eq!(imap.run("UID SEARCH ALL").await[0], "* SEARCH 7 8");
    // A stale UID is passed over, as ever.
    assert_eq!(imap.run("UID FETCH 4 FLAGS").await, ["t OK fetched"]);
    // MODIFIED names UIDs too, and the modseq of .SILENT has one.
    imap.run("ENABLE CONDSTORE").await;
    let stored = imap.run("UID STORE 7:8 (UNCHANGEDSINCE 1) FLAGS ()").await;
    assert!(stored.last().unwrap().starts_with("t OK [MODIFIED 7:8]"), "{stored:?}");
    let stored = imap.run("UID STORE 8 (UNCHANGEDSINCE 1000) +FLAGS.SILENT (\\Flagged)").await;
    assert!(stored[0].starts_with("* 8 UIDFETCH (UID 8 MODSEQ ("), "{stored:?}");
}

#[tokio::test]
async fn what_others_do() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut imap, mut other) = (uid_only(&daemon).await, daemon.imap().await);
    other.login("alice").await;
    fill(&db, &mut other, 3).await;
    imap.run("SELECT INBOX").await;
    other.run("SELECT INBOX").await;
    imap.send("i IDLE").await;
    imap.expect("+").await;
    other.run("STORE 2 +FLAGS (\\Deleted)").await;
    imap.expect("* 5 UIDFETCH (FLAGS (\\Deleted").await;
    other.run("EXPUNGE").await;
    imap.expect("* VANISHED 5").await;
    other.send_literal("a APPEND INBOX", b"x: y\r\n\r\n").await;
    other.expect("a OK").await;
    imap.expect("* 3 EXISTS").await;
    imap.send("DONE").await;
    imap.expect("i OK").await;
    // Enabled later, with a mailbox selected, it counts from then on.
    let enabled = other.run("ENABLE UIDONLY").await;
    assert!(enabled.contains(&"* ENABLED UIDONLY".to_owned()), "{enabled:?}");
    imap.run("UID STORE 4 +FLAGS (\\Flagged)").await;
    let told = other.run("NOOP").await;
    assert!(told[0].starts_with("* 4 UIDFETCH (FLAGS (\\Flagged"), "{told:?}");
}
