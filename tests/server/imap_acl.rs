//! Who may do what in a mailbox (RFC 4314): giving rights, asking for them, and what each command takes.

use crate::support::dialogue::Dialogue;
use crate::support::{Daemon, Database};

const BOX: &str = "\"Other Users/alice@example.test/Projects\"";

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

/// Alice, who has a mailbox Projects with two messages, and Bob.
async fn alice_and_bob(daemon: &Daemon<'_>) -> (Dialogue, Dialogue) {
    let (mut alice, mut bob) = (daemon.imap().await, daemon.imap().await);
    alice.login("alice").await;
    bob.login("bob").await;
    alice.run("CREATE Projects").await;
    append(&mut alice, "Projects (\\Deleted)").await;
    append(&mut alice, "Projects").await;
    // \Recent is taken.
    alice.run("SELECT Projects").await;
    alice.run("UNSELECT").await;
    (alice, bob)
}

#[tokio::test]
async fn rights_are_given_shown_and_taken() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut alice, mut bob) = alice_and_bob(&daemon).await;
    let capabilities = answers(&mut alice, "CAPABILITY").await.join(" ");
    assert!(capabilities.contains(" ACL RIGHTS=kxten LIST-MYRIGHTS "), "{capabilities}");

    // RFC 4314 §3.3: the owner has all, c and d are shown for clients of RFC 2086 (§2.1.1).
    let acl = "* ACL Projects alice@example.test lrswipkxtenacd";
    assert_eq!(answers(&mut alice, "GETACL Projects").await, [acl]);
    for (command, entries) in [
        ("SETACL Projects bob@example.test rl", " bob@example.test lr"),
        ("SETACL Projects bob +st", " bob@example.test lrstd"),
        ("SETACL Projects bob@EXAMPLE.test -s", " bob@example.test lrtd"),
        ("SETACL Projects bob +", " bob@example.test lrtd"),
        ("SETACL Projects bob +cd", " bob@example.test lrkxtecd"),
        ("SETACL Projects anyone l", " anyone l bob@example.test lrkxtecd"),
        ("SETACL Projects -bob kx", " -bob@example.test kxcd anyone l bob@example.test lrkxtecd"),
        ("SETACL Projects -bob -kx", " anyone l bob@example.test lrkxtecd"),
        ("SETACL Projects bob -lrkxte", " anyone l"),
        ("SETACL Projects bob n", " anyone l bob@example.test n"),
        ("SETACL Projects bob \"\"", " anyone l"),
        ("DELETEACL Projects bob", " anyone l"),
        ("DELETEACL Projects anyone", ""),
    ] {
        alice.run(command).await;
        assert_eq!(answers(&mut alice, "GETACL Projects").await, [format!("{acl}{entries}")], "{command}");
    }
    for (command, answer) in [
        ("SETACL Projects alice@example.test lr", "NO [CANNOT]"),
        ("DELETEACL Projects alice", "NO [CANNOT]"),
        ("SETACL Projects nobody@example.test lr", "NO"),
        ("SETACL Projects bob@elsewhere.test lr", "NO"),
        ("SETACL Projects @elsewhere.test lr", "NO"),
        ("SETACL Projects bob z", "BAD"),
        ("SETACL Projects bob LR", "BAD"),
        ("SETACL nowhere bob lr", "NO [NONEXISTENT]"),
        ("GETACL nowhere", "NO [NONEXISTENT]"),
    ] {
        refused(&mut alice, command, answer).await;
    }

    // RFC 4314 §3.4, §3.5.
    let listed = answers(&mut alice, "LISTRIGHTS Projects bob").await;
    assert_eq!(listed, ["* LISTRIGHTS Projects bob \"\" l r s w i p k x t e n a c d"]);
    let owner = answers(&mut alice, "LISTRIGHTS Projects alice").await;
    assert_eq!(owner, ["* LISTRIGHTS Projects alice lrswipkxtenacd"]);
    assert_eq!(answers(&mut alice, "MYRIGHTS Projects").await, ["* MYRIGHTS Projects lrswipkxtenacd"]);
    refused(&mut bob, &format!("MYRIGHTS {BOX}"), "NO [NONEXISTENT]").await;
    alice.run("SETACL Projects bob lrsx").await;
    assert_eq!(answers(&mut bob, &format!("MYRIGHTS {BOX}")).await, [format!("* MYRIGHTS {BOX} lrsxd")]);

    // Rights add up, and what is taken away is taken away from the sum (RFC 4314 §2).
    alice.run("SETACL Projects anyone rw").await;
    alice.run("SETACL Projects -anyone x").await;
    assert_eq!(answers(&mut bob, &format!("MYRIGHTS {BOX}")).await, [format!("* MYRIGHTS {BOX} lrsw")]);
    for command in ["GETACL #", "SETACL # bob a", "DELETEACL # bob", "LISTRIGHTS # bob"] {
        refused(&mut bob, &command.replace('#', BOX), "NO [NOPERM]").await;
    }
    // Who may administer it may do so wherever its owner is.
    alice.run("SETACL Projects bob +a").await;
    bob.run(&format!("SETACL {BOX} carol lr")).await;
    let acl = answers(&mut bob, &format!("GETACL {BOX}")).await;
    assert!(acl[0].contains(" carol@example.test lr"), "{acl:?}");
    refused(&mut bob, &format!("SETACL {BOX} alice@example.test lr"), "NO [CANNOT]").await;
}

