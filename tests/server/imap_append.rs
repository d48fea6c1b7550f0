//! Messages put into mailboxes by IMAP: several at once (MULTIAPPEND, RFC 3502), put together from pieces (CATENATE, RFC
//! 4469), in the place of another (REPLACE, RFC 8508), and how large they may be (APPENDLIMIT, RFC 7889).

use crate::support::dialogue::Dialogue;
use crate::support::{Daemon, Database};

async fn alice(daemon: &Daemon<'_>) -> Dialogue {
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    imap
}

/// Sends a command that must be refused, and expects how the refusal begins.
async fn refused(imap: &mut Dialogue, command: &str, answer: &str) {
    imap.send(&format!("r {command}")).await;
    imap.expect(&format!("r {answer}")).await;
}

/// A whole message of the selected mailbox.
async fn message(imap: &mut Dialogue, number: u32) -> String {
    imap.send(&format!("m FETCH {number} BODY.PEEK[]")).await;
    let bytes = imap.expect_literal(&format!("* {number} FETCH (BODY[] ")).await;
    imap.expect("m OK").await;
    String::from_utf8(bytes).unwrap()
}

async fn count(imap: &mut Dialogue, mailbox: &str) -> String {
    imap.run(&format!("STATUS {mailbox} (MESSAGES)")).await.remove(0)
}

#[tokio::test]
async fn several_messages_in_one_command() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = alice(&daemon).await;
    imap.run("CREATE saved-messages").await;
    // RFC 3502 §6.3.11.
    let first =
        "Date: Mon, 7 Feb 1994 21:52:25 -0800 (PST)\r\nSubject: afternoon meeting\r\n\r\nHello Joe?\r\n";
    let second = "Date: Mon, 7 Feb 1994 22:43:04 -0800 (PST)\r\nSubject: Re: afternoon meeting\r\n\r\n3:30 is fine.\r\n";
    imap.send(&format!("A003 APPEND saved-messages (\\Seen) {{{}}}", first.len())).await;
    imap.expect("+ ").await;
    imap.send_bytes(
        format!("{first} (\\Draft k) \" 7-Feb-1994 22:43:04 -0800\" {{{}}}\r\n", second.len()).as_bytes(),
    )
    .await;
    imap.expect("+ ").await;
    imap.send_bytes(format!("{second}\r\n").as_bytes()).await;
    imap.expect("A003 OK [APPENDUID * 1:2]").await;
    let selected = imap.run("SELECT saved-messages").await;
    assert!(selected.contains(&"* 2 EXISTS".to_owned()));
    assert_eq!(message(&mut imap, 1).await, first);
    assert_eq!(message(&mut imap, 2).await, second);
    let facts = imap.run("FETCH 1:2 (FLAGS)").await;
    assert!(facts[0].contains("\\Seen") && !facts[0].contains("\\Draft"), "{facts:?}");
    assert!(facts[1].contains("\\Draft") && facts[1].contains(" k)"), "{facts:?}");
    let date = imap.run("FETCH 2 INTERNALDATE").await;
    assert_eq!(date[0], "* 2 FETCH (INTERNALDATE \" 7-Feb-1994 22:43:04 -0800\")");
    // The same with LITERAL+, equal messages among them, into the selected mailbox.
    let same = "Subject: same\r\n\r\n";
    let mut command = "A004 APPEND saved-messages".to_owned();
    for _ in 0..300 {
        command.push_str(&format!(" {{{}+}}\r\n{same}", same.len()));
    }
    imap.send_bytes(format!("{command}\r\n").as_bytes()).await;
    imap.expect("* 302 EXISTS").await;
    imap.expect("A004 OK [APPENDUID * 3:302]").await;
    assert_eq!(db.value::<i64>("select count(*) from store.content").await, 3);
    assert_eq!(db.value::<i64>("select messages from store.usage where messages > 0").await, 302);
}

