//! Annotations of mailboxes and of the server (RFC 5464), in LIST (RFC 9590), and the special use as one of them (RFC 6154).

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

async fn user(daemon: &Daemon<'_>, name: &str) -> Dialogue {
    let mut imap = daemon.imap().await;
    imap.login(name).await;
    imap
}

#[tokio::test]
async fn the_dialogues_of_the_rfc() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = user(&daemon, "alice").await;
    let capabilities = answers(&mut imap, "CAPABILITY").await.join(" ");
    assert!(capabilities.contains(" METADATA METADATA-SERVER LIST-METADATA"), "{capabilities}");

    // RFC 5464 §4.3: a value in a literal, then none.
    imap.send_literal("a SETMETADATA INBOX (/private/comment", b"My new comment across\r\ntwo lines.").await;
    imap.expect("a BAD").await;
    imap.send("a SETMETADATA INBOX (/private/comment {33+}").await;
    imap.send("My new comment across").await;
    imap.send("two lines.)").await;
    imap.expect("a OK").await;
    imap.send("a GETMETADATA \"INBOX\" /private/comment").await;
    let value = imap.expect_literal("* METADATA INBOX (/private/comment {33}").await;
    assert_eq!(value, b"My new comment across\r\ntwo lines.");
    imap.expect("a OK").await;
    imap.run("SETMETADATA INBOX (/private/comment NIL)").await;
    // §4.2: what has no value is told so.
    let none = answers(&mut imap, "GETMETADATA \"INBOX\" /private/comment").await;
    assert_eq!(none, ["* METADATA INBOX (/private/comment NIL)"]);
    imap.run("SETMETADATA INBOX (/private/comment \"My comment\" /shared/comment \"Its sunny outside!\")")
        .await;
    let both = answers(&mut imap, "GETMETADATA \"INBOX\" (/shared/comment /private/comment)").await;
    assert_eq!(
        both,
        ["* METADATA INBOX (/private/comment \"My comment\" /shared/comment \"Its sunny outside!\")"]
    );
    // §4.2.1: larger values are left out, and their size told.
    imap.send("m GETMETADATA (MAXSIZE 12) \"INBOX\" (/shared/comment /private/comment)").await;
    imap.expect("* METADATA INBOX (/private/comment \"My comment\")").await;
    imap.expect("m OK [METADATA LONGENTRIES 18]").await;
    // §4.2.2: depths.
    imap.run("SETMETADATA INBOX (/private/filters/values/small \"SMALLER 5000\" /private/filters/values/boss \"FROM \\\"boss\\\"\" /private/filters/values/boss/deep \"x\")").await;
    let below = answers(&mut imap, "GETMETADATA (DEPTH 1) \"INBOX\" (/private/filters/values)").await;
    assert_eq!(
        below,
        [
            "* METADATA INBOX (/private/filters/values/boss \"FROM \\\"boss\\\"\" /private/filters/values/small \"SMALLER 5000\")"
        ]
    );
    let all = answers(&mut imap, "GETMETADATA \"INBOX\" (DEPTH infinity) /private/filters").await;
    assert!(all[0].contains("/private/filters/values/boss/deep \"x\""), "{all:?}");
    let none = answers(&mut imap, "GETMETADATA (DEPTH 1) \"INBOX\" /private/nothing").await;
    assert!(none.is_empty(), "{none:?}");
    // Names differ without regard to case; a value with NUL is a literal8.
    imap.send("a SETMETADATA INBOX (/shared/Vendor/X ~{3+}").await;
    imap.send_bytes(b"a\0b)\r\n").await;
    imap.expect("a OK").await;
    imap.send("a GETMETADATA INBOX /SHARED/vendor/x").await;
    assert_eq!(imap.expect_literal("* METADATA INBOX (/shared/vendor/x ~{3}").await, b"a\0b");
    imap.expect("a OK").await;
    refused(&mut imap, "GETMETADATA nowhere /shared/comment", "NO [NONEXISTENT]").await;
    refused(&mut imap, "SETMETADATA nowhere (/shared/comment \"x\")", "NO [NONEXISTENT]").await;
}

