//! Mailboxes of other people and public ones: their names, listing them, copying between accounts, news.

use crate::support::dialogue::Dialogue;
use crate::support::{Daemon, Database};

async fn refused(imap: &mut Dialogue, command: &str, answer: &str) {
    imap.send(&format!("r {command}")).await;
    imap.expect(&format!("r {answer}")).await;
}

/// The answers to a command, without the tagged one.
async fn answers(imap: &mut Dialogue, command: &str) -> Vec<String> {
    let mut answers = imap.run(command).await;
    answers.pop();
    answers
}

async fn append(imap: &mut Dialogue, mailbox_and_flags: &str) {
    imap.send_literal(&format!("a APPEND {mailbox_and_flags}"), b"Subject: x\r\n\r\nhello\r\n").await;
    imap.expect("a OK [APPENDUID ").await;
}

async fn user(daemon: &Daemon<'_>, name: &str) -> Dialogue {
    let mut imap = daemon.imap().await;
    imap.login(name).await;
    imap
}

/// A public account team@example.test, whose INBOX everybody may read and write to.
async fn team(db: &Database) {
    db.sql(
        "insert into directory.account (domain_id, local_part, public)
         select id, 'team', true from directory.domain where name = 'example.test';
         select store.share('team@example.test', 'INBOX', 'anyone', 'lrswik')",
    )
    .await;
}

/// What an account is counted to keep, and what it does keep.
async fn kept(db: &Database, user: &str) -> (i64, i64) {
    let rows = db
        .rows(&format!(
            "select u.bytes, u.messages, coalesce(sum(m.size), 0)::bigint, count(m.uid)
             from directory.account a join store.usage u on u.account_id = a.id
             left join store.message m on m.account_id = a.id where a.local_part = '{user}' group by 1, 2"
        ))
        .await;
    let (counted, real): ((i64, i64), (i64, i64)) =
        ((rows[0].get(0), rows[0].get(1)), (rows[0].get(2), rows[0].get(3)));
    assert_eq!(counted, real, "{user}");
    real
}

#[tokio::test]
async fn namespaces() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut alice = user(&daemon, "alice").await;
    // RFC 2342 §5.
    let said = answers(&mut alice, "NAMESPACE").await;
    assert_eq!(said, ["* NAMESPACE ((\"\" \"/\")) ((\"Other Users/\" \"/\")) ((\"Shared/\" \"/\"))"]);
    let all = answers(&mut alice, "LIST \"\" *").await;
    assert!(all.iter().all(|line| !line.contains("Other Users") && !line.contains("Shared")), "{all:?}");
}

