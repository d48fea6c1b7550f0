//! Rules that mail programs of the world have taught IMAP servers: what each is about stands before its test. More of them
//! are kept by tests elsewhere: LIST before STATUS, special uses in LIST (`imap_mailbox`).

use std::collections::BTreeSet;

use crate::support::dialogue::{Dialogue, Language};
use crate::support::{Daemon, Database};

const MESSAGE: &[u8] = b"Subject: x\r\n\r\nhello\r\n";

async fn alice(daemon: &Daemon<'_>) -> Dialogue {
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    imap
}

async fn append(imap: &mut Dialogue, mailbox: &str) -> String {
    imap.send_literal(&format!("a APPEND {mailbox}"), MESSAGE).await;
    imap.expect("a OK [APPENDUID ").await
}

/// The number behind a word of a response code.
fn coded(answers: &[String], word: &str) -> u32 {
    let found = answers.iter().find_map(|answer| answer.split_once(&format!("[{word} ")));
    let (_, rest) = found.unwrap_or_else(|| panic!("no {word} in {answers:#?}"));
    rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

/// Phones send the next commands right behind DONE, in one piece (iOS 18), and even behind IDLE itself.
#[tokio::test]
async fn commands_behind_done_are_answered() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = alice(&daemon).await;
    append(&mut imap, "INBOX").await;
    imap.run("SELECT INBOX").await;
    imap.send("i IDLE").await;
    imap.expect("+").await;
    imap.send_bytes(b"DONE\r\nn NOOP\r\nf FETCH 1 (UID)\r\nj IDLE\r\nDONE\r\ns STATUS INBOX (MESSAGES)\r\n")
        .await;
    imap.expect("i OK").await;
    imap.expect("n OK").await;
    imap.expect("* 1 FETCH (UID 1)").await;
    imap.expect("f OK").await;
    imap.expect("+").await;
    imap.expect("j OK").await;
    imap.expect("* STATUS INBOX (MESSAGES 1)").await;
    imap.expect("s OK").await;
}

/// Thunderbird asks for a message in chunks until one is short; what begins at the end or beyond is an empty string, never
/// an error.
#[tokio::test]
async fn a_partial_fetch_past_the_end_is_an_empty_string() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = alice(&daemon).await;
    append(&mut imap, "INBOX").await;
    imap.run("SELECT INBOX").await;
    let size = MESSAGE.len();
    for (section, end) in
        [("", size), ("TEXT", 7), ("1", 7), ("HEADER", 14), ("HEADER.FIELDS (SUBJECT)", 14), ("2", 0)]
    {
        for start in [end, end + 1, 1000, 4_000_000_000] {
            let answers = imap.run(&format!("FETCH 1 (BODY.PEEK[{section}]<{start}.10>)")).await;
            let empty = [
                format!("* 1 FETCH (BODY[{section}]<{start}> \"\")"),
                format!("* 1 FETCH (BODY[{section}]<{start}> {{0}}\r\n)"),
                // There is no second part.
                format!("* 1 FETCH (BODY[{section}]<{start}> NIL)"),
            ];
            let allowed = if section == "2" { &empty[..] } else { &empty[..2] };
            assert!(allowed.contains(&answers[0]), "{section} {start}: {answers:?}");
        }
    }
    let mut read = Vec::new();
    loop {
        imap.send(&format!("t UID FETCH 1 (BODY.PEEK[]<{}.8>)", read.len())).await;
        let chunk = imap.expect_literal("* 1 FETCH").await;
        imap.expect("t OK").await;
        read.extend_from_slice(&chunk);
        if chunk.len() < 8 {
            break;
        }
    }
    assert_eq!(read, MESSAGE);
}