#[tokio::test]
async fn a_refused_command_stores_nothing() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply("update control.smtp set max_message_bytes = 2000").await;
    let mut imap = alice(&daemon).await;
    let good = "(\\Seen) {12+}\r\nSubject: a\r\n";
    let large = format!("{{2001+}}\r\n{}", "x".repeat(2001));
    let half = format!("{{1200+}}\r\n{}", "x".repeat(1200));
    for (rest, answer) in [
        (format!("{good} {large}"), "NO [TOOBIG]"),
        (format!("{large} {good}"), "NO [TOOBIG]"),
        (format!("{good} {large} {large} {good}"), "NO [TOOBIG]"),
        (format!("{good} CATENATE (TEXT {half} TEXT {half})"), "NO [TOOBIG]"),
        // RFC 3502 §6.3.11: a message of no bytes takes the command back.
        (format!("{good} {{0+}}\r\n"), "NO "),
        (format!("{good} (\\Foo) {good}"), "BAD"),
        (format!("{good} x"), "BAD"),
        (format!("{good} CATENATE (TEXT {good}"), "BAD"),
        (format!("{good} CATENATE (URL /INBOX/;UID=7)"), "NO [BADURL \"/INBOX/;UID=7\"]"),
        (format!("{good} UTF8 (~{good})"), "BAD"),
        (format!("{good} UTF8 (~{{3+}}\r\nabc)"), "NO "),
        (format!("{good} ~{{4294967295}}"), "NO [TOOBIG]"),
        (format!("{good} {{99999999999999999999}}"), "BAD"),
    ] {
        refused(&mut imap, &format!("APPEND INBOX {rest}"), answer).await;
        refused(&mut imap, "NOOP", "OK").await;
    }
    refused(&mut imap, &format!("APPEND nowhere {good} {good}"), "NO [TRYCREATE]").await;
    assert_eq!(count(&mut imap, "INBOX").await, "* STATUS INBOX (MESSAGES 0)");
    // Quota is asked for all of them together.
    db.apply("update directory.account set quota_bytes = 20 where local_part = 'alice'").await;
    refused(&mut imap, &format!("APPEND INBOX {good} {good}"), "NO [OVERQUOTA]").await;
    assert_eq!(count(&mut imap, "INBOX").await, "* STATUS INBOX (MESSAGES 0)");
    refused(&mut imap, &format!("APPEND INBOX {good}"), "OK").await;
    assert_eq!(db.value::<i64>("select count(*) from store.message").await, 1);
}

#[tokio::test]
async fn more_than_a_command_may_hold_is_refused() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = alice(&daemon).await;
    let one = "{1+}\r\nx";
    let thousand_and_one = vec![one; 1001].join(" ");
    imap.send_bytes(format!("a APPEND INBOX {thousand_and_one}\r\n").as_bytes()).await;
    imap.expect("a NO [LIMIT]").await;
    // Thousands of texts that become one message.
    let texts = vec!["TEXT {1+}\r\nx"; 4000].join(" ");
    imap.send_bytes(format!("b APPEND INBOX CATENATE ({texts})\r\n").as_bytes()).await;
    imap.expect("b OK [APPENDUID * 1]").await;
    // More text between them than a command may have.
    let texts = vec!["TEXT {1+}\r\nx"; 8000].join(" ");
    imap.send_bytes(format!("c APPEND INBOX CATENATE ({texts})\r\n").as_bytes()).await;
    imap.expect("c BAD").await;
    imap.run("SELECT INBOX").await;
    assert_eq!(message(&mut imap, 1).await, "x".repeat(4000));
    assert_eq!(db.value::<i64>("select count(*) from store.message").await, 1);
}

#[tokio::test]
async fn commands_that_share_little_memory_do_not_wait_for_each_other() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    // The least there can be, and messages that do not become smaller by it.
    db.apply("update control.store set message_bytes_in_flight = 4194304, compress = false").await;
    let text = format!("Subject: x\r\n\r\n{}", "0123456789abcdef".repeat(19_000));
    let messages: String =
        (0..5).map(|number| format!(" {{{}+}}\r\n{number}{text}", text.len() + 1)).collect();
    let command = format!("a APPEND INBOX{messages}\r\n");
    // All of them come to where they hold what they may, and go on from there.
    let (first, second) = command.as_bytes().split_at(command.len() * 7 / 10);
    let mut sessions = Vec::new();
    for _ in 0..6 {
        let mut imap = alice(&daemon).await;
        imap.send_bytes(first).await;
        sessions.push(imap);
    }
    for imap in sessions.iter_mut().rev() {
        imap.send_bytes(second).await;
    }
    for imap in &mut sessions {
        imap.expect("a OK [APPENDUID ").await;
    }
    let mut imap = alice(&daemon).await;
    assert!(imap.run("SELECT INBOX").await.contains(&"* 30 EXISTS".to_owned()));
    for number in 1..=30 {
        assert!(message(&mut imap, number).await.ends_with(&text));
    }
}

