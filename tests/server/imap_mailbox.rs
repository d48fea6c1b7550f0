//! Mailboxes by IMAP: selecting, making, renaming, listing and counting them.

use crate::support::dialogue::Dialogue;
use crate::support::{Daemon, Database};

/// Sends a command that must be refused, and expects how the refusal begins.
async fn refused(imap: &mut Dialogue, command: &str, answer: &str) {
    imap.send(&format!("r {command}")).await;
    imap.expect(&format!("r {answer}")).await;
}

/// The answers to a command that begin so, without their beginning.
async fn answers(imap: &mut Dialogue, command: &str, beginning: &str) -> Vec<String> {
    let answers = imap.run(command).await;
    answers.iter().filter_map(|answer| answer.strip_prefix(beginning)).map(str::to_owned).collect()
}

async fn append(imap: &mut Dialogue, mailbox_and_flags: &str) {
    imap.send_literal(&format!("a APPEND {mailbox_and_flags}"), b"Subject: x\r\n\r\nhello\r\n").await;
    imap.expect("a OK [APPENDUID ").await;
}

#[tokio::test]
async fn select_says_what_is_there() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut imap, mut other) = (daemon.imap().await, daemon.imap().await);
    imap.login("alice").await;
    other.login("alice").await;
    append(&mut other, "INBOX (\\Seen)").await;
    append(&mut other, "INBOX (work)").await;

    // EXAMINE takes \Recent from nobody (RFC 3501 §6.3.2).
    let examined = imap.run("EXAMINE INBOX").await;
    assert!(examined.contains(&"* 2 RECENT".to_owned()), "{examined:?}");
    assert!(examined.last().unwrap().starts_with("t OK [READ-ONLY]"), "{examined:?}");

    imap.send("s SELECT inbox").await;
    imap.expect("* OK [CLOSED]").await;
    imap.expect("* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft work)").await;
    imap.expect("* OK [PERMANENTFLAGS (* work \\*)]").await;
    imap.expect("* 2 EXISTS").await;
    imap.expect("* 2 RECENT").await;
    imap.expect("* OK [UNSEEN 2]").await;
    imap.expect("* OK [UIDVALIDITY ").await;
    imap.expect("* OK [UIDNEXT 3]").await;
    imap.expect("* OK [HIGHESTMODSEQ ").await;
    imap.expect("s OK [READ-WRITE]").await;

    // They were recent for one session.
    let selected = other.run("SELECT INBOX").await;
    assert!(selected.contains(&"* 0 RECENT".to_owned()), "{selected:?}");
}

#[tokio::test]
async fn no_mailbox_is_selected_after_a_failed_select() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    imap.run("SELECT INBOX").await;
    imap.send("r SELECT nowhere").await;
    imap.expect("* OK [CLOSED]").await;
    imap.expect("r NO [NONEXISTENT]").await;
    refused(&mut imap, "CHECK", "BAD").await;
    imap.run("STATUS INBOX (MESSAGES)").await;
}

#[tokio::test]
async fn refusals() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    imap.run("CREATE a/b").await;
    for (command, answer) in [
        ("CREATE INBOX", "NO [ALREADYEXISTS]"),
        ("CREATE a/", "NO [ALREADYEXISTS]"),
        ("CREATE x (USE (\\Sent))", "NO [USEATTR]"),
        ("CREATE x (USE (\\All))", "NO [USEATTR]"),
        ("DELETE INBOX", "NO [CANNOT]"),
        ("DELETE a", "NO [HASCHILDREN]"),
        ("DELETE x", "NO [NONEXISTENT]"),
        ("RENAME x y", "NO [NONEXISTENT]"),
        ("RENAME a INBOX", "NO [CANNOT]"),
        ("RENAME a Sent", "NO [ALREADYEXISTS]"),
        ("RENAME a a/b/c", "NO [CANNOT]"),
        ("STATUS x (MESSAGES)", "NO [NONEXISTENT]"),
    ] {
        refused(&mut imap, command, answer).await;
    }
    let all = answers(&mut imap, "LIST \"\" (x y a*)", "* LIST ").await;
    assert_eq!(all, ["(\\HasChildren) \"/\" a", "(\\HasNoChildren) \"/\" a/b"]);
}

#[tokio::test]
async fn as_many_mailboxes_and_subscriptions_as_allowed() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply("update control.imap set max_mailboxes = 10").await;
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    // Six are there from the start; levels that are missing count.
    refused(&mut imap, "CREATE 1/2/3/4/5", "NO [OVERQUOTA]").await;
    imap.run("CREATE 1/2/3/4").await;
    refused(&mut imap, "CREATE 5", "NO [OVERQUOTA]").await;
    refused(&mut imap, "CREATE 1", "NO [ALREADYEXISTS]").await;
    for name in 1..=4 {
        imap.run(&format!("SUBSCRIBE {name}")).await;
    }
    refused(&mut imap, "SUBSCRIBE 5", "NO [LIMIT]").await;
    imap.run("SUBSCRIBE 4").await;
}

#[tokio::test]
async fn deleting_the_selected_mailbox() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut imap, mut other) = (daemon.imap().await, daemon.imap().await);
    imap.login("alice").await;
    other.login("alice").await;
    imap.run("CREATE a").await;
    imap.run("SELECT a").await;
    other.run("SELECT a").await;
    imap.send("d DELETE a").await;
    imap.expect("* OK [CLOSED]").await;
    imap.expect("d OK").await;
    refused(&mut imap, "CHECK", "BAD").await;
    imap.run("NOOP").await;
    // Another session has sequence numbers of a mailbox that is no more.
    other.send("n NOOP").await;
    assert!(other.rest().await.iter().any(|line| line.starts_with("* BYE")));
}