/// Most memory that the daemon has had resident, bytes.
fn peak_memory(daemon: &Daemon<'_>) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Outlook asks for 30 to 100 MB at once: they are passed on, not held.
#[tokio::test]
async fn large_partial_fetches_are_streamed() {
    const SIZE: usize = 40 << 20;
    const GROWTH: u64 = 8 << 20;
    let db = Database::new().await;
    db.sql("update control.smtp set max_message_bytes = 100000000").await;
    let daemon = Daemon::start(&db).await;
    db.apply("update control.imap set require_tls_for_login = false").await;
    let connect = async || {
        let mut imap = Dialogue::plain(daemon.port("imap"), Language::Imap).await;
        imap.expect("* OK").await;
        imap.login("alice").await;
        imap
    };
    let mut imap = connect().await;
    // Bytes that zstd makes smaller, but in which no two places are alike.
    let mut message = b"Subject: large\r\n\r\n".to_vec();
    for number in 0u32.. {
        message.extend_from_slice(&number.to_be_bytes().map(|byte| byte | 0x80));
        message.extend_from_slice(b"0123456789ab");
        if message.len() >= SIZE {
            break;
        }
    }
    imap.send_literal("a APPEND INBOX", &message).await;
    imap.expect("a OK").await;
    imap.run("SELECT INBOX").await;
    imap.run("FETCH 1 (BODY.PEEK[]<0.100000>)").await;
    let mut other = connect().await;
    other.run("SELECT INBOX").await;
    // What logins and the taking in have cost is not counted: the peak begins anew (proc(5), clear_refs).
    std::fs::write(format!("/proc/{}/clear_refs", daemon.pid()), "5").unwrap();
    let before = peak_memory(&daemon);
    for (start, count) in [(0, 30 << 20), (5 << 20, 100_000_000), (SIZE - 10, 1 << 20)] {
        for imap in [&mut imap, &mut other] {
            imap.send(&format!("t FETCH 1 (BODY.PEEK[]<{start}.{count}>)")).await;
        }
        let expected = &message[start..message.len().min(start + count)];
        for imap in [&mut imap, &mut other] {
            let got = imap.expect_literal("* 1 FETCH").await;
            imap.expect("t OK").await;
            assert!(got == expected, "{start} {count}: {} bytes", got.len());
        }
    }
    let growth = peak_memory(&daemon) - before;
    assert!(growth < GROWTH, "{} MB", growth >> 20);
}

/// Clients that sync ask `UID FETCH n:*` with the first UID they do not know: what another session has moved, copied or
/// appended before is in the answer, without a NOOP.
#[tokio::test]
async fn uid_fetch_to_the_star_has_what_was_just_moved_in() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut imap, mut other) = (alice(&daemon).await, alice(&daemon).await);
    for _ in 0..3 {
        append(&mut other, "INBOX").await;
    }
    append(&mut other, "Archive").await;
    imap.run("SELECT Archive").await;
    other.run("SELECT INBOX").await;
    for (uid, command) in [(2, "MOVE 1 Archive"), (3, "UID MOVE 2 Archive"), (4, "COPY 1 Archive")] {
        other.run(command).await;
        let answers = imap.run(&format!("UID FETCH {uid}:* (UID)")).await;
        assert!(answers.contains(&format!("* {uid} FETCH (UID {uid})")), "{command}: {answers:?}");
    }
    append(&mut other, "Archive").await;
    let answers = imap.run("UID FETCH 5:* (UID)").await;
    assert!(answers.contains(&"* 5 FETCH (UID 5)".to_owned()), "{answers:?}");
    // And the last message when nothing is new (RFC 9051 §9, seq-range).
    let answers = imap.run("UID FETCH 6:* (UID)").await;
    assert!(answers.contains(&"* 5 FETCH (UID 5)".to_owned()), "{answers:?}");
}

/// A client that finds a known UIDVALIDITY takes what it has kept for what is there. So none is used twice in an account,
/// and a mailbox that is deleted and made again gets a higher one.
#[tokio::test]
async fn uid_validity_is_unique_and_never_used_again() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = alice(&daemon).await;
    let mut seen = BTreeSet::new();
    for name in ["INBOX", "Archive", "Drafts", "Junk", "Sent", "Trash"] {
        assert!(seen.insert(coded(&imap.run(&format!("SELECT {name}")).await, "UIDVALIDITY")), "{name}");
    }
    let mut last = *seen.last().unwrap();
    for round in 0..10 {
        imap.run("CREATE again").await;
        imap.send_literal("a APPEND again", MESSAGE).await;
        let appended = imap.expect("a OK [APPENDUID ").await;
        let validity = coded(&imap.run("SELECT again").await, "UIDVALIDITY");
        assert!(validity > last, "round {round}: {validity} after {last}");
        assert_eq!(coded(&[appended], "APPENDUID"), validity);
        last = validity;
        // A name that goes and comes back by another way is another mailbox, too.
        if round % 2 == 0 {
            imap.run("CLOSE").await;
            imap.run("RENAME again moved").await;
            assert_eq!(coded(&imap.run("SELECT moved").await, "UIDVALIDITY"), validity);
            imap.run("DELETE moved").await;
        } else {
            imap.run("CLOSE").await;
            imap.run("DELETE again").await;
        }
    }
    // By SQL as well.
    db.sql("insert into store.mailbox (account_id, name) select id, 'again' from directory.account where local_part = 'alice'")
        .await;
    assert!(coded(&imap.run("SELECT again").await, "UIDVALIDITY") > last);
    imap.run("RENAME INBOX old").await;
    assert!(coded(&imap.run("SELECT old").await, "UIDVALIDITY") > last);
}