#[tokio::test]
async fn names_of_others_are_listed() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut alice, mut bob) = (user(&daemon, "alice").await, user(&daemon, "bob").await);
    team(&db).await;
    alice.run("CREATE Projects").await;
    alice.run("CREATE Projects/secret").await;
    alice.run("SETACL Projects bob lr").await;
    alice.run("SETACL Sent bob l").await;
    let list = answers(&mut bob, "LIST \"\" (\"Other*\" \"Shared*\")").await;
    assert_eq!(
        list,
        [
            "* LIST (\\NonExistent \\Noselect \\HasChildren) \"/\" \"Other Users\"",
            "* LIST (\\NonExistent \\Noselect \\HasChildren) \"/\" \"Other Users/alice@example.test\"",
            "* LIST (\\HasNoChildren) \"/\" \"Other Users/alice@example.test/Projects\"",
            // Its special use is Alice's business.
            "* LIST (\\HasNoChildren) \"/\" \"Other Users/alice@example.test/Sent\"",
            "* LIST (\\NonExistent \\Noselect \\HasChildren) \"/\" Shared",
            "* LIST (\\NonExistent \\Noselect \\HasChildren) \"/\" Shared/team",
            "* LIST (\\HasNoChildren) \"/\" Shared/team/INBOX",
        ]
    );
    let top = answers(&mut bob, "LIST \"\" %").await;
    assert!(top.iter().any(|line| line.ends_with("\"Other Users\"")), "{top:?}");
    let special = answers(&mut bob, "LIST (SPECIAL-USE) \"\" *").await;
    assert_eq!(special.len(), 5, "{special:?}");
    let inner = answers(&mut bob, "LIST \"Other Users/alice@example.test/\" %").await;
    assert_eq!(inner.len(), 2, "{inner:?}");

    // RFC 5819, RFC 8440: what may not be read has no STATUS.
    append(&mut alice, "Projects").await;
    let list =
        answers(&mut bob, "LIST \"\" \"Other Users/*\" RETURN (MYRIGHTS STATUS (MESSAGES UIDNEXT))").await;
    let tail: Vec<&str> =
        list.iter().map(String::as_str).filter(|line| !line.starts_with("* LIST")).collect();
    assert_eq!(
        tail,
        [
            "* STATUS \"Other Users/alice@example.test/Projects\" (MESSAGES 1 UIDNEXT 2)",
            "* MYRIGHTS \"Other Users/alice@example.test/Projects\" lr",
            "* MYRIGHTS \"Other Users/alice@example.test/Sent\" l",
        ]
    );
    let own = answers(&mut bob, "LIST \"\" INBOX RETURN (MYRIGHTS)").await;
    assert_eq!(own, ["* LIST (\\HasNoChildren) \"/\" INBOX", "* MYRIGHTS INBOX lrswipkxtenacd"]);
    refused(&mut bob, "STATUS \"Other Users/alice@example.test/Sent\" (MESSAGES)", "NO [NOPERM]").await;

    // Subscriptions are names of one's own, wherever the mailbox is.
    bob.run("SUBSCRIBE Shared/team/INBOX").await;
    refused(&mut bob, "SUBSCRIBE Shared/team/Sent", "NO [NONEXISTENT]").await;
    assert_eq!(answers(&mut bob, "LSUB \"\" Shared*").await, ["* LSUB () \"/\" Shared/team/INBOX"]);
    let subscribed = answers(&mut bob, "LIST (SUBSCRIBED) \"\" Shared*").await;
    assert_eq!(subscribed, ["* LIST (\\Subscribed \\HasNoChildren) \"/\" Shared/team/INBOX"]);
    db.sql("delete from store.acl").await;
    let subscribed = answers(&mut bob, "LIST (SUBSCRIBED) \"\" Shared*").await;
    assert!(subscribed[0].starts_with("* LIST (\\NonExistent"), "{subscribed:?}");
    bob.run("UNSUBSCRIBE Shared/team/INBOX").await;
    assert!(answers(&mut bob, "LSUB \"\" Shared*").await.is_empty());
}

