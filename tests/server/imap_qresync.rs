//! CONDSTORE and QRESYNC (RFC 7162): what a client is told of changes, and of those it has missed.

use crate::support::{Daemon, Database, Dialogue};

/// Messages with these UIDs in alice's INBOX; `deleted` are marked so.
async fn fill(db: &Database, imap: &mut Dialogue, uids: &[u32]) {
    for uid in uids {
        db.sql(&format!("update store.mailbox set uid_next = {uid} where id = {INBOX}")).await;
        imap.send_literal("a APPEND INBOX (\\Seen)", b"Subject: x\r\n\r\nx\r\n").await;
        imap.expect(&format!("a OK [APPENDUID * {uid}]")).await;
    }
}

/// Alice's INBOX, in SQL.
const INBOX: &str = "(select m.id from store.mailbox m join directory.account a on a.id = m.account_id
    where a.local_part = 'alice' and m.name = 'INBOX')";

async fn alice(daemon: &Daemon<'_>) -> Dialogue {
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    imap
}

/// The number of the last change in INBOX.
async fn modseq(db: &Database) -> i64 {
    db.value(&format!("select highest_modseq from store.mailbox where id = {INBOX}")).await
}

async fn uid_validity(db: &Database) -> i64 {
    db.value(&format!("select uid_validity from store.mailbox where id = {INBOX}")).await
}

/// Selects INBOX with these QRESYNC arguments behind UIDVALIDITY, and returns what is told of changes.
async fn resync(db: &Database, imap: &mut Dialogue, arguments: &str) -> Vec<String> {
    let validity = uid_validity(db).await;
    let answers = imap.run(&format!("SELECT INBOX (QRESYNC ({validity} {arguments}))")).await;
    assert!(answers.iter().any(|answer| answer.starts_with("* OK [HIGHESTMODSEQ ")), "{answers:?}");
    let is_news = |answer: &&String| answer.contains("VANISHED") || answer.contains("FETCH");
    answers.iter().filter(is_news).cloned().collect()
}

/// Whether the answers end in this tagged one.
fn ends_in(answers: &[String], last: &str) {
    assert!(answers.last().unwrap().starts_with(last), "expected {last}\n{answers:?}");
}

#[tokio::test]
async fn vanished_instead_of_expunge() {
    // RFC 7162 §3.2.7 to §3.2.10, its own example; `x` are other UIDs.
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut imap, mut plain) = (alice(&daemon).await, alice(&daemon).await);
    fill(&db, &mut imap, &[500, 504, 505, 507, 508, 509, 510, 600, 601, 602, 625]).await;
    assert_eq!(imap.run("ENABLE QRESYNC").await[0], "* ENABLED QRESYNC");
    imap.run("SELECT INBOX").await;
    plain.run("SELECT INBOX").await;
    imap.run("STORE 3,4,7,11 +FLAGS.SILENT (\\Deleted)").await;
    plain.run("NOOP").await;
    imap.send("A202 EXPUNGE").await;
    let answers = imap.until_tag("A202").await;
    assert_eq!(answers[0], "* VANISHED 505,507,510,625");
    ends_in(&answers, &format!("A202 OK [HIGHESTMODSEQ {}]", modseq(&db).await));
    assert_eq!(answers.len(), 2, "{answers:?}");
    // Without QRESYNC, highest first, so that no number shifts under another.
    let told = plain.run("NOOP").await;
    assert_eq!(told[..4], ["* 11 EXPUNGE", "* 7 EXPUNGE", "* 4 EXPUNGE", "* 3 EXPUNGE"]);

    imap.run("UID STORE 504,508 +FLAGS.SILENT (\\Deleted)").await;
    imap.send("A210 UID EXPUNGE 504:508").await;
    let answers = imap.until_tag("A210").await;
    assert_eq!(answers[0], "* VANISHED 504,508");
    ends_in(&answers, &format!("A210 OK [HIGHESTMODSEQ {}]", modseq(&db).await));
    // Nothing expunged, nothing said.
    ends_in(&imap.run("EXPUNGE").await, "t OK expunged");
    // Told of another session's expunges too.
    plain.run("NOOP").await;
    plain.run("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    plain.run("EXPUNGE").await;
    let told = imap.run("NOOP").await;
    assert!(told.contains(&"* VANISHED 500".to_owned()), "{told:?}");
    ends_in(&told, &format!("t OK [HIGHESTMODSEQ {}]", modseq(&db).await));
    // MOVE (RFC 6851 §4.4) and CLOSE, which says nothing of modseqs (§3.2.8).
    let moved = imap.run("UID MOVE 509 Archive").await;
    assert!(moved[0].starts_with("* OK [COPYUID "), "{moved:?}");
    assert_eq!(moved[1], "* VANISHED 509");
    ends_in(&moved, &format!("t OK [HIGHESTMODSEQ {}]", modseq(&db).await));
    imap.run("UID STORE 600 +FLAGS.SILENT (\\Deleted)").await;
    assert_eq!(imap.run("CLOSE").await, ["t OK closed"]);
}