/// Without COPYUID and APPENDUID, Outlook copies again what it cannot find: they are always there.
#[tokio::test]
async fn copyuid_and_appenduid_always() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = alice(&daemon).await;
    let inbox = coded(&imap.run("SELECT INBOX").await, "UIDVALIDITY");
    let archive = coded(&imap.run("STATUS Archive (UIDVALIDITY)").await.map_status(), "UIDVALIDITY");
    // Selected, and not.
    for uid in 1..=6 {
        let appended = append(&mut imap, "INBOX").await;
        assert!(appended.starts_with(&format!("a OK [APPENDUID {inbox} {uid}]")), "{appended}");
    }
    let appended = append(&mut imap, "Archive").await;
    assert!(appended.starts_with(&format!("a OK [APPENDUID {archive} 1]")), "{appended}");
    for (command, code) in [
        ("COPY 1:2 Archive", format!("{archive} 1:2 2:3")),
        ("UID COPY 2,4 Archive", format!("{archive} 2,4 4:5")),
        ("COPY 6 INBOX", format!("{inbox} 6 7")),
        ("UID COPY 3,1 Archive", format!("{archive} 1,3 6:7")),
    ] {
        let answers = imap.run(command).await;
        assert!(
            answers.last().unwrap().starts_with(&format!("t OK [COPYUID {code}]")),
            "{command}: {answers:?}"
        );
    }
    // RFC 6851 §4.3: with MOVE it comes before the EXPUNGEs.
    for (command, code) in [
        ("MOVE 1:2 Archive", format!("{archive} 1:2 8:9")),
        ("UID MOVE 4:5 Archive", format!("{archive} 4:5 10:11")),
    ] {
        let answers = imap.run(command).await;
        let code = answers.iter().position(|answer| answer.starts_with(&format!("* OK [COPYUID {code}]")));
        let gone = answers.iter().position(|answer| answer.ends_with(" EXPUNGE"));
        assert!(code.is_some() && code < gone, "{command}: {answers:?}");
    }
    // Nothing copied, nothing to say.
    let answers = imap.run("UID COPY 100:200 Archive").await;
    assert!(!answers.last().unwrap().contains("COPYUID"), "{answers:?}");
}

/// `* STATUS x (UIDVALIDITY 5)` as a response code is written.
trait AsCodes {
    fn map_status(self) -> Vec<String>;
}

impl AsCodes for Vec<String> {
    fn map_status(self) -> Vec<String> {
        self.into_iter().map(|answer| answer.replace('(', "[")).collect()
    }
}

/// Programs that look for Sent and Trash look into whatever LIST they send, and those that read LIST-STATUS expect each
/// STATUS behind its LIST.
#[tokio::test]
async fn special_uses_are_in_every_list_and_status_comes_behind() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = alice(&daemon).await;
    for command in [
        "LIST \"\" *",
        "LIST \"\" %",
        "LIST \"\" Sent",
        "LIST \"\" \"S%\"",
        "LIST (SUBSCRIBED) \"\" *",
        "LIST \"\" * RETURN (CHILDREN)",
        "LIST \"\" * RETURN (SPECIAL-USE)",
        "LIST \"\" (Sent Trash) RETURN (SUBSCRIBED STATUS (MESSAGES UIDNEXT))",
        "LIST (SPECIAL-USE) \"\" * RETURN (STATUS (UNSEEN))",
    ] {
        let answers = imap.run(command).await;
        let sent = answers.iter().find(|answer| answer.starts_with("* LIST ") && answer.ends_with(" Sent"));
        assert!(sent.is_some_and(|line| line.contains("\\Sent")), "{command}: {answers:#?}");
        let names = |kind: &str| -> Vec<(usize, String)> {
            let lines = answers.iter().enumerate().filter(|(_, answer)| answer.starts_with(kind));
            lines
                .map(|(at, line)| {
                    (
                        at,
                        line.split(' ')
                            .nth(if kind == "* LIST " { line.split(' ').count() - 1 } else { 2 })
                            .unwrap()
                            .to_owned(),
                    )
                })
                .collect()
        };
        for (at, name) in names("* STATUS ") {
            assert!(names("* LIST ").contains(&(at - 1, name.clone())), "{command}: {name} {answers:#?}");
        }
        if command.contains("STATUS") {
            assert_eq!(names("* STATUS ").len(), names("* LIST ").len(), "{command}");
        }
    }
}