#[tokio::test]
async fn the_server_has_annotations() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut alice, mut bob) = (user(&daemon, "alice").await, user(&daemon, "bob").await);
    // RFC 5464 §6.2.1.
    let none = answers(&mut alice, "GETMETADATA \"\" (/shared/comment /shared/admin)").await;
    assert_eq!(none, ["* METADATA \"\" (/shared/admin NIL /shared/comment NIL)"]);
    db.apply("update control.imap set admin_contact = 'mailto:postmaster@example.test', server_comment = 'Tea at four'").await;
    let said = answers(&mut alice, "GETMETADATA \"\" (/shared/comment /shared/admin)").await;
    assert_eq!(
        said,
        [
            "* METADATA \"\" (/shared/admin \"mailto:postmaster@example.test\" /shared/comment \"Tea at four\")"
        ]
    );
    refused(&mut alice, "SETMETADATA \"\" (/shared/comment \"x\")", "NO [NOPERM]").await;
    alice.run("SETMETADATA \"\" (/private/vendor/x \"hers\")").await;
    let hers = answers(&mut alice, "GETMETADATA \"\" /private/vendor/x").await;
    assert_eq!(hers, ["* METADATA \"\" (/private/vendor/x \"hers\")"]);
    let his = answers(&mut bob, "GETMETADATA \"\" /private/vendor/x").await;
    assert_eq!(his, ["* METADATA \"\" (/private/vendor/x NIL)"]);
}

#[tokio::test]
async fn private_is_each_ones_own_and_rights_count() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut alice, mut bob) = (user(&daemon, "alice").await, user(&daemon, "bob").await);
    let there = "\"Other Users/alice@example.test/INBOX\"";
    alice.run("SETMETADATA INBOX (/private/comment \"hers\" /shared/comment \"ours\")").await;
    let get = format!("GETMETADATA {there} (/private/comment /shared/comment)");
    refused(&mut bob, &get, "NO [NONEXISTENT]").await;
    // RFC 5464 §3.3: l alone is not enough.
    alice.run("SETACL INBOX bob l").await;
    refused(&mut bob, &get, "NO [NOPERM]").await;
    alice.run("SETACL INBOX bob lr").await;
    let seen = answers(&mut bob, &get).await;
    assert_eq!(seen, [format!("* METADATA {there} (/private/comment NIL /shared/comment \"ours\")")]);
    bob.run(&format!("SETMETADATA {there} (/private/comment \"his\")")).await;
    refused(&mut bob, &format!("SETMETADATA {there} (/shared/comment \"x\")"), "NO [NOPERM]").await;
    refused(&mut bob, &format!("SETMETADATA {there} (/private/specialuse \"\\\\Sent\")"), "NO [USEATTR]")
        .await;
    let hers = answers(&mut alice, "GETMETADATA INBOX /private/comment").await;
    assert_eq!(hers, ["* METADATA INBOX (/private/comment \"hers\")"]);
    alice.run("SETACL INBOX bob lrw").await;
    bob.run(&format!("SETMETADATA {there} (/shared/comment \"changed\")")).await;
    let shared = answers(&mut alice, "GETMETADATA INBOX /shared/comment").await;
    assert_eq!(shared, ["* METADATA INBOX (/shared/comment \"changed\")"]);
    // Nothing is left of an account that goes, nor of a mailbox.
    alice.run("CREATE x").await;
    alice.run("SETMETADATA x (/private/a \"1\" /shared/b \"2\")").await;
    alice.run("DELETE x").await;
    db.sql("delete from directory.account where local_part = 'bob'").await;
    assert_eq!(db.value::<i64>("select count(*) from store.metadata").await, 2);
    db.sql("delete from directory.account where local_part = 'alice'").await;
    assert_eq!(db.value::<i64>("select count(*) from store.metadata").await, 0);
}

