//! Words by IMAP: names and messages in UTF-8, languages, how text is compared; and what an account may keep.

use crate::support::{Daemon, Database, Dialogue};

async fn refused(imap: &mut Dialogue, command: &str, answer: &str) {
    imap.send(&format!("r {command}")).await;
    imap.expect(&format!("r {answer}")).await;
}

async fn append(imap: &mut Dialogue, mailbox: &str, message: &str) {
    imap.send_literal(&format!("a APPEND {mailbox}"), message.as_bytes()).await;
    imap.expect("a OK [APPENDUID ").await;
}

// UTF8=ACCEPT -----------------------------------------------------------------------------------------------------

#[tokio::test]
async fn names_in_utf8_once_enabled() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut imap, mut old) = (daemon.imap().await, daemon.imap().await);
    imap.login("alice").await;
    old.login("alice").await;
    refused(&mut imap, "CREATE \"Entwürfe\"", "BAD").await;
    assert_eq!(imap.run("ENABLE UTF8=ACCEPT").await[0], "* ENABLED UTF8=ACCEPT");
    imap.run("CREATE \"Entwürfe/日本 R&D\"").await;
    assert_eq!(
        imap.run("LIST \"\" \"Entwürfe*\" RETURN (STATUS (MESSAGES))").await[..4],
        [
            "* LIST (\\HasChildren) \"/\" \"Entwürfe\"",
            "* STATUS \"Entwürfe\" (MESSAGES 0)",
            "* LIST (\\HasNoChildren) \"/\" \"Entwürfe/日本 R&D\"",
            "* STATUS \"Entwürfe/日本 R&D\" (MESSAGES 0)",
        ]
    );
    // RFC 6855 §3: modified UTF-7 is no more than the characters that it is made of.
    imap.run("CREATE &AOk-").await;
    assert_eq!(imap.run("LIST \"\" &*").await[0], "* LIST (\\HasNoChildren) \"/\" &AOk-");
    assert_eq!(old.run("LIST \"\" &-*").await[0], "* LIST (\\HasNoChildren) \"/\" &-AOk-");
    assert_eq!(
        old.run("LIST \"\" Entw*").await[..2],
        [
            "* LIST (\\HasChildren) \"/\" Entw&APw-rfe",
            "* LIST (\\HasNoChildren) \"/\" \"Entw&APw-rfe/&ZeVnLA- R&-D\"",
        ]
    );
    for malformed in
        [&b"r CREATE \"\xff\"\r\n"[..], b"r SELECT {1+}\r\n\xe9\r\n", b"r LIST \"\" \"\xc3\"\r\n"]
    {
        imap.send_bytes(malformed).await;
        imap.expect("r BAD").await;
    }
}

#[tokio::test]
async fn searches_and_messages_in_utf8_once_enabled() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    let message = "From: \"Zoë\" <zoë@bücher.example>\r\nSubject: Grüße aus Köln\r\n\r\nhällo\r\n";
    // RFC 6855 §4: what belongs to UTF8=ACCEPT is refused before it is enabled, and the rest of the command passed over.
    imap.send(&format!("r APPEND INBOX UTF8 (~{{{}}}", message.len())).await;
    imap.expect("r NO").await;
    imap.send_bytes(format!("r APPEND INBOX UTF8 (~{{{}+}}\r\n{message})\r\n", message.len()).as_bytes())
        .await;
    imap.expect("r NO").await;
    imap.run("ENABLE UTF8=ACCEPT").await;
    imap.send(&format!("a APPEND INBOX (\\Seen) UTF8 (~{{{}}}", message.len())).await;
    imap.expect("+").await;
    imap.send_bytes(format!("{message})\r\n").as_bytes()).await;
    imap.expect("a OK [APPENDUID ").await;
    for broken in ["", " )", ") x"] {
        let command = format!("r APPEND INBOX UTF8 (~{{{}+}}\r\n{message}{broken}\r\n", message.len());
        imap.send_bytes(command.as_bytes()).await;
        imap.expect("r BAD").await;
    }
    let selected = imap.run("SELECT INBOX").await;
    assert!(selected.contains(&"* 1 EXISTS".to_owned()), "{selected:?}");
    assert_eq!(imap.run("SEARCH SUBJECT \"GRÜßE\"").await[0], "* SEARCH 1");
    assert_eq!(
        imap.run("UID SEARCH RETURN (COUNT) BODY \"hällo\"").await[0],
        "* ESEARCH (TAG \"t\") UID COUNT 1"
    );
    // RFC 6855 §3
    refused(&mut imap, "SEARCH CHARSET UTF-8 SUBJECT x", "BAD").await;
    imap.send_bytes(b"r SEARCH SUBJECT \"\xff\"\r\n").await;
    imap.expect("r BAD").await;
    let fetched = imap.run("FETCH 1 (ENVELOPE FLAGS)").await;
    assert!(fetched[0].contains("Grüße aus Köln") && fetched[0].contains("bücher.example"), "{fetched:?}");
}

