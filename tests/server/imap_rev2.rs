//! IMAP4rev2 (RFC 9051), on a server that speaks IMAP4rev1 as well: what differs once it is enabled, by Appendix E.

use crate::support::{Daemon, Database, Dialogue};

async fn rev2(daemon: &Daemon<'_>) -> Dialogue {
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    assert_eq!(imap.run("ENABLE IMAP4rev2").await[0], "* ENABLED IMAP4rev2");
    imap
}

async fn append(imap: &mut Dialogue, mailbox_and_flags: &str) {
    imap.send_literal(&format!("a APPEND {mailbox_and_flags}"), b"Subject: x\r\n\r\nhello\r\n").await;
    imap.expect("a OK [APPENDUID ").await;
}

#[tokio::test]
async fn both_versions_are_announced() {
    // RFC 9051 Appendix A
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = daemon.imap().await;
    imap.send("c CAPABILITY").await;
    imap.expect("* CAPABILITY IMAP4rev1 IMAP4rev2 ").await;
    imap.expect("c OK").await;
    // RFC 9051 §6.3.1: ENABLE only after login.
    imap.send("e ENABLE IMAP4rev2").await;
    imap.expect("e BAD").await;
}

#[tokio::test]
async fn select_and_what_is_no_more() {
    // Appendix E 9 to 12: CLOSED, LIST, no UNSEEN, nothing recent.
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = rev2(&daemon).await;
    append(&mut imap, "INBOX").await;
    let answers = imap.run("SELECT inbox").await;
    assert!(answers.contains(&"* LIST () \"/\" INBOX".to_owned()), "{answers:?}");
    assert!(answers.contains(&"* 1 EXISTS".to_owned()), "{answers:?}");
    for needed in
        ["* FLAGS (", "* OK [PERMANENTFLAGS (", "* OK [UIDNEXT 2]", "* OK [UIDVALIDITY ", "t OK [READ-WRITE]"]
    {
        assert!(answers.iter().any(|answer| answer.starts_with(needed)), "{needed}: {answers:?}");
    }
    assert!(
        !answers.iter().any(|answer| answer.contains("RECENT") || answer.contains("UNSEEN")),
        "{answers:?}"
    );
    let answers = imap.run("EXAMINE Sent").await;
    assert!(answers[0].starts_with("* OK [CLOSED]"), "{answers:?}");
    assert!(answers.contains(&"* LIST (\\Sent) \"/\" Sent".to_owned()), "{answers:?}");

    imap.run("SELECT INBOX").await;
    append(&mut imap, "INBOX").await;
    let answers = imap.run("NOOP").await;
    assert!(!answers.iter().any(|answer| answer.contains("RECENT")), "{answers:?}");
    let flags = imap.run("FETCH 1:2 (FLAGS)").await;
    assert_eq!(flags[..2], ["* 1 FETCH (FLAGS ())", "* 2 FETCH (FLAGS ())"]);
    imap.send("s STATUS INBOX (MESSAGES RECENT)").await;
    imap.expect("s BAD").await;
    let status = imap.run("STATUS INBOX (MESSAGES UIDNEXT UIDVALIDITY UNSEEN DELETED SIZE)").await;
    assert!(status[0].starts_with("* STATUS INBOX (MESSAGES 2 UIDNEXT 3 UIDVALIDITY "), "{status:?}");
    assert!(status[0].ends_with(" UNSEEN 2 DELETED 0 SIZE 42)"), "{status:?}");
}