#[tokio::test]
async fn what_a_client_has_missed() {
    // RFC 7162 §3.2.5.1
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = alice(&daemon).await;
    fill(&db, &mut imap, &[41, 43, 44, 116, 117, 118, 119, 120, 541]).await;
    let known = modseq(&db).await;
    imap.run("SELECT INBOX").await;
    imap.run("UID STORE 117 +FLAGS (\\Answered)").await;
    imap.run("UID STORE 43:44,118 +FLAGS.SILENT (\\Deleted)").await;
    imap.run("EXPUNGE").await;
    imap.run("UID STORE 119 FLAGS (\\Draft $MDNSent)").await;
    imap.run("UID MOVE 120 Archive").await;
    db.sql(&format!("delete from store.message where mailbox_id = {INBOX} and uid = 41")).await;
    fill(&db, &mut imap, &[600]).await;

    let mut other = alice(&daemon).await;
    // Not before it is enabled, and the mailbox selected before stays.
    other.run("SELECT INBOX").await;
    other.send("b SELECT INBOX (QRESYNC (1 1))").await;
    other.expect("b BAD").await;
    other.run("CHECK").await;
    other.send("b UID FETCH 1:* FLAGS (CHANGEDSINCE 1 VANISHED)").await;
    other.expect("b BAD").await;
    other.run("ENABLE QRESYNC CONDSTORE").await;
    let fetched =
        |number: u32, uid: u32, flags: &str| format!("* {number} FETCH (UID {uid} FLAGS ({flags}) MODSEQ (");
    let matches = |answers: &[String], expected: &[String]| {
        let fits = answers.len() == expected.len()
            && answers.iter().zip(expected).all(|(answer, expected)| answer.starts_with(expected.as_str()));
        assert!(fits, "{answers:?}\n{expected:?}");
    };
    let all = [
        "* VANISHED (EARLIER) 41,43:44,118,120".to_owned(),
        fetched(2, 117, "\\Answered \\Seen"),
        fetched(3, 119, "\\Draft $MDNSent"),
        fetched(5, 600, "\\Seen"),
    ];
    matches(&resync(&db, &mut other, &known.to_string()).await, &all);
    // The same by FETCH (§3.2.6); a flag that stays out of it is told by nobody.
    let answers = other.run(&format!("UID FETCH 1:* (FLAGS) (CHANGEDSINCE {known} VANISHED)")).await;
    assert_eq!(answers[0], all[0]);
    assert!(answers[1].starts_with("* 2 FETCH (FLAGS (\\Answered \\Seen) UID 117 MODSEQ ("), "{answers:?}");
    assert_eq!(answers.len(), 5, "{answers:?}");
    let answers = other.run(&format!("UID FETCH 44:117 (FLAGS) (VANISHED CHANGEDSINCE {known})")).await;
    assert_eq!((answers[0].as_str(), answers.len()), ("* VANISHED (EARLIER) 44", 3), "{answers:?}");
    // Only of those that the client knows.
    let some = resync(&db, &mut other, &format!("{known} 41,44:117,541")).await;
    matches(&some, &["* VANISHED (EARLIER) 41,44".to_owned(), all[1].clone()]);
    // Sequence numbers that still fit spare what stands before them; these do not.
    let matched = resync(&db, &mut other, &format!("{known} (1,3 116,118)")).await;
    matches(
        &matched,
        &["* VANISHED (EARLIER) 118,120".to_owned(), all[1].clone(), all[2].clone(), all[3].clone()],
    );
    let now = modseq(&db).await;
    matches(&resync(&db, &mut other, &now.to_string()).await, &[]);
    matches(&resync(&db, &mut other, &(now - 1).to_string()).await, &all[3..]);
    // Another UIDVALIDITY: nothing that the client knows is of use.
    let answers = other.run(&format!("SELECT INBOX (QRESYNC (1 {known}))")).await;
    assert!(!answers.iter().any(|a| a.contains("VANISHED") || a.contains("FETCH")), "{answers:?}");
    assert!(answers[0].starts_with("* OK [CLOSED]"), "{answers:?}");
    // What has just been told in the mailbox is not told as missed.
    imap.run("UID STORE 116 +FLAGS.SILENT (\\Deleted)").await;
    imap.run("EXPUNGE").await;
    let told = other.run(&format!("UID FETCH 1:* (FLAGS) (CHANGEDSINCE {now} VANISHED)")).await;
    assert!(!told.iter().any(|answer| answer.contains("EARLIER")), "{told:?}");
    assert!(told.contains(&"* VANISHED 116".to_owned()), "{told:?}");
    let told = other.run(&format!("UID FETCH 1:* (FLAGS) (CHANGEDSINCE {now} VANISHED)")).await;
    assert_eq!(told[0], "* VANISHED (EARLIER) 116");
}