#[tokio::test]
async fn rename_takes_along_what_is_below_and_inbox_gives_its_messages() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    imap.run("CREATE a/b").await;
    imap.run("CREATE ab").await;
    append(&mut imap, "a/b").await;
    imap.run("RENAME a new/place").await;
    let all = answers(&mut imap, "LSUB \"\" new*", "* LSUB ").await;
    assert_eq!(all, [""; 0], "subscriptions are names");
    let all = answers(&mut imap, "LIST \"\" (a* new*) RETURN (STATUS (MESSAGES))", "* ").await;
    assert_eq!(
        all,
        [
            "LIST (\\HasNoChildren) \"/\" ab",
            "STATUS ab (MESSAGES 0)",
            "LIST (\\HasChildren) \"/\" new",
            "STATUS new (MESSAGES 0)",
            "LIST (\\HasChildren) \"/\" new/place",
            "STATUS new/place (MESSAGES 0)",
            "LIST (\\HasNoChildren) \"/\" new/place/b",
            "STATUS new/place/b (MESSAGES 1)",
        ]
    );

    append(&mut imap, "INBOX").await;
    append(&mut imap, "INBOX (\\Flagged)").await;
    imap.run("SELECT INBOX").await;
    imap.send("t RENAME INBOX old").await;
    imap.expect("* 2 EXPUNGE").await;
    imap.expect("* 1 EXPUNGE").await;
    imap.expect("t OK").await;
    let items = "(MESSAGES UIDNEXT SIZE UNSEEN DELETED)";
    let old = answers(&mut imap, &format!("STATUS old {items}"), "* STATUS ").await;
    assert_eq!(old, ["old (MESSAGES 2 UIDNEXT 3 SIZE 42 UNSEEN 2 DELETED 0)"]);
    let inbox = answers(&mut imap, &format!("STATUS INBOX {items}"), "* STATUS ").await;
    assert_eq!(inbox, ["INBOX (MESSAGES 0 UIDNEXT 3 SIZE 0 UNSEEN 0 DELETED 0)"]);
}

#[tokio::test]
async fn list_shows_levels_uses_and_subscriptions() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    assert_eq!(answers(&mut imap, "LIST \"\" \"\"", "* LIST ").await, ["(\\Noselect) \"/\" \"\""]);
    // By SQL, a mailbox needs no mailboxes above it.
    db.sql(
        "insert into store.mailbox (account_id, name)
         select id, 'p/q' from directory.account where local_part = 'alice'",
    )
    .await;
    imap.run("CREATE Entw&APw-rfe").await;
    imap.run("SUBSCRIBE p/q").await;
    imap.run("SUBSCRIBE gone/away").await;
    let all = answers(&mut imap, "LIST \"\" % RETURN (SUBSCRIBED)", "* LIST ").await;
    assert_eq!(
        all,
        [
            "(\\Subscribed \\HasNoChildren) \"/\" INBOX",
            "(\\Subscribed \\HasNoChildren \\Archive) \"/\" Archive",
            "(\\Subscribed \\HasNoChildren \\Drafts) \"/\" Drafts",
            "(\\HasNoChildren) \"/\" Entw&APw-rfe",
            "(\\Subscribed \\HasNoChildren \\Junk) \"/\" Junk",
            "(\\Subscribed \\HasNoChildren \\Sent) \"/\" Sent",
            "(\\Subscribed \\HasNoChildren \\Trash) \"/\" Trash",
            "(\\NonExistent \\Noselect \\HasChildren) \"/\" p",
        ]
    );
    let command = "LIST (SUBSCRIBED RECURSIVEMATCH) \"\" (g% p%) RETURN (STATUS (MESSAGES))";
    assert_eq!(
        answers(&mut imap, command, "* ").await,
        [
            "LIST (\\NonExistent \\Noselect \\HasNoChildren) \"/\" gone (\"CHILDINFO\" (\"SUBSCRIBED\"))",
            "LIST (\\NonExistent \\Noselect \\HasChildren) \"/\" p (\"CHILDINFO\" (\"SUBSCRIBED\"))",
        ]
    );
    let command = "LIST (SUBSCRIBED) \"\" (g* p*) RETURN (STATUS (UIDNEXT))";
    assert_eq!(
        answers(&mut imap, command, "* ").await,
        [
            "LIST (\\NonExistent \\Noselect \\Subscribed \\HasNoChildren) \"/\" gone/away",
            "LIST (\\Subscribed \\HasNoChildren) \"/\" p/q",
            "STATUS p/q (UIDNEXT 1)",
        ]
    );
    assert_eq!(
        answers(&mut imap, "LIST (SPECIAL-USE) \"\" S*", "* LIST ").await,
        ["(\\HasNoChildren \\Sent) \"/\" Sent"]
    );
    // RFC 3501 §6.3.9
    assert_eq!(answers(&mut imap, "LSUB \"\" p%", "* LSUB ").await, ["(\\Noselect) \"/\" p"]);
    assert_eq!(answers(&mut imap, "LSUB \"\" p*", "* LSUB ").await, ["() \"/\" p/q"]);
    imap.run("UNSUBSCRIBE gone/away").await;
    assert_eq!(answers(&mut imap, "LSUB \"\" g*", "* LSUB ").await, [""; 0]);
}

#[tokio::test]
async fn a_special_use_is_given_once() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    imap.run("DELETE Junk").await;
    imap.run("CREATE Spam (USE (\\Junk))").await;
    refused(&mut imap, "CREATE Spam2 (USE (\\Junk))", "NO [USEATTR]").await;
    assert_eq!(
        answers(&mut imap, "LIST \"\" (Junk Spam*)", "* LIST ").await,
        ["(\\HasNoChildren \\Junk) \"/\" Spam"]
    );
}