#[tokio::test]
async fn limits() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply("update control.imap set max_metadata_bytes = 10, max_metadata_entries = 2").await;
    let mut imap = user(&daemon, "alice").await;
    refused(&mut imap, "SETMETADATA INBOX (/shared/a \"12345678901\")", "NO [METADATA MAXSIZE 10]").await;
    imap.run("SETMETADATA INBOX (/shared/a \"1234567890\" /shared/b \"\" /private/a \"x\")").await;
    // All or none.
    refused(&mut imap, "SETMETADATA INBOX (/shared/c \"x\" /private/b \"x\")", "NO [METADATA TOOMANY]").await;
    let kept = answers(&mut imap, "GETMETADATA INBOX (DEPTH infinity) (/private /shared)").await;
    assert_eq!(kept, ["* METADATA INBOX (/private/a \"x\" /shared/a \"1234567890\" /shared/b \"\")"]);
    imap.run("SETMETADATA INBOX (/shared/a \"y\" /shared/b NIL)").await;
    imap.run("SETMETADATA INBOX (/shared/c \"x\")").await;
}

#[tokio::test]
async fn special_use_is_an_annotation() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = user(&daemon, "alice").await;
    // RFC 6154 §5.4.
    let sent = answers(&mut imap, "GETMETADATA Sent /private/specialuse").await;
    assert_eq!(sent, ["* METADATA Sent (/private/specialuse \"\\\\Sent\")"]);
    imap.run("CREATE Gesendet").await;
    refused(&mut imap, "SETMETADATA Gesendet (/private/specialuse \"\\\\Sent\")", "NO [USEATTR]").await;
    refused(&mut imap, "SETMETADATA Gesendet (/private/specialuse \"\\\\All\")", "NO [USEATTR]").await;
    refused(&mut imap, "SETMETADATA Gesendet (/private/specialuse \"\\\\Foo\")", "NO [USEATTR]").await;
    imap.run("SETMETADATA Sent (/private/specialuse NIL)").await;
    imap.run("SETMETADATA Gesendet (/private/specialuse \"\\\\sent\")").await;
    let special = answers(&mut imap, "LIST (SPECIAL-USE) \"\" *").await;
    assert!(special.contains(&"* LIST (\\HasNoChildren \\Sent) \"/\" Gesendet".to_owned()), "{special:?}");
    assert!(special.iter().all(|line| !line.ends_with(" Sent")), "{special:?}");
}

#[tokio::test]
async fn annotations_in_lists() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut alice, mut bob) = (user(&daemon, "alice").await, user(&daemon, "bob").await);
    // RFC 9590 §4.
    let color = "/shared/vendor/cmu/cyrus-imapd/color";
    alice.run(&format!("SETMETADATA INBOX ({color} \"#b71c1c\")")).await;
    let list = answers(&mut alice, &format!("LIST \"\" (INBOX Sent) RETURN (METADATA (\"{color}\"))")).await;
    assert_eq!(
        list,
        [
            "* LIST (\\HasNoChildren) \"/\" INBOX".to_owned(),
            format!("* METADATA INBOX ({color} \"#b71c1c\")"),
            "* LIST (\\HasNoChildren \\Sent) \"/\" Sent".to_owned(),
            format!("* METADATA Sent ({color} NIL)"),
        ]
    );
    alice.run("SETACL INBOX bob lr").await;
    alice.run("SETACL Sent bob l").await;
    let list = answers(&mut bob, &format!("LIST \"\" \"Other Users/*\" RETURN (METADATA {color})")).await;
    let told: Vec<_> = list.iter().filter(|line| line.starts_with("* METADATA")).collect();
    assert_eq!(told, [&format!("* METADATA \"Other Users/alice@example.test/INBOX\" ({color} \"#b71c1c\")")]);
    let list = answers(&mut alice, "LIST \"\" Sent RETURN (METADATA (/private/specialuse))").await;
    assert_eq!(list[1], "* METADATA Sent (/private/specialuse \"\\\\Sent\")");
}