#[tokio::test]
async fn deletions_that_are_forgotten() {
    // RFC 7162 §3.2.5.2 and the note in §3.2.6: never too little.
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = alice(&daemon).await;
    let uids: Vec<u32> = (1..=10).map(|n| n * 3).collect();
    fill(&db, &mut imap, &uids).await;
    let known = modseq(&db).await;
    imap.run("SELECT INBOX").await;
    imap.run("UID STORE 6,12 +FLAGS.SILENT (\\Deleted)").await;
    imap.run("EXPUNGE").await;
    let between = modseq(&db).await;
    imap.run("UID STORE 27 +FLAGS.SILENT (\\Deleted)").await;
    imap.run("EXPUNGE").await;
    imap.run("ENABLE QRESYNC").await;
    // Flag changes are forgotten after an hour; that costs nobody anything.
    db.sql(&format!(
        "delete from store.change where mailbox_id = {INBOX};
         update store.mailbox set pruned_modseq = highest_modseq where id = {INBOX}"
    ))
    .await;
    assert_eq!(resync(&db, &mut imap, &known.to_string()).await, ["* VANISHED (EARLIER) 6,12,27"]);
    // Whoever deletes the record, a client is told of all that is not there.
    db.sql(&format!("delete from store.expunged where mailbox_id = {INBOX} and modseq <= {between}")).await;
    let all = "* VANISHED (EARLIER) 1:2,4:8,10:14,16:17,19:20,22:23,25:29";
    assert_eq!(resync(&db, &mut imap, &known.to_string()).await, [all]);
    assert_eq!(resync(&db, &mut imap, &format!("{known} 6:14")).await, ["* VANISHED (EARLIER) 6:8,10:14"]);
    // After the expunges, the third message is 15 and the sixth 24.
    let told = resync(&db, &mut imap, &format!("{known} 1:30 (1,3,6 3,15,24)")).await;
    assert_eq!(told, ["* VANISHED (EARLIER) 25:29"]);
    let told = resync(&db, &mut imap, &format!("{known} 1:30 (1,4,6 3,15,30)")).await;
    assert_eq!(told, ["* VANISHED (EARLIER) 4:8,10:14,16:17,19:20,22:23,25:29"]);
    // Who knows all that was forgotten is told the rest exactly.
    assert_eq!(resync(&db, &mut imap, &between.to_string()).await, ["* VANISHED (EARLIER) 27"]);
    db.sql("truncate store.expunged").await;
    let told = resync(&db, &mut imap, &between.to_string()).await;
    assert_eq!(told, [all]);
}