#[tokio::test]
async fn messages_are_put_together_from_pieces() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = alice(&daemon).await;
    // RFC 4469, appendix A: a reply that forwards a part.
    let original = "Return-Path: <bar@example.org>\r\nFrom: Bob Ar <bar@example.org>\r\nMIME-Version: 1.0\r\nTo: foo@example.net\r\n\
        Subject: About our holiday trip\r\nContent-Type: multipart/mixed; boundary=\"------------030305060306060609050804\"\r\n\r\n\
        --------------030305060306060609050804\r\nContent-Type: text/plain; charset=us-ascii; format=flowed\r\n\
        Content-Transfer-Encoding: 7bit\r\n\r\nOur travel agent has sent the updated schedule.\r\n\r\nCheers,\r\nBob\r\n\
        --------------030305060306060609050804\r\nContent-Type: application/pdf; name=\"our-schedule.pdf\"\r\n\
        Content-Transfer-Encoding: base64\r\n\r\nYm9keQ==\r\n--------------030305060306060609050804--\r\n";
    imap.send_literal("A APPEND Drafts", original.as_bytes()).await;
    let answer = imap.expect("A OK [APPENDUID ").await;
    let validity: u32 = answer.split([' ', ']']).nth(3).unwrap().parse().unwrap();
    let header = original.split_inclusive("\r\n\r\n").next().unwrap();
    let new_text = "\r\n--------------030305060306060609050804\r\nContent-Type: text/plain\r\n\r\nHi\r\n";
    let boundary = "\r\n--------------030305060306060609050804\r\n";
    let end = "\r\n--------------030305060306060609050804--\r\n";
    imap.send(&format!(
        "A003 APPEND Drafts (\\Seen \\Draft $MDNSent) CATENATE (URL \"/Drafts;UIDVALIDITY={validity}/;UID=1/;section=HEADER\" \
         TEXT {{{}}}",
        new_text.len()
    ))
    .await;
    imap.expect("+ ").await;
    imap.send_bytes(
        format!(
            "{new_text} TEXT {{{}+}}\r\n{boundary} URL {{{}+}}\r\n{} URL \
             \"/Drafts;UIDVALIDITY={validity}/;UID=1/;section=2.MIME\" URL Drafts/;UID=1/;SECTION=2 TEXT {{{}+}}\r\n{end})\r\n",
            boundary.len(),
            "/Drafts/;UID=1/;section=1.MIME".len(),
            "/Drafts/;UID=1/;section=1.MIME",
            end.len()
        )
        .as_bytes(),
    )
    .await;
    imap.expect("A003 OK [APPENDUID * 2]").await;
    imap.run("SELECT Drafts").await;
    let put_together = format!(
        "{header}{new_text}{boundary}Content-Type: text/plain; charset=us-ascii; format=flowed\r\n\
         Content-Transfer-Encoding: 7bit\r\n\r\nContent-Type: application/pdf; name=\"our-schedule.pdf\"\r\n\
         Content-Transfer-Encoding: base64\r\n\r\nYm9keQ=={end}"
    );
    assert_eq!(message(&mut imap, 2).await, put_together);
    // Relative to the selected mailbox, and with nothing that is sent at all.
    imap.send("b APPEND INBOX CATENATE (URL \"/;UID=1/;SECTION=HEADER.FIELDS%20(Subject)\" URL ;UID=1/;PARTIAL=0.9) CATENATE (URL /Drafts/;UID=1)").await;
    imap.expect("b OK [APPENDUID * 1:2]").await;
    imap.run("SELECT INBOX").await;
    assert_eq!(message(&mut imap, 1).await, "Subject: About our holiday trip\r\n\r\nReturn-Pa");
    assert_eq!(message(&mut imap, 2).await, original);
}