#[tokio::test]
async fn what_is_recent_is_so_for_one_session_that_can_say_so() {
    // RFC 3501 §2.3.2: exactly one, and none of IMAP4rev2.
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut new = rev2(&daemon).await;
    append(&mut new, "INBOX").await;
    new.run("SELECT INBOX").await;
    let (mut one, mut two, mut examining) = (daemon.imap().await, daemon.imap().await, daemon.imap().await);
    for imap in [&mut one, &mut two, &mut examining] {
        imap.login("alice").await;
    }
    let recent = |answers: &[String]| {
        let answer = answers.iter().rev().find_map(|answer| answer.strip_suffix(" RECENT"));
        answer.map(|answer| answer.trim_start_matches("* ").to_owned())
    };
    assert_eq!(recent(&examining.run("EXAMINE INBOX").await).as_deref(), Some("1"));
    assert_eq!(recent(&one.run("SELECT INBOX").await).as_deref(), Some("1"));
    assert_eq!(recent(&two.run("SELECT INBOX").await).as_deref(), Some("0"));
    assert_eq!(recent(&examining.run("EXAMINE INBOX").await).as_deref(), Some("0"));
    // While several have it selected, each message goes to one of them.
    for number in 2..=9u32 {
        append(&mut new, "INBOX").await;
        let told = if number % 2 == 0 { one.run("NOOP").await } else { two.run("NOOP").await };
        assert!(told.contains(&format!("* {number} EXISTS")), "{told:?}");
        new.run("NOOP").await;
    }
    one.run("NOOP").await;
    two.run("NOOP").await;
    let mut seen = Vec::new();
    for imap in [&mut one, &mut two] {
        let found = imap.run("SEARCH RECENT").await[0].clone();
        let numbers = found.trim_start_matches("* SEARCH").split_whitespace();
        seen.extend(numbers.map(|number| number.parse::<u32>().unwrap()));
    }
    seen.sort_unstable();
    assert_eq!(seen, (1..=9).collect::<Vec<u32>>());
    let none: bool = db
        .value(
            "select bool_and(recent_uid = uid_next) from store.mailbox where name = 'INBOX' and uid_next > 1",
        )
        .await;
    assert!(none);
}

#[tokio::test]
async fn search_is_answered_by_esearch() {
    // Appendix E 4, RFC 9051 §6.4.4
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = rev2(&daemon).await;
    for _ in 0..3 {
        append(&mut imap, "INBOX").await;
    }
    imap.run("SELECT INBOX").await;
    imap.run("STORE 2 +FLAGS (\\Deleted)").await;
    for (command, answer) in [
        ("SEARCH UNDELETED", "* ESEARCH (TAG \"t\") ALL 1,3"),
        ("UID SEARCH DELETED", "* ESEARCH (TAG \"t\") UID ALL 2"),
        ("SEARCH FLAGGED", "* ESEARCH (TAG \"t\")"),
        ("SEARCH RETURN (MIN COUNT) UNDELETED", "* ESEARCH (TAG \"t\") MIN 1 COUNT 2"),
    ] {
        assert_eq!(imap.run(command).await[0], answer, "{command}");
    }
    let mut old = daemon.imap().await;
    old.login("alice").await;
    old.run("SELECT INBOX").await;
    assert_eq!(old.run("SEARCH UNDELETED").await[0], "* SEARCH 1 3");
}

#[tokio::test]
async fn names_in_utf8() {
    // Appendix E 16; RFC 9051 §5.1, §6.3.9.7
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut imap, mut old) = (rev2(&daemon).await, daemon.imap().await);
    old.login("alice").await;
    imap.run("CREATE \"Entwürfe/R&D\"").await;
    let listed = imap.run("LIST \"\" \"Entw*\"").await;
    assert_eq!(
        listed[..2],
        ["* LIST (\\HasChildren) \"/\" \"Entwürfe\"", "* LIST (\\HasNoChildren) \"/\" \"Entwürfe/R&D\""]
    );
    let listed = old.run("LIST \"\" \"Entw*\"").await;
    assert_eq!(
        listed[..2],
        ["* LIST (\\HasChildren) \"/\" Entw&APw-rfe", "* LIST (\\HasNoChildren) \"/\" Entw&APw-rfe/R&-D"]
    );
    let status = imap.run("STATUS {13+}\r\nEntwürfe/R&D (MESSAGES)").await;
    assert_eq!(status[0], "* STATUS \"Entwürfe/R&D\" (MESSAGES 0)");
    // Not UTF-8 at all.
    imap.send_bytes(b"b CREATE \"a\xff\"\r\n").await;
    imap.expect("b BAD").await;
    // Names are normalized, and the client is told what became of its own.
    let created = imap.run("CREATE \"Cafe\u{301}\"").await;
    assert_eq!(created[0], "* LIST () \"/\" \"Caf\u{e9}\" (\"OLDNAME\" (\"Cafe\u{301}\"))");
    let selected = imap.run("SELECT \"Cafe\u{301}\"").await;
    assert!(
        selected.contains(&"* LIST () \"/\" \"Caf\u{e9}\" (\"OLDNAME\" (\"Cafe\u{301}\"))".to_owned()),
        "{selected:?}"
    );
    imap.run("UNSELECT").await;
    let renamed = imap.run("RENAME \"Cafe\u{301}\" \"Bar/Cafe\u{301}\"").await;
    assert_eq!(renamed[0], "* LIST () \"/\" \"Bar/Caf\u{e9}\" (\"OLDNAME\" (\"Cafe\u{301}\"))");
    let deleted = imap.run("DELETE \"Bar/Cafe\u{301}\"").await;
    assert_eq!(
        deleted[0],
        "* LIST (\\NonExistent) \"/\" \"Bar/Caf\u{e9}\" (\"OLDNAME\" (\"Bar/Cafe\u{301}\"))"
    );
    // A name that is as it should be needs no word, but for RENAME.
    let created = imap.run("CREATE plain").await;
    assert!(created.len() == 1 && created[0].starts_with("t OK "), "{created:?}");
    assert_eq!(imap.run("RENAME plain simple").await[0], "* LIST () \"/\" simple (\"OLDNAME\" (plain))");
    assert_eq!(imap.run("DELETE simple").await, ["t OK mailbox deleted"]);
    // IMAP4rev1 knows nothing of it.
    let created = old.run("CREATE \"Cafe&AwE-\"").await;
    assert!(created.len() == 1 && created[0].starts_with("t OK "), "{created:?}");
    assert_eq!(old.run("RENAME \"Cafe&AwE-\" x").await, ["t OK mailbox renamed"]);
}