#[tokio::test]
async fn nobody_is_told_more_than_up_to_where_everything_is_told() {
    // RFC 7162 §6: expunges that are held back must not be lost with the connection.
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut imap, mut other) = (alice(&daemon).await, alice(&daemon).await);
    fill(&db, &mut imap, &[6, 7, 8, 9]).await;
    imap.run("ENABLE QRESYNC").await;
    imap.run("SELECT INBOX").await;
    other.run("SELECT INBOX").await;
    let safe = modseq(&db).await;
    other.run("STORE 4 +FLAGS.SILENT (\\Deleted)").await;
    imap.run("NOOP").await;
    let deleted = modseq(&db).await;
    assert_eq!(deleted, safe + 1);
    other.run("EXPUNGE").await;
    let answers = imap.run("STORE 1:2 (UNCHANGEDSINCE 1000) +FLAGS.SILENT (\\Flagged)").await;
    let now = modseq(&db).await;
    assert_eq!(
        answers,
        [
            format!("* 1 FETCH (UID 6 MODSEQ ({now}))"),
            format!("* 2 FETCH (UID 7 MODSEQ ({now}))"),
            format!("t OK [HIGHESTMODSEQ {deleted}] stored"),
        ]
    );
    // With a response code of its own, the modseq comes untagged.
    let answers = imap.run(&format!("STORE 1 (UNCHANGEDSINCE {safe}) FLAGS ()")).await;
    assert!(answers[0].starts_with(&format!("* OK [HIGHESTMODSEQ {deleted}]")), "{answers:?}");
    ends_in(&answers, "t OK [MODIFIED 1]");
    // RFC 5530: the message is still counted, and cannot be read.
    imap.send("f FETCH 4 (RFC822.SIZE)").await;
    imap.expect(&format!("* OK [HIGHESTMODSEQ {deleted}]")).await;
    imap.expect("f NO [EXPUNGEISSUED]").await;
    let answers = imap.run("NOOP").await;
    assert_eq!(answers[0], "* VANISHED 9");
    ends_in(&answers, &format!("t OK [HIGHESTMODSEQ {now}]"));
    ends_in(&imap.run("NOOP").await, "t OK done");
}

#[tokio::test]
async fn whoever_shows_that_it_knows_modseqs_is_told_them() {
    // RFC 7162 §3.1: the first such command with a mailbox selected is answered with where that stands.
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = alice(&daemon).await;
    fill(&db, &mut imap, &[1, 2, 3]).await;
    for (command, code) in [
        ("STATUS Archive (HIGHESTMODSEQ)", true),
        ("FETCH 1 (MODSEQ)", true),
        ("FETCH 1:2 (FLAGS) (CHANGEDSINCE 1)", true),
        ("SEARCH MODSEQ 1", true),
        ("STORE 1 (UNCHANGEDSINCE 1) FLAGS.SILENT (\\Seen)", false),
        ("ENABLE CONDSTORE", true),
        ("ENABLE QRESYNC", true),
    ] {
        let mut one = alice(&daemon).await;
        one.run("SELECT INBOX").await;
        let before = one.run("STORE 3 FLAGS (\\Seen)").await;
        assert!(
            before[0].ends_with("* 3 FETCH (UID 3 FLAGS (\\Seen \\Recent))") || !before[0].contains("MODSEQ")
        );
        let told = format!("[HIGHESTMODSEQ {}]", modseq(&db).await);
        let answers = one.run(command).await;
        let in_tagged = answers.last().unwrap().contains(&told);
        assert!(in_tagged == code && answers.iter().any(|a| a.contains(&told)), "{command}: {answers:?}");
        // And from then on with every flag.
        let answers = one.run("STORE 3 FLAGS (\\Answered)").await;
        assert!(answers[0].starts_with("* 3 FETCH (UID 3 FLAGS (\\Answered"), "{command}: {answers:?}");
        assert!(answers[0].contains(" MODSEQ ("), "{command}: {answers:?}");
        assert!(!answers.iter().any(|a| a.contains("HIGHESTMODSEQ")), "once: {answers:?}");
        one.run("STORE 3 FLAGS ()").await;
    }
    // SELECT says it anyway.
    let answers = imap.run("SELECT INBOX (CONDSTORE)").await;
    let told = answers.iter().filter(|answer| answer.contains("HIGHESTMODSEQ")).count();
    assert_eq!(told, 1, "{answers:?}");
    // FETCH that sets \\Seen tells UID and MODSEQ too (§3.2.4).
    imap.run("STORE 1 FLAGS ()").await;
    let answers = imap.run("FETCH 1 (BODY[TEXT])").await;
    let parts = ["BODY[TEXT]", "FLAGS (\\Seen", "UID 1", "MODSEQ ("];
    assert!(parts.iter().all(|part| answers[0].contains(part)), "{answers:?}");
}

