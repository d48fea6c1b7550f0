//! NOTIFY (RFC 5465): what a client hears of mailboxes, selected or not, while it says nothing.
//!
//! That something is not told is shown by what is told next.

use crate::support::daemon::Notify;
use crate::support::{Daemon, Database, Dialogue, ask_until};

async fn alice(daemon: &Daemon<'_>) -> Dialogue {
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    imap
}

async fn append(imap: &mut Dialogue, mailbox: &str) {
    imap.send_literal(&format!("a APPEND {mailbox}"), b"Subject: x\r\n\r\nhello\r\n").await;
    imap.expect("a OK [APPENDUID ").await;
}

/// The next answer must be this, or begin so where it ends in a star.
async fn next(imap: &mut Dialogue, expected: &str) {
    let answer = imap.answer().await;
    let fits = match expected.strip_suffix('*') {
        Some(start) => answer.starts_with(start),
        None => answer == expected,
    };
    assert!(fits, "expected: {expected}\ncame:     {answer}");
}

async fn refused(imap: &mut Dialogue, command: &str, answer: &str) {
    imap.send(&format!("r {command}")).await;
    imap.expect(&format!("r {answer}")).await;
}

const NEW: &str = "MessageNew MessageExpunge";

#[tokio::test]
async fn what_cannot_be_asked_for() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = alice(&daemon).await;
    let events = "(MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange MailboxMetadataChange ServerMetadataChange)";
    for event in ["AnnotationChange", "MessageRead", "X-Rays"] {
        let command = format!("NOTIFY SET (personal ({NEW} {event}))");
        refused(&mut imap, &command, &format!("NO [BADEVENT {events}]")).await;
    }
    refused(&mut imap, "NOTIFY SET (personal (MessageNew))", "BAD").await;
    refused(&mut imap, "NOTIFY SET (selected (MailboxName))", "BAD").await;
    // Names that are not there are passed over.
    imap.run(&format!("NOTIFY SET STATUS (mailboxes nowhere ({NEW}))")).await;
    // A refusal changes nothing.
    imap.run(&format!("NOTIFY SET (mailboxes Archive ({NEW}))")).await;
    refused(&mut imap, "NOTIFY SET (personal (X-Rays))", "NO").await;
    let mut other = alice(&daemon).await;
    append(&mut other, "Archive").await;
    next(&mut imap, "* STATUS Archive (UIDNEXT 2 MESSAGES 1 UIDVALIDITY *").await;
}