#[tokio::test]
async fn commands_and_codes() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = rev2(&daemon).await;
    // E 2: folded in.
    assert_eq!(
        imap.run("NAMESPACE").await[0],
        "* NAMESPACE ((\"\" \"/\")) ((\"Other Users/\" \"/\")) ((\"Shared/\" \"/\"))"
    );
    imap.run("CREATE a/b").await;
    // §6.3.5
    imap.send("d DELETE a").await;
    imap.expect("d NO [HASCHILDREN]").await;
    // E 7, 8: COPYUID for MOVE, TRYCREATE for COPY, MOVE and APPEND.
    append(&mut imap, "INBOX").await;
    append(&mut imap, "INBOX").await;
    imap.run("SELECT INBOX").await;
    for command in ["COPY 1 nowhere", "MOVE 1 nowhere", "UID COPY 1 nowhere", "UID MOVE 1 nowhere"] {
        imap.send(&format!("c {command}")).await;
        imap.expect("c NO [TRYCREATE]").await;
    }
    let moved = imap.run("MOVE 1 a").await;
    assert!(moved[0].starts_with("* OK [COPYUID "), "{moved:?}");
    let moved = imap.run("UID MOVE 2 a").await;
    assert!(moved[0].starts_with("* OK [COPYUID "), "{moved:?}");
    // E 15: the keywords that everybody knows.
    append(&mut imap, "INBOX ($MDNSent $Forwarded $Junk $NotJunk $Phishing)").await;
    let flags = imap.run("FETCH 1 (FLAGS)").await;
    assert!(
        flags.iter().any(|a| a == "* 1 FETCH (FLAGS ($Forwarded $Junk $MDNSent $NotJunk $Phishing))"),
        "{flags:?}"
    );
    // E 17 to 19: gone from the language, understood all the same, as IMAP4rev1 is announced too.
    imap.run("CHECK").await;
    imap.run("LSUB \"\" *").await;
    assert!(imap.run("FETCH 1 (RFC822.HEADER)").await[0].starts_with("* 1 FETCH (RFC822.HEADER "));
    // E 20, 21: IDLE without a mailbox; unasked FETCH has the UID.
    imap.run("UNSELECT").await;
    imap.send("i IDLE").await;
    imap.expect("+").await;
    imap.send("DONE").await;
    imap.expect("i OK").await;
    imap.run("SELECT INBOX").await;
    let mut other = rev2(&daemon).await;
    other.run("SELECT INBOX").await;
    other.run("STORE 1 FLAGS (\\Seen)").await;
    assert_eq!(imap.run("NOOP").await[0], "* 1 FETCH (UID 3 FLAGS (\\Seen))");
}