#[tokio::test]
async fn conditional_store() {
    // RFC 7162 §3.1.3, its examples by number, with other modseqs.
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut imap, mut other) = (alice(&daemon).await, alice(&daemon).await);
    fill(&db, &mut imap, &[4, 6, 8, 9, 10]).await;
    imap.run("ENABLE CONDSTORE").await;
    imap.run("SELECT INBOX").await;
    other.run("SELECT INBOX").await;
    let known = modseq(&db).await;

    // 3, 4: all pass; even .SILENT tells the modseq.
    let answers =
        imap.run(&format!("UID STORE 6,4,8 (UNCHANGEDSINCE {known}) +FLAGS.SILENT (\\Deleted)")).await;
    let now = modseq(&db).await;
    assert_eq!(
        answers,
        [
            format!("* 1 FETCH (UID 4 MODSEQ ({now}))"),
            format!("* 2 FETCH (UID 6 MODSEQ ({now}))"),
            format!("* 3 FETCH (UID 8 MODSEQ ({now}))"),
            "t OK stored".to_owned(),
        ]
    );
    let answers =
        imap.run(&format!("STORE * (UNCHANGEDSINCE {known}) +FLAGS.SILENT (\\Deleted $Processed)")).await;
    assert!(answers.contains(&format!("* 5 FETCH (UID 10 MODSEQ ({}))", modseq(&db).await)), "{answers:?}");

    // 6: some fail; sequence numbers in STORE, UIDs in UID STORE.
    let answers = imap.run(&format!("STORE 3,4,5 (UNCHANGEDSINCE {known}) FLAGS.SILENT (\\Deleted)")).await;
    assert_eq!(answers[0], format!("* 4 FETCH (UID 9 MODSEQ ({}))", modseq(&db).await));
    ends_in(&answers, "t OK [MODIFIED 3,5]");
    let answers = imap.run(&format!("UID STORE 8:10 (UNCHANGEDSINCE {known}) FLAGS ()")).await;
    ends_in(&answers, "t OK [MODIFIED 8:10]");

    // 7, 8: with 0 it always fails.
    let answers = imap.run("STORE 1 (UNCHANGEDSINCE 0) +FLAGS.SILENT ($MDNSent)").await;
    ends_in(&answers, "t OK [MODIFIED 1]");

    // 9: the flag itself was changed by another client. What it is now is told before.
    let known = modseq(&db).await;
    other.run("STORE 2 +FLAGS.SILENT ($Processed)").await;
    let answers = imap.run(&format!("STORE 1:3 (UNCHANGEDSINCE {known}) +FLAGS.SILENT ($Processed)")).await;
    ends_in(&answers, "t OK [MODIFIED 2]");
    assert!(
        answers
            .iter()
            .any(|a| a.starts_with("* 2 FETCH (UID 6 FLAGS (\\Deleted \\Seen \\Recent $Processed)")),
        "{answers:?}"
    );

    // 10 and §3.1.12: another flag was changed: that is no reason to refuse.
    imap.run("NOOP").await;
    let known = modseq(&db).await;
    other.run("STORE 2 +FLAGS.SILENT (\\Answered)").await;
    let answers = imap.run(&format!("STORE 1:3 (UNCHANGEDSINCE {known}) -FLAGS.SILENT ($Processed)")).await;
    ends_in(&answers, "t OK stored");
    let flags = imap.run("FETCH 2 (FLAGS)").await;
    assert_eq!(flags[0], "* 2 FETCH (FLAGS (\\Answered \\Deleted \\Seen \\Recent))");
    // All flags at once have no such excuse.
    let known = modseq(&db).await;
    other.run("STORE 2 -FLAGS.SILENT (\\Answered)").await;
    let answers = imap.run(&format!("STORE 2 (UNCHANGEDSINCE {known}) FLAGS.SILENT (\\Draft)")).await;
    ends_in(&answers, "t OK [MODIFIED 2]");

    // 11: some are expunged, one has changed.
    imap.run("NOOP").await;
    let known = modseq(&db).await;
    other.run("STORE 4:5 +FLAGS.SILENT (\\Deleted)").await;
    other.run("UID EXPUNGE 9:10").await;
    other.run("STORE 2 FLAGS.SILENT ()").await;
    imap.send(&format!("B001 STORE 1:5 (UNCHANGEDSINCE {known}) FLAGS (\\Seen)")).await;
    let answers = imap.until_tag("B001").await;
    ends_in(&answers, "B001 NO [MODIFIED 2]");
    let answers = imap.run("NOOP").await;
    assert_eq!(answers[..2], ["* 5 EXPUNGE", "* 4 EXPUNGE"]);

    // §3.1.11: a flag that is there already changes nothing.
    let known = modseq(&db).await;
    imap.run("STORE 1 +FLAGS (\\Seen)").await;
    let stored: i64 =
        db.value(&format!("select modseq from store.message where mailbox_id = {INBOX} and uid = 4")).await;
    assert!(stored <= known);
}