#[tokio::test]
async fn messages_in_other_mailboxes() {
    // RFC 5465 §3.1, §5.1 to §5.3
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut imap, mut other) = (alice(&daemon).await, alice(&daemon).await);
    for name in ["Lists/Lemonade", "Lists/Im2000", "misc"] {
        other.run(&format!("CREATE {name}")).await;
    }
    append(&mut other, "Lists/Lemonade").await;
    append(&mut other, "Lists/Lemonade").await;
    let command = format!(
        "NOTIFY SET STATUS (selected ({NEW})) (subtree Lists ({NEW} FlagChange)) (mailboxes Sent ({NEW}))"
    );
    let answers = imap.run(&command).await;
    let starts = [
        "* STATUS Lists (MESSAGES 0 UIDNEXT 1 UIDVALIDITY ",
        "* STATUS Lists/Im2000 (MESSAGES 0 UIDNEXT 1 UIDVALIDITY ",
        "* STATUS Lists/Lemonade (MESSAGES 2 UIDNEXT 3 UIDVALIDITY ",
        "* STATUS Sent (MESSAGES 0 UIDNEXT 1 UIDVALIDITY ",
        "t OK",
    ];
    assert_eq!(answers.len(), starts.len(), "{answers:?}");
    assert!(answers.iter().zip(starts).all(|(answer, start)| answer.starts_with(start)), "{answers:?}");
    assert!(answers[2].contains(" HIGHESTMODSEQ ") && !answers[3].contains("HIGHESTMODSEQ"), "{answers:?}");

    // New, without CONDSTORE; nobody has asked for misc.
    append(&mut other, "misc").await;
    append(&mut other, "Lists/Lemonade").await;
    next(&mut imap, "* STATUS Lists/Lemonade (UIDNEXT 4 MESSAGES 3 UIDVALIDITY *").await;
    // Flags, without CONDSTORE: how many are unseen.
    other.run("SELECT Lists/Lemonade").await;
    other.run("STORE 1:2 +FLAGS (\\Seen)").await;
    let answer = imap.answer().await;
    assert!(
        answer.starts_with("* STATUS Lists/Lemonade (UIDVALIDITY ") && answer.ends_with(" UNSEEN 1)"),
        "{answer}"
    );
    // With CONDSTORE, the modseq.
    let enabled = imap.run("ENABLE CONDSTORE").await;
    assert_eq!(enabled[0], "* ENABLED CONDSTORE");
    other.run("STORE 1 -FLAGS (\\Seen)").await;
    let answer = imap.answer().await;
    assert!(
        answer.starts_with("* STATUS Lists/Lemonade (UIDVALIDITY ") && answer.contains(" HIGHESTMODSEQ "),
        "{answer}"
    );
    // Expunged: how many are left.
    other.run("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    imap.expect("* STATUS Lists/Lemonade (UIDVALIDITY ").await;
    other.run("EXPUNGE").await;
    imap.expect("* STATUS Lists/Lemonade (UIDNEXT 4 MESSAGES 2 UIDVALIDITY ").await;
    // A move is both.
    other.run("MOVE 1 Lists/Im2000").await;
    let both = [imap.answer().await, imap.answer().await];
    for start in
        ["* STATUS Lists/Im2000 (UIDNEXT 2 MESSAGES 1 ", "* STATUS Lists/Lemonade (UIDNEXT 4 MESSAGES 1 "]
    {
        assert!(both.iter().any(|answer| answer.starts_with(start)), "{start}: {both:?}");
    }
    // By SQL.
    db.sql("delete from store.message m using store.mailbox b where b.id = m.mailbox_id and b.name = 'Lists/Im2000'").await;
    imap.expect("* STATUS Lists/Im2000 (UIDNEXT 2 MESSAGES 0 ").await;
    // By delivery, and in IDLE as well.
    imap.send("i IDLE").await;
    imap.expect("+").await;
    append(&mut other, "Sent").await;
    next(&mut imap, "* STATUS Sent (UIDNEXT 2 MESSAGES 1 *").await;
    imap.send("DONE").await;
    imap.expect("i OK").await;
    // What one does oneself one need not be told.
    append(&mut imap, "Sent").await;
    append(&mut other, "Sent").await;
    next(&mut imap, "* STATUS Sent (UIDNEXT 4 MESSAGES 3 *").await;
    // NOTIFY NONE ends it.
    imap.run("NOTIFY NONE").await;
    append(&mut other, "Sent").await;
    assert_eq!(imap.run("NOOP").await, ["t OK done"]);
}

#[tokio::test]
async fn the_selected_mailbox_at_any_time() {
    // RFC 5465 §6.1.1, §5.2: EXISTS, then what is asked for of new messages, with no command in progress.
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut imap, mut other) = (alice(&daemon).await, alice(&daemon).await);
    append(&mut other, "INBOX").await;
    let command = "NOTIFY SET (selected (MessageNew (UID BODY.PEEK[HEADER.FIELDS (From To Subject)]) MessageExpunge FlagChange))";
    imap.run(command).await;
    imap.run("SELECT INBOX").await;
    other.run("SELECT INBOX").await;
    daemon
        .deliver(
            "alice",
            "From: alice@example.org\nTo: bob@example.org\nSubject: Re: good morning\n\nhello\n",
        )
        .await;
    next(&mut imap, "* 2 EXISTS").await;
    imap.expect("* * RECENT").await;
    let fetched = imap.answer().await;
    let header = "From: alice@example.org\r\nTo: bob@example.org\r\nSubject: Re: good morning\r\n\r\n";
    assert_eq!(
        fetched,
        format!("* 2 FETCH (UID 2 BODY[HEADER.FIELDS (From To Subject)] {{{}}}\r\n{header})", header.len())
    );
    other.run("STORE 1 +FLAGS (\\Deleted)").await;
    next(&mut imap, "* 1 FETCH (UID 1 FLAGS (\\Deleted*").await;
    other.run("EXPUNGE").await;
    next(&mut imap, "* 1 EXPUNGE").await;
    // What one appends oneself is counted, and not shown.
    append(&mut imap, "INBOX").await;
    append(&mut other, "INBOX").await;
    let mut told = vec![imap.answer().await];
    while !told.last().unwrap().contains("FETCH") {
        told.push(imap.answer().await);
    }
    assert!(told.contains(&"* 3 EXISTS".to_owned()), "{told:?}");
    assert!(told.last().unwrap().starts_with("* 3 FETCH (UID 4 "), "{told:?}");
    // Another mailbox is selected: it is that one from now on.
    imap.run("SELECT Archive").await;
    append(&mut other, "INBOX").await;
    append(&mut other, "Archive").await;
    next(&mut imap, "* 1 EXISTS").await;
}