#[tokio::test]
async fn a_mailbox_that_may_not_be_looked_up_is_not_there() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut alice, mut bob) = alice_and_bob(&daemon).await;
    // RFC 4314 §6: no answer tells that there is something.
    alice.run("SETACL Projects bob rswipkxtea").await;
    let missing = "\"Other Users/alice@example.test/missing\"";
    let nobody = "\"Other Users/nobody@example.test/Projects\"";
    for command in [
        "SELECT #",
        "EXAMINE #",
        "STATUS # (MESSAGES)",
        "DELETE #",
        "RENAME # x",
        "SUBSCRIBE #",
        "GETACL #",
        "SETACL # carol lr",
        "DELETEACL # carol",
        "LISTRIGHTS # carol",
        "MYRIGHTS #",
        "GETMETADATA # /shared/comment",
        "SETMETADATA # (/private/comment \"x\")",
        "CREATE #",
        "CREATE #/below",
    ] {
        let mut said = Vec::new();
        for name in [BOX, missing, nobody] {
            let name = if command.contains("#/") {
                name.trim_end_matches('"').to_owned() + "/below\""
            } else {
                name.to_owned()
            };
            let command = command.replace("#/below", "#").replace('#', &name);
            bob.send(&format!("r {command}")).await;
            said.push(bob.until_tag("r").await);
        }
        assert!(said[0].last().unwrap().starts_with("r NO ["), "{command}: {said:?}");
        assert!(said.iter().all(|answer| *answer == said[0]), "{command} tells them apart: {said:?}");
    }
    let list = answers(&mut bob, "LIST \"\" \"Other*\"").await;
    assert!(list.is_empty(), "{list:?}");
    bob.run("SELECT INBOX").await;
    append(&mut bob, "INBOX").await;
    refused(&mut bob, &format!("COPY 1 {BOX}"), "NO [TRYCREATE]").await;
}