#[tokio::test]
async fn urls_lead_no_further_than_one_may_read() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut bob = daemon.imap().await;
    bob.login("bob").await;
    bob.send_literal("a APPEND INBOX", b"Subject: secret\r\n\r\n").await;
    bob.expect("a OK").await;
    let mut imap = alice(&daemon).await;
    let host: String = db.value("select coalesce(hostname, '') from control.server").await;
    let host = if host.is_empty() { "localhost".to_owned() } else { host };
    for url in [
        "/INBOX/;UID=1".to_owned(),
        format!("imap://bob%40example.test@{host}/INBOX/;UID=1"),
        format!("imap://nobody@{host}/INBOX/;UID=1"),
        "imap://other.example.org/INBOX/;UID=1".to_owned(),
        "/nowhere/;UID=1".to_owned(),
        "/INBOX;UIDVALIDITY=1/;UID=1".to_owned(),
        ";UID=1".to_owned(),
        "/INBOX".to_owned(),
        "no url".to_owned(),
    ] {
        refused(
            &mut imap,
            &format!("APPEND INBOX CATENATE (URL \"{url}\")"),
            &format!("NO [BADURL \"{url}\"]"),
        )
        .await;
    }
    // A part that is not there.
    imap.send_literal("a APPEND INBOX", b"Subject: x\r\n\r\n").await;
    imap.expect("a OK").await;
    refused(&mut imap, "APPEND INBOX CATENATE (URL /INBOX/;UID=1/;SECTION=2)", "NO [BADURL ").await;
    imap.send(&format!(
        "b APPEND INBOX CATENATE (URL \"imap://alice%40example.test;AUTH=*@{host}/INBOX/;UID=1\")"
    ))
    .await;
    imap.expect("b OK").await;
    assert_eq!(count(&mut imap, "INBOX").await, "* STATUS INBOX (MESSAGES 2)");
}

#[tokio::test]
async fn a_message_takes_the_place_of_another() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut imap, mut other) = (alice(&daemon).await, alice(&daemon).await);
    for number in 1..=4 {
        imap.send_literal("a APPEND Drafts (\\Flagged)", format!("Subject: {number}\r\n\r\n").as_bytes())
            .await;
        imap.expect("a OK").await;
    }
    imap.run("SELECT Drafts").await;
    other.run("SELECT Drafts").await;
    // RFC 8508 §3.2: APPENDUID, then EXISTS and EXPUNGE, and no flags of the old one.
    let new = "Subject: new\r\n\r\n";
    imap.send_literal("r REPLACE 4 Drafts (\\Seen \\Draft)", new.as_bytes()).await;
    let answers = imap.until_tag("r").await;
    let at = |what: &str| {
        answers
            .iter()
            .position(|answer| answer.starts_with(what))
            .unwrap_or_else(|| panic!("{what} in {answers:?}"))
    };
    assert!(at("* OK [APPENDUID ") < at("* 4 EXPUNGE"), "{answers:?}");
    assert!(at("* 4 EXISTS") > 0 && at("r OK") == answers.len() - 1, "{answers:?}");
    assert_eq!(imap.run("FETCH 4 (UID FLAGS)").await[0], "* 4 FETCH (UID 5 FLAGS (\\Seen \\Draft \\Recent))");
    assert_eq!(message(&mut imap, 4).await, new);
    other.send("n NOOP").await;
    other.expect("* 4 EXPUNGE").await;
    other.expect("n OK").await;
    // RFC 8508 §3.3: by UID, into another mailbox; with CATENATE (§4.2).
    imap.send("r UID REPLACE 2 Sent CATENATE (URL /Drafts/;UID=2 URL /Drafts/;UID=3)").await;
    let answers = imap.until_tag("r").await;
    assert!(answers.iter().any(|answer| answer.starts_with("* OK [APPENDUID ")), "{answers:?}");
    assert!(answers.contains(&"* 2 EXPUNGE".to_owned()), "{answers:?}");
    assert_eq!(count(&mut imap, "Sent").await, "* STATUS Sent (MESSAGES 1)");
    assert_eq!(db.value::<i64>("select messages from store.usage where messages > 0").await, 4);
    assert_eq!(db.value::<i64>("select count(*) from store.expunged where content_id is not null").await, 2);
    // What is refused leaves the old one where it is.
    for (command, answer) in [
        ("REPLACE 9 Drafts {3}", "BAD"),
        ("UID REPLACE 2 Drafts {3}", "NO"),
        ("REPLACE 1 nowhere {3}", "NO [TRYCREATE]"),
        ("REPLACE 1 Drafts {4294967295}", "NO [TOOBIG]"),
        ("REPLACE 1 Drafts {3+}\r\nabc {3+}\r\nabc", "BAD"),
        ("REPLACE 1 Drafts CATENATE (URL /Drafts/;UID=2)", "NO [BADURL"),
        ("REPLACE 1:2 Drafts {3}", "BAD"),
    ] {
        refused(&mut imap, command, answer).await;
    }
    assert_eq!(count(&mut imap, "Drafts").await, "* STATUS Drafts (MESSAGES 3)");
    imap.run("EXAMINE Drafts").await;
    refused(&mut imap, "REPLACE 1 Drafts {3}", "NO").await;
    imap.run("UNSELECT").await;
    refused(&mut imap, "REPLACE 1 Drafts {3+}\r\nabc", "BAD").await;
    // What takes the place of another need not find room beside it.
    db.apply("update directory.account set quota_bytes = 70 where local_part = 'alice'").await;
    imap.run("SELECT Drafts").await;
    let used: i64 = db.value("select bytes from store.usage where messages > 0").await;
    let room = 70 - used + 14;
    let fits = format!("Subject: {}", "x".repeat(usize::try_from(room).unwrap() - 9));
    imap.send_literal("r REPLACE 1 Drafts", fits.as_bytes()).await;
    imap.expect("r OK").await;
}