#[tokio::test]
async fn expunges_may_be_delayed() {
    // RFC 5465 §6.1.2
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut imap, mut other) = (alice(&daemon).await, alice(&daemon).await);
    for _ in 0..3 {
        append(&mut other, "INBOX").await;
    }
    imap.run("EXAMINE INBOX").await;
    imap.run(&format!("NOTIFY SET (selected-delayed ({NEW} FlagChange))")).await;
    other.run("SELECT INBOX").await;
    other.run("STORE 1 +FLAGS (\\Deleted)").await;
    next(&mut imap, "* 1 FETCH (UID 1 FLAGS (\\Deleted*").await;
    other.run("EXPUNGE").await;
    other.run("STORE 2 +FLAGS (\\Flagged)").await;
    // Its number is still 3.
    next(&mut imap, "* 3 FETCH (UID 3 FLAGS (\\Flagged*").await;
    assert!(imap.run("FETCH 2 (UID)").await[0].starts_with("* 2 FETCH (UID 2)"));
    assert_eq!(imap.run("NOOP").await[0], "* 1 EXPUNGE");
    // While IDLE is in progress they are told at once.
    imap.send("i IDLE").await;
    imap.expect("+").await;
    other.run("STORE 1 +FLAGS (\\Deleted)").await;
    imap.expect("* 1 FETCH").await;
    other.run("EXPUNGE").await;
    next(&mut imap, "* 1 EXPUNGE").await;
}

#[tokio::test]
async fn the_selected_mailbox_may_stay_as_it_was() {
    // RFC 5465 §3.1, §5: no events are wanted there, or no flags.
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut imap, mut other) = (alice(&daemon).await, alice(&daemon).await);
    for _ in 0..3 {
        append(&mut other, "INBOX").await;
    }
    imap.run("SELECT INBOX").await;
    append(&mut other, "INBOX").await;
    // What has happened so far is told first.
    let answers = imap.run("NOTIFY SET (selected NONE)").await;
    assert!(answers.contains(&"* 4 EXISTS".to_owned()), "{answers:?}");
    other.run("SELECT INBOX").await;
    other.run("STORE 1 +FLAGS (\\Deleted)").await;
    other.run("STORE 2 +FLAGS (\\Flagged)").await;
    other.run("EXPUNGE").await;
    append(&mut other, "INBOX").await;
    assert_eq!(imap.run("NOOP").await, ["t OK done"]);
    assert!(imap.run("FETCH 4 (UID)").await[0].starts_with("* 4 FETCH (UID 4)"));
    // Commands are answered all the same.
    let stored = imap.run("STORE 3 +FLAGS (\\Deleted)").await;
    assert!(stored[0].starts_with("* 3 FETCH (UID 3 FLAGS (\\Deleted"), "{stored:?}");
    let expunged = imap.run("EXPUNGE").await;
    assert_eq!(expunged, ["* 3 EXPUNGE", "* 1 EXPUNGE", "t OK expunged"]);
    // It is all told when it is wanted.
    let answers = imap.run(&format!("NOTIFY SET (selected ({NEW} FlagChange))")).await;
    assert!(answers.contains(&"* 3 EXISTS".to_owned()), "{answers:?}");
    // New and gone, but no flags: what counts is one's own.
    imap.run(&format!("NOTIFY SET (selected ({NEW}))")).await;
    other.run("NOOP").await;
    other.run("STORE 1 +FLAGS (\\Answered)").await;
    append(&mut other, "INBOX").await;
    next(&mut imap, "* 4 EXISTS").await;
}