#[tokio::test]
async fn eight_bit_headers_are_refused_where_the_administrator_wants_it() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    let message = "Subject: Grüße\r\n\r\nhällo\r\n";
    append(&mut imap, "INBOX", message).await;
    db.apply("update control.imap set refuse_8bit_headers = true").await;
    imap.send_literal("a APPEND INBOX", message.as_bytes()).await;
    imap.expect("a NO").await;
    append(&mut imap, "INBOX", "Subject: plain\r\n\r\nhällo\r\n").await;
    imap.run("ENABLE UTF8=ACCEPT").await;
    append(&mut imap, "INBOX", message).await;
    let status = imap.run("STATUS INBOX (MESSAGES)").await;
    assert_eq!(status[0], "* STATUS INBOX (MESSAGES 3)");
}

// LANGUAGE --------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn people_are_spoken_to_in_their_language() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = daemon.imap().await;
    // After RFC 5255 §3.2, before login as after.
    assert_eq!(imap.run("LANGUAGE").await[0], "* LANGUAGE (en de fr es i-default)");
    refused(&mut imap, "LANGUAGE KLINGON", "NO [CANNOT] none of these").await;
    refused(&mut imap, "LANGUAGE d_e", "BAD").await;
    let answers = imap.run("LANGUAGE KLINGON DE-AT \"fr\"").await;
    assert_eq!(answers, ["* LANGUAGE (de)", "t OK von hier an wird Deutsch gesprochen"]);
    refused(
        &mut imap,
        "LOGIN alice@example.test wrong",
        "NO [AUTHENTICATIONFAILED] Benutzername oder Passwort ist falsch",
    )
    .await;
    imap.login("alice").await;
    refused(&mut imap, "SELECT nowhere", "NO [NONEXISTENT] es gibt keinen Ordner mit diesem Namen").await;
    // A text that has no translation stays English.
    refused(&mut imap, "FETCH 1 FLAGS", "BAD command is not legal").await;
    assert_eq!(imap.run("LANGUAGE fr-CA").await[0], "* LANGUAGE (fr)");
    refused(&mut imap, "SELECT nowhere", "NO [NONEXISTENT] il n'y a pas de dossier de ce nom").await;
    assert_eq!(imap.run("LANGUAGE \"default\"").await[0], "* LANGUAGE (en)");
    db.apply("update control.imap set language = 'es'").await;
    assert_eq!(imap.run("LANGUAGE default").await[0], "* LANGUAGE (es)");
    refused(&mut imap, "SELECT nowhere", "NO [NONEXISTENT] no hay ninguna carpeta con ese nombre").await;
    assert_eq!(imap.run("LANGUAGE i-default").await[0], "* LANGUAGE (i-default)");
    refused(&mut imap, "SELECT nowhere", "NO [NONEXISTENT] there is no mailbox of that name").await;
    // RFC 5255 §3.4: there is no name to translate.
    imap.run("LANGUAGE de").await;
    assert_eq!(
        imap.run("NAMESPACE").await[0],
        "* NAMESPACE ((\"\" \"/\")) ((\"Other Users/\" \"/\")) ((\"Shared/\" \"/\"))"
    );
    db.until("select count(*) = 1 from live.session where login is not null").await;
    db.sql("delete from live.session").await;
    imap.expect("* BYE diese Verbindung wurde von einem Administrator beendet").await;
    let told = db.refusal("update control.imap set language = 'xx'").await;
    assert!(told.contains("one of en, de, fr and es"), "{told}");
}