#[tokio::test]
async fn flags_are_changed_as_the_rights_say() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut alice, mut bob) = alice_and_bob(&daemon).await;
    let select = format!("SELECT {BOX}");

    // RFC 4314 §5.2: who may change nothing has it READ-ONLY.
    alice.run("SETACL Projects bob lr").await;
    let selected = bob.run(&select).await;
    assert!(selected.last().unwrap().starts_with("t OK [READ-ONLY]"), "{selected:?}");
    assert!(selected.iter().any(|line| line.starts_with("* OK [PERMANENTFLAGS ()]")), "{selected:?}");
    bob.run("FETCH 2 BODY[]").await;
    assert_eq!(answers(&mut bob, "FETCH 2 FLAGS").await, ["* 2 FETCH (FLAGS ())"]);
    refused(&mut bob, "STORE 2 +FLAGS (\\Seen)", "NO").await;
    refused(&mut bob, "EXPUNGE", "NO").await;

    for (rights, permanent, stored) in [
        ("lrs", "(\\Seen)", "(\\Seen)"),
        ("lrw", "(\\Answered \\Flagged \\Draft work \\*)", "(\\Answered \\Flagged \\Draft work)"),
        ("lrt", "(\\Deleted)", "(\\Deleted)"),
        ("lri", "()", "()"),
        ("lre", "()", "()"),
        (
            "lrsw",
            "(\\Answered \\Flagged \\Seen \\Draft work \\*)",
            "(\\Seen \\Answered \\Flagged \\Draft work)",
        ),
    ] {
        alice.run("SELECT Projects").await;
        alice.run("STORE 2 FLAGS (work)").await;
        alice.run("STORE 2 FLAGS ()").await;
        alice.run(&format!("SETACL Projects bob {rights}")).await;
        let selected = bob.run(&select).await;
        assert!(selected.last().unwrap().starts_with("t OK [READ-WRITE]"), "{rights}: {selected:?}");
        let flags = format!("* OK [PERMANENTFLAGS {permanent}]");
        assert!(selected.iter().any(|line| line.starts_with(&flags)), "{rights}: {selected:?}");
        // RFC 4314 §4: STORE does what it may, and fails only where that is nothing.
        let command = "STORE 2 +FLAGS.SILENT (\\Seen \\Answered \\Flagged \\Deleted \\Draft work)";
        if stored == "()" {
            refused(&mut bob, command, "NO [NOPERM]").await;
        } else {
            bob.run(command).await;
        }
        let now = alice.run("FETCH 2 FLAGS").await;
        let now = now.iter().rev().find(|line| line.starts_with("* 2 FETCH (FLAGS ")).unwrap();
        let sorted = |list: &str| {
            let mut words: Vec<String> = list.split(' ').map(str::to_owned).collect();
            words.sort();
            words
        };
        let inner = now.trim_start_matches("* 2 FETCH (FLAGS (").trim_end_matches("))").to_owned();
        assert_eq!(sorted(inner.trim()), sorted(stored.trim_matches(['(', ')'])), "{rights}");
    }

    // Replacing them leaves alone what may not be changed.
    alice.run("SETACL Projects bob lrs").await;
    alice.run("STORE 2 FLAGS (\\Flagged \\Deleted work)").await;
    let told = answers(&mut bob, "STORE 2 FLAGS (\\Seen \\Draft)").await;
    assert!(told.last().unwrap().contains("FLAGS (\\Flagged \\Deleted \\Seen work)"), "{told:?}");
    bob.run("STORE 2 FLAGS ()").await;
    let told = answers(&mut bob, "FETCH 2 FLAGS").await;
    assert_eq!(told, ["* 2 FETCH (FLAGS (\\Flagged \\Deleted work))"]);
    // RFC 4314 §4: \Seen by FETCH takes s.
    bob.run("FETCH 2 BODY[]").await;
    let told = answers(&mut bob, "FETCH 2 FLAGS").await;
    assert!(told[0].contains("\\Seen"), "{told:?}");
    alice.run("SETACL Projects bob lrw").await;
    alice.run("STORE 2 FLAGS ()").await;
    bob.run("FETCH 2 BODY[]").await;
    let told = bob.run("FETCH 2 FLAGS").await;
    assert!(told.iter().rev().nth(1).unwrap().ends_with("(FLAGS ())"), "{told:?}");
}

#[tokio::test]
async fn messages_go_and_come_as_the_rights_say() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut alice, mut bob) = alice_and_bob(&daemon).await;
    alice.run("SETACL Projects bob lrt").await;
    bob.run(&format!("SELECT {BOX}")).await;
    refused(&mut bob, "EXPUNGE", "NO [NOPERM]").await;
    refused(&mut bob, "UID EXPUNGE 1", "NO [NOPERM]").await;
    refused(&mut bob, "MOVE 1 INBOX", "NO [NOPERM]").await;
    // CLOSE without e closes, and removes nothing.
    bob.run("CLOSE").await;
    assert_eq!(answers(&mut alice, "STATUS Projects (MESSAGES)").await, ["* STATUS Projects (MESSAGES 2)"]);
    bob.run(&format!("SELECT {BOX}")).await;
    alice.run("SETACL Projects bob lre").await;
    refused(&mut bob, "MOVE 1 INBOX", "NO [NOPERM]").await;
    bob.run("COPY 1 INBOX").await;
    let gone = answers(&mut bob, "EXPUNGE").await;
    assert_eq!(gone, ["* 1 EXPUNGE"]);
    bob.run("CLOSE").await;

    // APPEND and COPY take i, and only the flags that may be set go along (RFC 4314 §4).
    bob.run("SELECT INBOX").await;
    bob.run("STORE 1 FLAGS (\\Seen \\Deleted \\Answered work)").await;
    bob.send(&format!("r APPEND {BOX} {{1}}")).await;
    bob.expect("r NO [NOPERM]").await;
    refused(&mut bob, &format!("COPY 1 {BOX}"), "NO [NOPERM]").await;
    alice.run("SETACL Projects bob lris").await;
    bob.run(&format!("COPY 1 {BOX}")).await;
    append(&mut bob, &format!("{BOX} (\\Seen \\Flagged own)")).await;
    alice.run("SELECT Projects").await;
    let fetched = answers(&mut alice, "UID FETCH 3:* FLAGS").await;
    assert!(
        fetched.iter().all(|line| line.contains("(\\Seen)") || line.contains("(\\Seen \\Recent)")),
        "{fetched:?}"
    );
    assert_eq!(fetched.len(), 2);

    // With i only, \Deleted stays behind too; moving out takes t and e.
    alice.run("SETACL Projects bob lrte").await;
    bob.run(&format!("SELECT {BOX}")).await;
    let moved = bob.run("UID MOVE 3 INBOX").await;
    assert!(moved[0].starts_with("* OK [COPYUID "), "{moved:?}");
}