#[tokio::test]
async fn names_and_subscriptions() {
    // RFC 5465 §5.4, §5.5
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut imap, mut other) = (alice(&daemon).await, alice(&daemon).await);
    imap.run("NOTIFY SET (personal (MailboxName SubscriptionChange)) (subtree x (MailboxName))").await;
    other.run("CREATE NewMailbox").await;
    next(&mut imap, "* LIST (\\HasNoChildren) \"/\" NewMailbox").await;
    other.run("SUBSCRIBE NewMailbox").await;
    next(&mut imap, "* LIST (\\Subscribed \\HasNoChildren) \"/\" NewMailbox").await;
    // The level above is concerned as well.
    other.run("CREATE NewMailbox/below").await;
    next(&mut imap, "* LIST (\\Subscribed \\HasChildren) \"/\" NewMailbox").await;
    next(&mut imap, "* LIST (\\HasNoChildren) \"/\" NewMailbox/below").await;
    other.run("UNSUBSCRIBE NewMailbox").await;
    next(&mut imap, "* LIST (\\HasChildren) \"/\" NewMailbox").await;
    // What is below goes along.
    other.run("RENAME NewMailbox Old/Box").await;
    imap.expect("* LIST (*) \"/\" Old").await;
    next(&mut imap, "* LIST (\\HasChildren) \"/\" Old/Box (\"OLDNAME\" (NewMailbox))").await;
    other.run("DELETE Old/Box/below").await;
    next(&mut imap, "* LIST (\\HasNoChildren) \"/\" Old/Box").await;
    next(&mut imap, "* LIST (\\NonExistent \\HasNoChildren) \"/\" Old/Box/below").await;
    // By SQL: triggers ring.
    let alice = "(select id from directory.account where local_part = 'alice')";
    db.sql(&format!("insert into store.mailbox (account_id, name) values ({alice}, 'x/y')")).await;
    next(&mut imap, "* LIST (\\NonExistent \\HasChildren) \"/\" x").await;
    next(&mut imap, "* LIST (\\HasNoChildren) \"/\" x/y").await;
    db.sql(&format!("insert into store.subscription (account_id, name) values ({alice}, 'x/y')")).await;
    next(&mut imap, "* LIST (\\Subscribed \\HasNoChildren) \"/\" x/y").await;
    db.sql("update store.mailbox set name = 'x/z' where name = 'x/y'").await;
    next(&mut imap, "* LIST (\\HasNoChildren) \"/\" x/z (\"OLDNAME\" (x/y))").await;
    db.sql("delete from store.mailbox where name = 'x/z'").await;
    next(&mut imap, "* LIST (\\NonExistent \\HasNoChildren) \"/\" x").await;
    next(&mut imap, "* LIST (\\NonExistent \\HasNoChildren) \"/\" x/z").await;
    // What one does oneself one need not be told.
    for command in
        ["CREATE mine/too", "SUBSCRIBE mine", "RENAME mine ours", "UNSUBSCRIBE mine", "DELETE ours/too"]
    {
        assert_eq!(imap.run(command).await.len(), 1, "{command}");
    }
    other.run("CREATE theirs").await;
    next(&mut imap, "* LIST (\\HasNoChildren) \"/\" theirs").await;
    // INBOX stays what it is when its messages are given away.
    append(&mut other, "INBOX").await;
    other.run("RENAME INBOX kept").await;
    next(&mut imap, "* LIST (\\HasNoChildren) \"/\" kept").await;
    // Subscriptions that are asked for are looked at anew whenever they change (§6.4).
    imap.run(&format!("NOTIFY SET (subscribed ({NEW}))")).await;
    append(&mut other, "kept").await;
    other.run("SUBSCRIBE kept").await;
    append(&mut other, "Sent").await;
    next(&mut imap, "* STATUS Sent (UIDNEXT 2 MESSAGES 1 *").await;
    append(&mut other, "kept").await;
    next(&mut imap, "* STATUS kept (UIDNEXT 4 MESSAGES 3 *").await;
}