#[tokio::test]
async fn public_mailboxes() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    team(&db).await;
    let (mut alice, mut bob) = (user(&daemon, "alice").await, user(&daemon, "bob").await);
    // It receives mail, and nobody logs in there, whatever the password.
    daemon.deliver("team", "Subject: for all\r\n\r\nhello\r\n").await;
    let hash: String =
        db.value("select password_hash::text from directory.account where local_part = 'alice'").await;
    db.apply(&format!("update directory.account set password_hash = '{hash}' where local_part = 'team'"))
        .await;
    let mut nobody = daemon.imap().await;
    nobody.send("l LOGIN team@example.test mailwright").await;
    nobody.expect("l NO [AUTHENTICATIONFAILED]").await;

    bob.run("SELECT Shared/team/INBOX").await;
    let fetched = bob.run("FETCH 1 BODY.PEEK[HEADER.FIELDS (SUBJECT)]").await;
    assert!(fetched[0].contains("Subject: for all"), "{fetched:?}");
    // \Seen is one for all who share the mailbox.
    bob.run("FETCH 1 BODY[]").await;
    let unseen = answers(&mut alice, "STATUS Shared/team/INBOX (UNSEEN)").await;
    assert_eq!(unseen, ["* STATUS Shared/team/INBOX (UNSEEN 0)"]);
    // At the first level of a public account, INBOX says who may make mailboxes, and how they are shared.
    alice.run("CREATE Shared/team/News").await;
    append(&mut bob, "Shared/team/News").await;
    let listed = answers(&mut bob, "LIST \"\" Shared/team/%").await;
    assert_eq!(listed.len(), 2, "{listed:?}");
    db.sql("select store.share('team@example.test', 'News', 'anyone', '')").await;
    refused(&mut bob, "SELECT Shared/team/News", "NO [NONEXISTENT]").await;

    // In another domain the owner's is part of the name, and has to be let in.
    db.apply(
        "insert into directory.domain (name) values ('other.test');
         insert into directory.account (domain_id, local_part, password_hash)
         select d.id, 'dora', a.password_hash from directory.domain d, directory.account a
         where d.name = 'other.test' and a.local_part = 'alice'",
    )
    .await;
    let mut dora = daemon.imap().await;
    dora.send("l LOGIN dora@other.test mailwright").await;
    dora.expect("l OK").await;
    assert!(answers(&mut dora, "LIST \"\" Shared*").await.is_empty());
    db.sql("select store.share('team@example.test', 'INBOX', '@other.test', 'lr')").await;
    let listed = answers(&mut dora, "LIST \"\" Shared/%/%").await;
    assert_eq!(listed, ["* LIST (\\HasNoChildren) \"/\" Shared/team@example.test/INBOX"]);
    dora.run("EXAMINE Shared/team@example.test/INBOX").await;
    refused(&mut dora, "EXAMINE Shared/team/INBOX", "NO [NONEXISTENT]").await;
    let acl = answers(&mut alice, "MYRIGHTS Shared/team/INBOX").await;
    assert_eq!(acl, ["* MYRIGHTS Shared/team/INBOX lrswikc"]);
}

#[tokio::test]
async fn messages_go_between_accounts() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut alice, mut bob) = (user(&daemon, "alice").await, user(&daemon, "bob").await);
    alice.run("SETACL INBOX bob lrswite").await;
    for _ in 0..3 {
        append(&mut bob, "INBOX (\\Seen \\Flagged work)").await;
    }
    let there = "\"Other Users/alice@example.test/INBOX\"";
    bob.run("SELECT INBOX").await;
    // COPY: old and new UIDs, the content is there once, the usage is the owner's (RFC 4315 §3).
    bob.send(&format!("c COPY 1:2 {there}")).await;
    bob.expect("c OK [COPYUID * 1:2 1:2]").await;
    assert_eq!((kept(&db, "alice").await.1, kept(&db, "bob").await.1), (2, 3));
    assert_eq!(db.value::<i64>("select count(distinct content_id) from store.message").await, 1);
    // MOVE: gone here, there with its flags, and restorable where it was.
    let moved = bob.run(&format!("UID MOVE 2:3 {there}")).await;
    assert!(moved[0].starts_with("* OK [COPYUID ") && moved[0].contains(" 2:3 3:4]"), "{moved:?}");
    assert!(moved.contains(&"* 2 EXPUNGE".to_owned()), "{moved:?}");
    assert_eq!((kept(&db, "alice").await.1, kept(&db, "bob").await.1), (4, 1));
    let restorable: i64 = db.value("select count(*) from store.expunged where content_id is not null").await;
    assert_eq!(restorable, 2);
    alice.run("SELECT INBOX").await;
    let flags = answers(&mut alice, "UID FETCH 4 FLAGS").await;
    assert!(flags[0].contains("\\Seen \\Recent work") || flags[0].contains("\\Seen work"), "{flags:?}");
    append(&mut bob, there).await;
    assert_eq!((kept(&db, "alice").await.1, kept(&db, "bob").await.1), (5, 1));

    // The owner's quota counts, not that of who puts it there.
    db.apply("update directory.account set quota_bytes = 10 where local_part = 'alice'").await;
    refused(&mut bob, &format!("COPY 1 {there}"), "NO [OVERQUOTA]").await;
    refused(&mut bob, &format!("MOVE 1 {there}"), "NO [OVERQUOTA]").await;
    bob.send(&format!("r APPEND {there} {{10}}")).await;
    bob.expect("r NO [OVERQUOTA]").await;
    bob.run(&format!("SELECT {there}")).await;
    let moved = bob.run("UID MOVE 1:* INBOX").await;
    assert!(moved[0].starts_with("* OK [COPYUID "), "{moved:?}");
    assert_eq!((kept(&db, "alice").await.1, kept(&db, "bob").await.1), (0, 6));
}