/// INBOX is INBOX in any case, also as the first level of others, and making it again says that it is there.
#[tokio::test]
async fn inbox_in_any_case() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = alice(&daemon).await;
    for name in ["inbox", "Inbox", "\"iNBOX\"", "InBoX"] {
        append(&mut imap, name).await;
        imap.run(&format!("SELECT {name}")).await;
        imap.run(&format!("COPY 1 {name}")).await;
        imap.run(&format!("SUBSCRIBE {name}")).await;
        let answers = imap.run(&format!("STATUS {name} (UIDNEXT)")).await;
        assert!(answers[0].starts_with("* STATUS INBOX ("), "{answers:?}");
        let answers = imap.run(&format!("LIST \"\" {name}")).await;
        assert!(answers[0].starts_with("* LIST (") && answers[0].ends_with(" INBOX"), "{answers:?}");
        imap.send(&format!("c CREATE {name}")).await;
        imap.expect("c NO [ALREADYEXISTS]").await;
        imap.send(&format!("d DELETE {name}")).await;
        imap.expect("d NO [CANNOT]").await;
    }
    imap.run("CREATE inbox/below").await;
    imap.send("c CREATE InBox/below").await;
    imap.expect("c NO [ALREADYEXISTS]").await;
    let names = db.rows("select name from store.mailbox where name ilike 'inbox%' and account_id = (select id from directory.account where local_part = 'alice') order by 1");
    let names: Vec<String> = names.await.iter().map(|row| row.get(0)).collect();
    assert_eq!(names, ["INBOX", "INBOX/below"]);
}

/// Macs write names decomposed, others composed: it is one mailbox. Emoji are two units of UTF-16 in its UTF-7.
#[tokio::test]
async fn names_are_normalised_and_may_be_astral() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = alice(&daemon).await;
    // "Ordnér", with the accent on its own; then as one letter.
    imap.run("CREATE Ordne&AwE-r").await;
    imap.send("c CREATE Ordn&AOk-r").await;
    imap.expect("c NO [ALREADYEXISTS]").await;
    append(&mut imap, "Ordn&AOk-r").await;
    append(&mut imap, "Ordne&AwE-r").await;
    let answers = imap.run("STATUS Ordne&AwE-r (MESSAGES)").await;
    assert_eq!(answers[0], "* STATUS Ordn&AOk-r (MESSAGES 2)");
    let answers = imap.run("LIST \"\" Ordne&AwE-*").await;
    assert!(answers[0].ends_with(" Ordn&AOk-r"), "{answers:?}");

    imap.run("CREATE &2D3eAA-/a&2D3eAADp-b").await;
    let answers = imap.run("LIST \"\" &2D3eAA-/%").await;
    assert!(answers[0].ends_with(" &2D3eAA-/a&2D3eAADp-b"), "{answers:?}");
    assert_eq!(
        db.value::<i64>("select count(*) from store.mailbox where name in ('\u{1f600}', '\u{1f600}/a\u{1f600}\u{e9}b', 'Ordn\u{e9}r')").await,
        3
    );
    // Half a pair is no name.
    imap.send("c CREATE &2D0-").await;
    assert!(["c NO", "c BAD"].contains(&imap.answer().await.get(..5).unwrap().trim_end()));
}