#[tokio::test]
async fn searching_and_counting_by_modseq() {
    // RFC 7162 §3.1.5, §3.1.7, §3.1.10
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = alice(&daemon).await;
    fill(&db, &mut imap, &[1, 2, 3, 4, 5]).await;
    imap.run("SELECT INBOX").await;
    let known = modseq(&db).await;
    imap.run("STORE 2,4 +FLAGS.SILENT (\\Draft)").await;
    let now = modseq(&db).await;
    let since = known + 1;
    let found = imap.run(&format!("SEARCH MODSEQ \"/flags/\\\\draft\" all {since}")).await;
    assert_eq!(found[0], format!("* SEARCH 2 4 (MODSEQ {now})"));
    assert_eq!(imap.run(&format!("SEARCH MODSEQ {}", now + 1)).await[0], "* SEARCH");
    let found = imap.run(&format!("SEARCH OR NOT MODSEQ {since} LARGER 50000")).await;
    assert!(found[0].starts_with("* SEARCH 1 3 5 (MODSEQ "), "{found:?}");
    imap.send(&format!("a SEARCH RETURN (ALL) MODSEQ {since}")).await;
    let found = imap.until_tag("a").await;
    assert_eq!(found[0], format!("* ESEARCH (TAG \"a\") ALL 2,4 MODSEQ {now}"));
    let status = imap.run("STATUS INBOX (UIDNEXT MESSAGES HIGHESTMODSEQ)").await;
    assert_eq!(status[0], format!("* STATUS INBOX (UIDNEXT 6 MESSAGES 5 HIGHESTMODSEQ {now})"));
}

#[tokio::test]
async fn absurd_arguments_cost_nothing() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = alice(&daemon).await;
    fill(&db, &mut imap, &[7]).await;
    imap.run("ENABLE QRESYNC").await;
    let all = "1:4294967295";
    let told = resync(&db, &mut imap, &format!("1 {all} ({all} {all})")).await;
    assert!(told.len() == 1 && told[0].starts_with("* 1 FETCH (UID 7 "), "{told:?}");
    db.sql("truncate store.expunged").await;
    assert_eq!(
        resync(&db, &mut imap, &format!("1 {all} ({all} {all})")).await[0],
        "* VANISHED (EARLIER) 1:6"
    );
    assert_eq!(resync(&db, &mut imap, "9223372036854775807 1").await, [""; 0]);
    for arguments in ["1 1 1:*", "1 9223372036854775808", "1 1 1 (1 1,2)", "4294967296 1", "1 1 (2,1 1,2)"] {
        imap.send(&format!("b SELECT INBOX (QRESYNC ({arguments}))")).await;
        imap.expect("b BAD").await;
    }
    // Forty thousand holes are told in lines that a client can read.
    db.sql(&format!(
        "insert into store.expunged (account_id, mailbox_id, uid, modseq)
         select m.account_id, m.id, n * 2 + 10, m.highest_modseq + 1 from store.mailbox m, generate_series(1, 40000) n
         where m.id = {INBOX};
         update store.mailbox set uid_next = 100000, highest_modseq = highest_modseq + 1 where id = {INBOX}"
    ))
    .await;
    let now = modseq(&db).await;
    let told = resync(&db, &mut imap, &(now - 1).to_string()).await;
    assert_eq!(told.len(), 40);
    assert!(
        told.iter().all(|answer| answer.starts_with("* VANISHED (EARLIER) ") && answer.len() < 8192),
        "{told:?}"
    );
}