#[tokio::test]
async fn text_is_compared_by_unicode_casemap() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    append(&mut imap, "INBOX", "Subject: =?utf-8?q?Caf=C3=A9?=\r\n\r\nx\r\n").await;
    append(&mut imap, "INBOX", "Subject: =?utf-8?q?STRASSE_cafe=CC=81?=\r\n\r\no\u{fb03}ce\r\n").await;
    imap.run("SELECT INBOX").await;
    // RFC 5255 §4.2, RFC 5051 §2: BCC, BODY, CC, FROM, SUBJECT, TEXT, TO and HEADER.
    for (key, found) in [
        ("SUBJECT \"CAFÉ\"", "* SEARCH 1 2"),
        ("SUBJECT cafe", "* SEARCH 1 2"),
        ("HEADER Subject \"Cafe\u{301}\"", "* SEARCH 1 2"),
        ("TEXT \"straße\"", "* SEARCH 2"),
        ("BODY office", "* SEARCH 2"),
        ("BODY \"oﬃ\"", "* SEARCH 2"),
        ("SUBJECT \"cafè\"", "* SEARCH"),
    ] {
        assert_eq!(imap.run(&format!("SEARCH {key}")).await[0], found, "{key}");
    }
}

// QUOTA -----------------------------------------------------------------------------------------------------------

const ROOT: &str = "user/alice@example.test";

#[tokio::test]
async fn quotas_are_shown() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    // RFC 9208 §4.1.2: of a mailbox that may be missing, too.
    for mailbox in ["INBOX", "nowhere"] {
        let answers = imap.run(&format!("GETQUOTAROOT {mailbox}")).await;
        let expected =
            [format!("* QUOTAROOT {mailbox} \"{ROOT}\""), format!("* QUOTA \"{ROOT}\" (MAILBOX 6 10000)")];
        assert_eq!(answers[..2], expected);
    }
    db.apply(
        "update directory.domain set quota_bytes = 524288; update control.directory set max_messages = 100;
         update directory.domain set max_mailboxes = 20",
    )
    .await;
    append(&mut imap, "INBOX", &format!("Subject: x\r\n\r\n{}", "x".repeat(1500))).await;
    let expected = format!("* QUOTA \"{ROOT}\" (STORAGE 2 512 MESSAGE 1 100 MAILBOX 6 20)");
    assert_eq!(imap.run(&format!("GETQUOTA \"{ROOT}\"")).await[0], expected);
    assert_eq!(imap.run("GETQUOTA user/ALICE@example.test").await[0], expected);
    for root in ["\"\"", "user/bob@example.test", "user/nobody@example.test", "alice@example.test"] {
        refused(&mut imap, &format!("GETQUOTA {root}"), "NO [NONEXISTENT]").await;
    }
    // RFC 9208 §4.1.4
    append(&mut imap, "INBOX (\\Deleted)", "Subject: x\r\n\r\nhello\r\n").await;
    assert_eq!(
        imap.run("STATUS INBOX (MESSAGES DELETED DELETED-STORAGE)").await[0],
        "* STATUS INBOX (MESSAGES 2 DELETED 1 DELETED-STORAGE 21)"
    );
}