/// A FETCH with a keyword that the client has not heard of confuses some: FLAGS tells it first.
#[tokio::test]
async fn flags_come_before_the_first_fetch_with_a_new_keyword() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut imap, mut other) = (alice(&daemon).await, alice(&daemon).await);
    append(&mut imap, "INBOX").await;
    imap.run("SELECT INBOX").await;
    other.run("SELECT INBOX").await;
    let in_order = |answers: &[String], keyword: &str| {
        let at = |start: &str| {
            answers.iter().position(|answer| answer.starts_with(start) && answer.contains(keyword))
        };
        let (flags, fetch) = (at("* FLAGS ("), at("* 1 FETCH ("));
        assert!(flags.is_some() && flags < fetch, "{keyword}: {answers:?}");
    };
    in_order(&imap.run("STORE 1 +FLAGS (first)").await, "first");
    in_order(&other.run("NOOP").await, "first");
    // While idle, and by SQL.
    other.send("i IDLE").await;
    other.expect("+").await;
    db.sql("update store.message set keywords = keywords || '{second}'").await;
    let mut heard = Vec::new();
    while !heard.last().is_some_and(|line: &String| line.starts_with("* 1 FETCH")) {
        heard.push(other.answer().await);
    }
    in_order(&heard, "second");
    other.send("DONE").await;
    other.expect("i OK").await;
    // And once only.
    let answers = imap.run("FETCH 1 (FLAGS)").await;
    let answers =
        [answers, imap.run("STORE 1 -FLAGS (first)").await, imap.run("STORE 1 +FLAGS (first)").await]
            .concat();
    assert!(answers.iter().filter(|answer| answer.starts_with("* FLAGS (")).count() <= 1, "{answers:?}");
}

/// A message is \Recent in exactly one session (RFC 3501 §2.3.2), whoever looks at the same time.
#[tokio::test]
async fn recent_in_exactly_one_session() {
    const MESSAGES: usize = 12;
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut writer = alice(&daemon).await;
    for _ in 0..MESSAGES {
        append(&mut writer, "INBOX").await;
    }
    // Before anybody has looked: four at once.
    let mut sessions =
        [alice(&daemon).await, alice(&daemon).await, alice(&daemon).await, alice(&daemon).await];
    for session in &mut sessions {
        session.send("s SELECT INBOX").await;
    }
    let mut recent = Vec::new();
    for session in &mut sessions {
        let answers = session.until_tag("s").await;
        let line = answers.iter().find_map(|answer| answer.strip_prefix("* ")?.strip_suffix(" RECENT"));
        recent.push(line.unwrap().parse::<usize>().unwrap());
    }
    assert_eq!(recent.iter().sum::<usize>(), MESSAGES, "{recent:?}");
    let flagged = async |sessions: &mut [Dialogue]| {
        let mut of_each = vec![0; 2 * MESSAGES];
        for session in sessions {
            for answer in session.run("FETCH 1:* (UID FLAGS)").await {
                if answer.contains("\\Recent") {
                    let uid: usize = answer
                        .split("UID ")
                        .nth(1)
                        .unwrap()
                        .split([' ', ')'])
                        .next()
                        .unwrap()
                        .parse()
                        .unwrap();
                    of_each[uid - 1] += 1;
                }
            }
        }
        of_each
    };
    assert_eq!(flagged(&mut sessions).await[..MESSAGES], [1; MESSAGES]);
    // While all of them look on.
    for _ in 0..MESSAGES {
        append(&mut writer, "INBOX").await;
    }
    for session in &mut sessions {
        session.run("NOOP").await;
    }
    assert_eq!(flagged(&mut sessions).await, [1; 2 * MESSAGES]);
    // Whoever comes later finds none; STATUS and EXAMINE take none away.
    append(&mut writer, "Archive").await;
    for _ in 0..2 {
        let answers = writer.run("STATUS Archive (RECENT)").await;
        assert_eq!(answers[0], "* STATUS Archive (RECENT 1)");
        assert!(writer.run("EXAMINE Archive").await.contains(&"* 1 RECENT".to_owned()));
    }
    assert!(writer.run("SELECT Archive").await.contains(&"* 1 RECENT".to_owned()));
    assert!(sessions[0].run("SELECT Archive").await.contains(&"* 0 RECENT".to_owned()));
    assert!(sessions[1].run("SELECT INBOX").await.contains(&"* 0 RECENT".to_owned()));
}