#[tokio::test]
async fn what_others_do_meanwhile_loses_nothing() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut imap, mut other) = (alice(&daemon).await, alice(&daemon).await);
    for number in 1..=2 {
        imap.send_literal("a APPEND INBOX", format!("Subject: {number}\r\n\r\n").as_bytes()).await;
        imap.expect("a OK").await;
    }
    imap.run("CREATE target").await;
    imap.run("SELECT INBOX").await;
    other.run("SELECT INBOX").await;
    // The target goes away: the old message stays.
    imap.send("r REPLACE 1 target {3}").await;
    imap.expect("+").await;
    other.run("DELETE target").await;
    imap.send_bytes(b"new\r\n").await;
    imap.expect("r NO [TRYCREATE]").await;
    assert_eq!(message(&mut imap, 1).await, "Subject: 1\r\n\r\n");
    // The old message goes away: the new one is stored.
    imap.send("r UID REPLACE 1 INBOX {3}").await;
    imap.expect("+").await;
    other.run("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    other.run("EXPUNGE").await;
    imap.send_bytes(b"new\r\n").await;
    imap.expect("* 1 EXPUNGE").await;
    imap.expect("r OK").await;
    assert_eq!(message(&mut imap, 1).await, "Subject: 2\r\n\r\n");
    assert_eq!(message(&mut imap, 2).await, "new");
    // A target of several messages goes away while they come in.
    imap.run("CREATE target").await;
    imap.send("r APPEND target {3+}\r\nabc {3}").await;
    imap.expect("+").await;
    other.run("DELETE target").await;
    imap.send_bytes(b"def\r\n").await;
    imap.expect("r NO [TRYCREATE]").await;
    // A client that leaves in the middle has sent nothing.
    other.send_bytes(b"a APPEND INBOX {3+}\r\nabc {3+}\r\nde").await;
    drop(other);
    assert_eq!(count(&mut imap, "INBOX").await, "* STATUS INBOX (MESSAGES 2)");
    let counted = "select u.messages = count(m.*) and u.bytes = sum(m.size) from store.usage u
        join store.message m using (account_id) group by u.messages, u.bytes";
    assert!(db.value::<bool>(counted).await);
}

#[tokio::test]
async fn binary_messages_are_taken() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = alice(&daemon).await;
    // RFC 3516 §4.4
    imap.send("a APPEND INBOX ~{21}").await;
    imap.expect("+").await;
    imap.send_bytes(b"Subject: x\r\n\r\na\0b\0c\r\n\r\n").await;
    imap.expect("a OK [APPENDUID ").await;
    imap.run("SELECT INBOX").await;
    imap.send("b FETCH 1 BINARY[1]").await;
    assert_eq!(imap.expect_literal("* 1 FETCH (BINARY[1] ~{7}").await, b"a\0b\0c\r\n");
    imap.expect("b OK").await;
}

#[tokio::test]
async fn the_largest_message_is_told() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply("update control.smtp set max_message_bytes = 20000").await;
    let mut imap = alice(&daemon).await;
    let capabilities = imap.run("CAPABILITY").await;
    assert!(capabilities[0].contains(" APPENDLIMIT=20000"), "{capabilities:?}");
    assert_eq!(imap.run("STATUS INBOX (APPENDLIMIT)").await[0], "* STATUS INBOX (APPENDLIMIT 20000)");
    db.apply("update directory.account set max_message_bytes = 3000 where local_part = 'alice'").await;
    let mut imap = alice(&daemon).await;
    assert!(imap.run("CAPABILITY").await[0].contains(" APPENDLIMIT=3000"));
    refused(&mut imap, "APPEND INBOX {3001}", "NO [TOOBIG]").await;
    imap.send_literal("a APPEND INBOX", "x".repeat(3000).as_bytes()).await;
    imap.expect("a OK").await;
}