#[tokio::test]
async fn quotas_are_kept() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    let message = "Subject: x\r\n\r\nhello\r\n";
    append(&mut imap, "INBOX", message).await;
    append(&mut imap, "INBOX", message).await;
    db.apply("update directory.account set max_messages = 3 where local_part = 'alice'").await;
    imap.run("SELECT INBOX").await;
    refused(&mut imap, "COPY 1:2 Archive", "NO [OVERQUOTA]").await;
    imap.run("COPY 1 Archive").await;
    refused(&mut imap, "COPY 1 Archive", "NO [OVERQUOTA]").await;
    refused(&mut imap, "APPEND INBOX {21}", "NO [OVERQUOTA]").await;
    imap.run("MOVE 1 Archive").await;
    // What comes from outside is told to come again.
    let mut smtp = daemon.smtp().await;
    smtp.expect("220").await;
    smtp.send("EHLO client.example.net").await;
    smtp.expect("250").await;
    for (limit, answer) in
        [("3", "452 4.2.2"), ("0", "250"), ("4", "250"), ("3", "452 4.2.2"), ("null", "250")]
    {
        db.apply(&format!("update directory.account set max_messages = {limit} where local_part = 'alice'"))
            .await;
        smtp.send("MAIL FROM:<sender@example.net>").await;
        smtp.expect("250").await;
        smtp.send("RCPT TO:<alice@example.test>").await;
        smtp.expect(answer).await;
        smtp.send("RSET").await;
        smtp.expect("250").await;
    }
    db.apply("update directory.domain set max_messages = 4").await;
    daemon.deliver("alice", "Subject: the fourth\n\nx\n").await;
    smtp.send("MAIL FROM:<sender@example.net>").await;
    smtp.expect("250").await;
    smtp.send("RCPT TO:<alice@example.test>").await;
    smtp.expect("452 4.2.2").await;
    // Mailboxes: six are there from the start.
    db.apply("update directory.account set max_mailboxes = 10 where local_part = 'alice'").await;
    refused(&mut imap, "CREATE 1/2/3/4/5", "NO [OVERQUOTA]").await;
    imap.run("CREATE 1/2/3/4").await;
    refused(&mut imap, "CREATE 5", "NO [OVERQUOTA]").await;
    assert_eq!(db.value::<i64>("select count(*) from report.quota_drift").await, 0);
}

#[tokio::test]
async fn quotas_are_set_by_who_manages_the_domain() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    let announced = imap.run("CAPABILITY").await;
    assert!(
        !announced[0].contains("QUOTASET") && announced[0].contains("QUOTA=RES-STORAGE"),
        "{announced:?}"
    );
    refused(&mut imap, &format!("SETQUOTA {ROOT} (STORAGE 512)"), "NO [NOPERM]").await;
    refused(&mut imap, "SETQUOTA user/bob@example.test (STORAGE 512)", "NO [NONEXISTENT]").await;

    db.apply(
        "update directory.account set manages_domain = true where local_part = 'carol';
         insert into directory.domain (name) values ('other.test');
         insert into directory.account (domain_id, local_part) select id, 'dave' from directory.domain where name = 'other.test'",
    )
    .await;
    let mut carol = daemon.imap().await;
    carol.login("carol").await;
    assert!(carol.run("CAPABILITY").await[0].contains(" QUOTASET "));
    let set = carol.run(&format!("SETQUOTA \"{ROOT}\" (STORAGE 512 MESSAGE 50)")).await;
    assert_eq!(set[0], format!("* QUOTA \"{ROOT}\" (STORAGE 0 512 MESSAGE 0 50 MAILBOX 6 10000)"));
    assert_eq!(imap.run(&format!("GETQUOTA {ROOT}")).await[0], set[0]);
    // RFC 9208 §4.1.3: limits that are not named again are gone.
    let set = carol.run(&format!("SETQUOTA \"{ROOT}\" (MAILBOX 12)")).await;
    assert_eq!(set[0], format!("* QUOTA \"{ROOT}\" (MAILBOX 6 12)"));
    for (command, answer) in [
        (format!("SETQUOTA {ROOT} (BANANAS 5)"), "NO [CANNOT]"),
        (format!("SETQUOTA {ROOT} (MESSAGE 0)"), "NO [CANNOT]"),
        (format!("SETQUOTA {ROOT} (MAILBOX 3)"), "NO [CANNOT]"),
        (format!("SETQUOTA {ROOT} (STORAGE 9223372036854775807)"), "NO [CANNOT]"),
        ("SETQUOTA user/dave@other.test (STORAGE 5)".to_owned(), "NO [NONEXISTENT]"),
        (format!("SETQUOTA {ROOT}"), "BAD"),
    ] {
        refused(&mut carol, &command, answer).await;
    }
    let noted: String = db
        .value(
            "select concat_ws(' ', actor, host(peer::inet), table_name, new ->> 'max_mailboxes') from log.audit
             where action = 'update' and table_name = 'directory.account' order by id desc limit 1",
        )
        .await;
    assert_eq!(noted, "carol@example.test 127.0.0.1 directory.account 12");
    // The power ends when the database says so, whatever was announced.
    db.apply("update directory.account set manages_domain = false").await;
    refused(&mut carol, &format!("SETQUOTA {ROOT} (STORAGE 512)"), "NO [NONEXISTENT]").await;
}
