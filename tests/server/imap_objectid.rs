//! Ids that outlive names and UIDs (OBJECTID, RFC 8474), and when a message was put into its mailbox (SAVEDATE, RFC 8514).

use crate::support::dialogue::Dialogue;
use crate::support::{Daemon, Database};

/// What stands in parentheses behind a word of the answers.
fn id(answers: &[String], word: &str) -> String {
    let found = answers.iter().find_map(|answer| answer.split_once(&format!("{word} (")));
    let (_, rest) = found.unwrap_or_else(|| panic!("there is no {word} in {answers:?}"));
    rest.split_once(')').unwrap().0.to_owned()
}

async fn append(imap: &mut Dialogue, mailbox: &str, message: &str) {
    imap.send_literal(&format!("a APPEND {mailbox}"), message.as_bytes()).await;
    imap.expect("a OK [APPENDUID ").await;
}

/// An item of one message.
async fn item(imap: &mut Dialogue, message: u32, item: &str) -> String {
    let answers = imap.run(&format!("FETCH {message} ({item})")).await;
    let answer = answers.iter().find(|answer| answer.contains(" FETCH (")).unwrap();
    answer.split_once(" FETCH (").unwrap().1.strip_suffix(')').unwrap().to_owned()
}

#[tokio::test]
async fn a_mailbox_keeps_its_id_under_another_name() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    // RFC 8474 §4.1, §4.2, §4.3.
    let foo = id(&imap.run("CREATE foo").await, "MAILBOXID");
    let bar = id(&imap.run("CREATE bar").await, "MAILBOXID");
    assert_ne!(foo, bar);
    imap.send("c CREATE foo").await;
    imap.expect("c NO [ALREADYEXISTS]").await;
    assert_eq!(id(&imap.run("SELECT foo").await, "MAILBOXID"), foo);
    assert_eq!(id(&imap.run("EXAMINE foo").await, "MAILBOXID"), foo);
    imap.run("RENAME foo renamed").await;
    assert_eq!(
        imap.run("STATUS renamed (MAILBOXID)").await[0],
        format!("* STATUS renamed (MAILBOXID ({foo}))")
    );
    imap.run("UNSELECT").await;
    imap.run("DELETE renamed").await;
    assert_ne!(id(&imap.run("CREATE foo").await, "MAILBOXID"), foo);
    // INBOX stays when its messages are moved away by RENAME.
    let inbox = id(&imap.run("STATUS INBOX (MAILBOXID)").await, "MAILBOXID");
    imap.run("RENAME INBOX old").await;
    assert_eq!(id(&imap.run("STATUS INBOX (MAILBOXID)").await, "MAILBOXID"), inbox);
    let listed = imap.run("LIST \"\" bar RETURN (STATUS (MAILBOXID UIDNEXT))").await;
    assert_eq!(listed[1], format!("* STATUS bar (MAILBOXID ({bar}) UIDNEXT 1)"));
}

#[tokio::test]
async fn messages_share_an_id_where_they_are_the_same() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    imap.run("CREATE other").await;
    let first = "Message-ID: <1@x>\r\n\r\nhello\r\n";
    append(&mut imap, "INBOX", first).await;
    append(&mut imap, "INBOX", first).await;
    append(&mut imap, "INBOX", "Message-ID: <2@x>\r\nIn-Reply-To: <1@x>\r\n\r\nanswer\r\n").await;
    append(&mut imap, "INBOX", "Subject: alone\r\n\r\n").await;
    imap.run("SELECT INBOX").await;
    let email = item(&mut imap, 1, "EMAILID").await;
    assert!(email.starts_with("EMAILID (M"), "{email}");
    assert_eq!(item(&mut imap, 2, "EMAILID").await, email);
    assert_ne!(item(&mut imap, 3, "EMAILID").await, email);
    let thread = item(&mut imap, 1, "THREADID").await;
    assert!(thread.starts_with("THREADID (T"), "{thread}");
    assert_eq!(item(&mut imap, 3, "THREADID").await, thread);
    assert_eq!(item(&mut imap, 4, "THREADID").await, "THREADID NIL");
    // Contents of an older version have no conversation noted.
    db.sql("update store.content set thread_id = null").await;
    assert_eq!(item(&mut imap, 3, "THREADID").await, thread);
    assert_eq!(item(&mut imap, 4, "THREADID").await, "THREADID NIL");
    // RFC 8474 §5.1: it stays with the message.
    imap.run("COPY 1 other").await;
    imap.run("MOVE 3 other").await;
    imap.run("SELECT other").await;
    assert_eq!(item(&mut imap, 1, "EMAILID").await, email);
    assert_eq!(item(&mut imap, 2, "THREADID").await, thread);
}

#[tokio::test]
async fn copies_with_other_trace_fields_are_other_messages() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    daemon.deliver("alice", "Subject: x\nMessage-ID: <1@x>\n\nhello\n").await;
    daemon.deliver("bob", "Subject: x\nMessage-ID: <1@x>\n\nhello\n").await;
    let mut ids = Vec::new();
    for user in ["alice", "bob"] {
        let mut imap = daemon.imap().await;
        imap.login(user).await;
        imap.run("SELECT INBOX").await;
        let email = item(&mut imap, 1, "EMAILID").await;
        assert_eq!(item(&mut imap, 1, "EMAILID").await, email);
        ids.push((email, item(&mut imap, 1, "THREADID").await));
    }
    assert_ne!(ids[0].0, ids[1].0);
    assert_eq!(ids[0].1, ids[1].1);
    assert_eq!(db.value::<i64>("select count(distinct content_id) from store.message").await, 1);
}

#[tokio::test]
async fn a_message_knows_when_it_was_put_there() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    imap.run("CREATE other").await;
    let long_ago = "\"17-Jul-1996 02:44:25 -0700\"";
    append(&mut imap, &format!("INBOX {long_ago}"), "Subject: x\r\n\r\n").await;
    append(&mut imap, &format!("INBOX {long_ago}"), "Subject: y\r\n\r\n").await;
    db.sql(
        "update store.message set saved_at = '2001-02-03 04:05:06+00' where uid = 1;
            update store.message set saved_at = null where uid = 2",
    )
    .await;
    imap.run("SELECT INBOX").await;
    assert_eq!(item(&mut imap, 1, "SAVEDATE").await, "SAVEDATE \" 3-Feb-2001 04:05:06 +0000\"");
    assert_eq!(item(&mut imap, 2, "SAVEDATE").await, "SAVEDATE NIL");
    // RFC 8514 §4.2: COPY and MOVE set it anew, whatever the internal date.
    imap.run("COPY 1 other").await;
    imap.run("MOVE 2 other").await;
    db.sql("update store.message set mailbox_id = (select id from store.mailbox where name = 'other') where uid = 1
            and mailbox_id = (select id from store.mailbox where name = 'INBOX' and account_id = store.message.account_id)").await;
    imap.run("SELECT other").await;
    for message in 1..=3 {
        let items = item(&mut imap, message, "SAVEDATE INTERNALDATE").await;
        assert!(items.ends_with(&format!("INTERNALDATE {long_ago}")), "{items}");
        assert!(items.starts_with("SAVEDATE \"") && !items.contains("-2001 "), "{items}");
    }
    let fresh =
        "select count(*) from store.message where saved_at between now() - interval '10 minutes' and now()";
    assert_eq!(db.value::<i64>(fresh).await, 3);
}