#[tokio::test]
async fn mailboxes_are_made_renamed_and_deleted_as_the_rights_say() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut alice, mut bob) = alice_and_bob(&daemon).await;
    let named = |name: &str| format!("\"Other Users/alice@example.test/{name}\"");
    alice.run("SETACL Projects bob lr").await;
    refused(&mut bob, &format!("CREATE {}", named("Projects/new")), "NO [NOPERM]").await;
    refused(&mut bob, &format!("DELETE {}", named("Projects")), "NO [NOPERM]").await;
    refused(&mut bob, &format!("RENAME {} {}", named("Projects"), named("Other")), "NO [NOPERM]").await;
    alice.run("SETACL Projects bob lrk").await;
    bob.run(&format!("CREATE {}", named("Projects/new/deep"))).await;
    // What is made below is shared as what is above.
    let acl = answers(&mut alice, "GETACL Projects/new/deep").await;
    assert_eq!(acl, ["* ACL Projects/new/deep alice@example.test lrswipkxtenacd bob@example.test lrkc"]);
    refused(&mut bob, &format!("CREATE {}", named("top")), "NO [NOPERM]").await;
    refused(&mut bob, &format!("CREATE {} (USE (\\Junk))", named("Projects/junk")), "NO [USEATTR]").await;
    refused(&mut bob, "CREATE \"Other Users/x\"", "NO [NOPERM]").await;
    refused(&mut bob, "CREATE \"Shared/x\"", "NO [NOPERM]").await;

    // RENAME: x on the mailbox, k above its new name.
    refused(&mut bob, &format!("RENAME {} {}", named("Projects/new"), named("Projects/old")), "NO [NOPERM]")
        .await;
    alice.run("SETACL Projects/new bob lrx").await;
    refused(&mut bob, &format!("RENAME {} {}", named("Projects/new"), named("top")), "NO [NOPERM]").await;
    refused(&mut bob, &format!("RENAME {} mine", named("Projects/new")), "NO [CANNOT]").await;
    bob.run(&format!("RENAME {} {}", named("Projects/new"), named("Projects/old"))).await;
    let names = answers(&mut alice, "LIST \"\" Projects*").await;
    let names: Vec<_> = names.iter().map(|line| line.rsplit(' ').next().unwrap()).collect();
    assert_eq!(names, ["Projects", "Projects/old", "Projects/old/deep"]);

    // DELETE: x.
    refused(&mut bob, &format!("DELETE {}", named("Projects/old/deep")), "NO [NOPERM]").await;
    alice.run("SETACL Projects/old/deep bob lx").await;
    bob.run(&format!("DELETE {}", named("Projects/old/deep"))).await;
    alice.run("SETACL INBOX bob lrswipkxtea").await;
    refused(&mut bob, &format!("DELETE {}", named("INBOX")), "NO [CANNOT]").await;
    refused(&mut bob, &format!("RENAME {} {}", named("INBOX"), named("Projects/x")), "NO [NOPERM]").await;
}

#[tokio::test]
async fn rights_taken_away_count_at_once() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut alice, mut bob) = alice_and_bob(&daemon).await;
    let mut idle = daemon.imap().await;
    idle.login("bob").await;
    alice.run("SETACL Projects bob lrsw").await;
    bob.run(&format!("SELECT {BOX}")).await;
    bob.run("STORE 1 +FLAGS (\\Flagged)").await;
    alice.run("SETACL Projects bob -w").await;
    refused(&mut bob, "STORE 1 -FLAGS (\\Flagged)", "NO [NOPERM]").await;
    idle.run(&format!("SELECT {BOX}")).await;
    idle.send("i IDLE").await;
    idle.expect("+").await;
    // By SQL as well as by SETACL, and for one who only listens.
    db.sql("delete from store.acl").await;
    let said = idle.rest().await;
    assert!(said.last().unwrap().starts_with("* BYE"), "{said:?}");
    bob.send("n NOOP").await;
    let said = bob.rest().await;
    assert!(said.last().unwrap().starts_with("* BYE"), "{said:?}");
}