#[tokio::test]
async fn news_of_a_shared_mailbox_come_to_all() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut alice, mut bob) = (user(&daemon, "alice").await, user(&daemon, "bob").await);
    alice.run("SETACL INBOX bob lrswite").await;
    bob.run("SELECT \"Other Users/alice@example.test/INBOX\"").await;
    bob.send("i IDLE").await;
    bob.expect("+").await;
    daemon.deliver("alice", "Subject: news\r\n\r\nhello\r\n").await;
    bob.expect("* 1 EXISTS").await;
    alice.run("SELECT INBOX").await;
    alice.run("STORE 1 +FLAGS (\\Flagged)").await;
    bob.expect("* 1 FETCH (UID 1 FLAGS (\\Flagged").await;
    alice.run("STORE 1 +FLAGS (\\Deleted)").await;
    alice.run("EXPUNGE").await;
    bob.expect("* 1 EXPUNGE").await;
    bob.send("DONE").await;
    bob.expect("i OK").await;
}

#[tokio::test]
async fn ones_own_mailboxes_are_in_front_of_those_of_others() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    team(&db).await;
    // Brought along from elsewhere: IMAP would not make it.
    db.sql(
        "insert into store.mailbox (account_id, name) select id, 'Shared/team/INBOX' from directory.account where local_part = 'bob'",
    )
    .await;
    let mut bob = user(&daemon, "bob").await;
    let listed = answers(&mut bob, "LIST \"\" Shared/team/INBOX RETURN (MYRIGHTS)").await;
    assert_eq!(listed[1], "* MYRIGHTS Shared/team/INBOX lrswipkxtenacd", "{listed:?}");
    bob.run("RENAME Shared/team/INBOX mine").await;
    let listed = answers(&mut bob, "LIST \"\" Shared/team/INBOX RETURN (MYRIGHTS)").await;
    assert_eq!(listed[1], "* MYRIGHTS Shared/team/INBOX lrswikc", "{listed:?}");
}

#[tokio::test]
async fn subscriptions_follow_a_rename() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut alice = user(&daemon, "alice").await;
    for command in
        ["CREATE a/b", "CREATE ab", "SUBSCRIBE a", "SUBSCRIBE a/b", "SUBSCRIBE ab", "SUBSCRIBE c/b"]
    {
        alice.run(command).await;
    }
    alice.run("RENAME a c").await;
    let lsub = answers(&mut alice, "LSUB \"\" *").await;
    let names: Vec<_> = lsub.iter().map(|line| line.rsplit(' ').next().unwrap()).collect();
    assert_eq!(names, ["INBOX", "Archive", "Drafts", "Junk", "Sent", "Trash", "ab", "c", "c/b"]);
}

#[tokio::test]
async fn of_two_who_create_the_same_special_use_one_wins() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut alice = user(&daemon, "alice").await;
    alice.run("DELETE Archive").await;
    for round in 0..5 {
        let mut sessions = Vec::new();
        for at in 0..4 {
            let mut imap = user(&daemon, "alice").await;
            imap.send(&format!("c CREATE r{round}/s{at} (USE (\\Archive))")).await;
            sessions.push(imap);
        }
        let mut made = 0;
        for imap in &mut sessions {
            let answer = imap.until_tag("c").await.pop().unwrap();
            made += usize::from(answer.starts_with("c OK"));
            assert!(answer.starts_with("c OK") || answer.starts_with("c NO [USEATTR]"), "{answer}");
        }
        assert_eq!(made, 1);
        let with: i64 = db.value("select count(*) from store.mailbox where special_use = '\\Archive' and account_id = (select id from directory.account where local_part = 'alice')").await;
        assert_eq!(with, 1);
        db.sql("delete from store.mailbox where special_use = '\\Archive'").await;
    }
}