#[tokio::test]
async fn annotations() {
    // RFC 5465 §5.6, §5.7
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = alice(&daemon).await;
    imap.run("NOTIFY SET (personal (MailboxMetadataChange ServerMetadataChange))").await;
    let inbox = "from store.mailbox m join directory.account a on a.id = m.account_id where a.local_part = 'alice' and m.name = 'INBOX'";
    db.sql(&format!("insert into store.metadata select m.account_id, m.id, 0, '/comment', 'hello' {inbox}"))
        .await;
    next(&mut imap, "* METADATA INBOX /shared/comment").await;
    // RFC 7162 §3.2: that is a change of the mailbox.
    let modseq = "select highest_modseq from store.mailbox m join directory.account a on a.id = m.account_id where a.local_part = 'alice' and m.name = 'INBOX'";
    assert_eq!(db.value::<i64>(modseq).await, 2);
    // Private ones of others are theirs.
    let bob = "(select id from directory.account where local_part = 'bob')";
    db.sql(&format!(
        "insert into store.metadata select m.account_id, m.id, {bob}, '/comment', 'not mine' {inbox};
         insert into store.metadata select m.account_id, m.id, m.account_id, '/comment', 'mine' {inbox}"
    ))
    .await;
    next(&mut imap, "* METADATA INBOX /private/comment").await;
    // Deleted ones too.
    db.sql("delete from store.metadata where user_id = 0").await;
    next(&mut imap, "* METADATA INBOX /shared/comment").await;
    db.sql("insert into store.metadata values (0, 0, 0, '/admin', 'mailto:root@example.test')").await;
    next(&mut imap, "* METADATA \"\" /shared/admin").await;
}

#[tokio::test]
async fn what_happens_on_another_node() {
    let db = Database::new().await;
    let one = Daemon::start(&db).await;
    let two = one.second_node().await;
    // Each knows of the other only after a beat of its clock; until then bells are rung for nobody.
    let (mut imap, mut other) = (alice(&one).await, alice(&two).await);
    imap.run(&format!("NOTIFY SET (personal ({NEW} MailboxName))")).await;
    other.run("CREATE far").await;
    next(&mut imap, "* LIST (\\HasNoChildren) \"/\" far").await;
    append(&mut other, "far").await;
    next(&mut imap, "* STATUS far (UIDNEXT 2 MESSAGES 1 *").await;
}

#[tokio::test]
async fn without_bells_the_clock_tells() {
    let db = Database::new().await;
    let daemon = Daemon::start_with(&db, Notify::Off).await;
    let mut imap = alice(&daemon).await;
    imap.run(&format!("NOTIFY SET (personal ({NEW} MailboxName SubscriptionChange))")).await;
    let alice = "(select id from directory.account where local_part = 'alice')";
    db.sql(&format!("insert into store.mailbox (account_id, name) values ({alice}, 'quiet')")).await;
    next(&mut imap, "* LIST (\\HasNoChildren) \"/\" quiet").await;
    db.sql(&format!("insert into store.subscription (account_id, name) values ({alice}, 'quiet')")).await;
    next(&mut imap, "* LIST (\\Subscribed \\HasNoChildren) \"/\" quiet").await;
}

#[tokio::test]
async fn the_selected_mailbox_goes() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut imap, mut other) = (alice(&daemon).await, alice(&daemon).await);
    other.run("CREATE short-lived").await;
    imap.run(&format!("NOTIFY SET (selected ({NEW})) (personal (MailboxName))")).await;
    imap.run("SELECT short-lived").await;
    other.run("DELETE short-lived").await;
    let last = imap.rest().await;
    assert!(last.iter().any(|line| line.starts_with("* BYE")), "{last:?}");
    // Nothing of it is left behind.
    ask_until(async || match other.run("NOOP").await.len() {
        1 => Ok(()),
        _ => Err("the other session hears of it".to_owned()),
    })
    .await;
}
