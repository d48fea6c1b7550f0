//! The connection itself by IMAP: what is announced to whom, compression, logging out without leaving, progress.

use std::time::Duration;

use crate::support::daemon::PASSWORD;
use crate::support::deflate::packed;
use crate::support::dialogue::Language;
use crate::support::{Daemon, Database, Dialogue};

/// What is announced now.
async fn announced(imap: &mut Dialogue) -> Vec<String> {
    let answers = imap.run("CAPABILITY").await;
    answers[0].split(' ').skip(2).map(str::to_owned).collect()
}

async fn announces(imap: &mut Dialogue, name: &str) -> bool {
    announced(imap).await.iter().any(|capability| capability == name)
}

/// A connection in the clear on which a password may travel.
async fn clear(daemon: &Daemon<'_>) -> Dialogue {
    daemon.db().apply("update control.imap set require_tls_for_login = false").await;
    let mut imap = Dialogue::plain(daemon.port("imap"), Language::Imap).await;
    imap.expect("* OK").await;
    imap
}

// Capabilities ----------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_capability_is_hidden_from_a_client() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut old, mut other) = (daemon.imap().await, daemon.imap().await);
    old.login("alice").await;
    other.login("alice").await;
    assert!(announces(&mut old, "COMPRESS=DEFLATE").await);
    db.apply(
        "insert into control.imap_capability (capability, client, reason)
         values ('compress=deflate', 'OldMail 1.*', 'waits for ever')",
    )
    .await;
    assert!(announces(&mut old, "COMPRESS=DEFLATE").await, "it has not said who it is");
    old.run("ID (\"name\" \"oldmail\" \"version\" \"1.7\")").await;
    assert!(!announces(&mut old, "COMPRESS=DEFLATE").await);
    assert!(announces(&mut old, "QUOTA").await);
    assert!(announces(&mut other, "COMPRESS=DEFLATE").await);
    other.run("ID (\"name\" \"OldMail\" \"version\" \"2.0\")").await;
    assert!(announces(&mut other, "COMPRESS=DEFLATE").await);
    db.until("select count(*) = 1 from live.session where client = 'oldmail 1.7' and service = 'imap'").await;

    // A client that says who it is before it logs in.
    let mut early = daemon.imap().await;
    early.run("ID (\"name\" \"OldMail\" \"version\" \"1.0\")").await;
    early.send(&format!("l LOGIN alice@example.test {PASSWORD}")).await;
    let answer = early.expect("l OK [CAPABILITY ").await;
    assert!(!answer.contains("COMPRESS"), "{answer}");
    db.apply("delete from control.imap_capability").await;
    assert!(announces(&mut early, "COMPRESS=DEFLATE").await);
}

#[tokio::test]
async fn a_client_that_hangs_when_compressed_is_not_compressed() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = daemon.imap().await;
    imap.run("ID (\"name\" \"OfflineIMAP\" \"version\" \"8.0.0\")").await;
    imap.login("alice").await;
    assert!(!announces(&mut imap, "COMPRESS=DEFLATE").await);
    // It asks all the same.
    imap.send("a COMPRESS DEFLATE").await;
    imap.expect("a NO [CANNOT]").await;
    imap.run("NOOP").await;
}

#[tokio::test]
async fn a_capability_is_hidden_from_an_account_or_from_all_and_is_not_enabled() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (mut alice, mut bob) = (daemon.imap().await, daemon.imap().await);
    alice.login("alice").await;
    bob.login("bob").await;
    db.apply(
        "insert into control.imap_capability (capability, account_id)
         select 'Condstore', id from directory.account where local_part = 'alice'",
    )
    .await;
    assert!(!announces(&mut alice, "CONDSTORE").await);
    assert!(announces(&mut bob, "CONDSTORE").await);
    let enabled = alice.run("ENABLE CONDSTORE UTF8=ACCEPT").await;
    assert_eq!(enabled[0], "* ENABLED UTF8=ACCEPT");
    assert_eq!(bob.run("ENABLE CONDSTORE").await[0], "* ENABLED CONDSTORE");

    db.apply("insert into control.imap_capability (capability) values ('IDLE')").await;
    let mut new = Dialogue::tls(daemon.port("imaps"), Language::Imap).await;
    let greeting = new.expect("* OK [CAPABILITY ").await;
    assert!(!greeting.contains(" IDLE") && greeting.contains(" ID "), "{greeting}");

    for (statement, refusal) in [
        (
            "insert into control.imap_capability (capability) values ('IMAP4rev1')",
            "IMAP4rev1 cannot be hidden",
        ),
        ("insert into control.imap_capability (capability) values ('no such')", "a capability is one word"),
        ("insert into control.imap_capability (capability) values ('idle')", "hidden there already"),
        ("insert into control.imap_capability (capability, client) values ('ID', '')", "a client is from 1"),
    ] {
        let told = db.refusal(statement).await;
        assert!(told.contains(refusal), "{told}");
    }
    db.sql("delete from directory.account where local_part = 'alice'").await;
    let left: String =
        db.value("select string_agg(capability, ' ' order by id) from control.imap_capability").await;
    assert_eq!(left, "COMPRESS=DEFLATE IDLE");
}

// COMPRESS --------------------------------------------------------------------------------------------------------

/// Bytes that don't compress, in lines.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut bytes = b"Subject: noise\r\n\r\n".to_vec();
    while bytes.len() < size {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        bytes.extend(format!("{state:x}\r\n").into_bytes());
    }
    bytes
}

async fn talks_compressed(mut imap: Dialogue) {
    imap.login("alice").await;
    imap.compress().await;
    assert!(!announces(&mut imap, "COMPRESS=DEFLATE").await);
    imap.send("a COMPRESS DEFLATE").await;
    imap.expect("a NO [COMPRESSIONACTIVE]").await;
    let message = noise(300_000);
    imap.send_literal("a APPEND INBOX", &message).await;
    imap.expect("a OK [APPENDUID ").await;
    imap.run("SELECT INBOX").await;
    imap.send("f FETCH 1 BODY.PEEK[]").await;
    assert!(imap.expect_literal("* 1 FETCH").await == message);
    imap.expect("f OK").await;
    // What is pipelined comes out in order.
    imap.send_bytes(b"1 NOOP\r\n2 NOOP\r\n3 IDLE\r\n").await;
    imap.expect("1 OK").await;
    imap.expect("2 OK").await;
    imap.expect("+").await;
    imap.send("DONE").await;
    imap.expect("3 OK").await;
    imap.send("o LOGOUT").await;
    imap.expect("* BYE").await;
    imap.expect("o OK").await;
    imap.expect_end().await;
}

#[tokio::test]
async fn compression_in_the_clear() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let imap = clear(&daemon).await;
    talks_compressed(imap).await;
}

#[tokio::test]
async fn compression_over_tls() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    talks_compressed(daemon.imap().await).await;
}

#[tokio::test]
async fn compression_is_refused_where_it_cannot_be() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = daemon.imap().await;
    imap.send("a COMPRESS DEFLATE").await;
    imap.expect("a BAD").await;
    imap.login("alice").await;
    imap.send("a COMPRESS LZ4").await;
    imap.expect("a NO [CANNOT]").await;
    // RFC 4978 §3: after a NO, nothing is compressed.
    imap.run("NOOP").await;
    imap.compress().await;
    imap.run("NOOP").await;
    db.until("select count(*) = 1 from live.session where login is not null").await;
    db.sql("delete from live.session").await;
    imap.expect("* BYE this session was ended").await;
    imap.expect_end().await;
}

#[tokio::test]
async fn what_a_few_bytes_inflate_to_meets_the_limits_of_plain_input() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    imap.compress().await;
    // 100 MB of a command line in 100 KB.
    let bomb = packed(&vec![b'x'; 100_000_000]);
    assert!(bomb.len() < 200_000, "{}", bomb.len());
    let before = memory(&daemon);
    imap.send_packed(&bomb).await;
    let rest = imap.rest().await;
    assert!(rest[0].starts_with("* BAD command line too long"), "{rest:?}");
    assert!(rest[1].starts_with("* BYE command too long to skip"), "{rest:?}");
    assert!(memory(&daemon) < before + 32_000, "{before} kB before");
    let mut garbage = daemon.imap().await;
    garbage.login("alice").await;
    garbage.send("z COMPRESS DEFLATE").await;
    garbage.expect("z OK").await;
    garbage.send_bytes(b"\xff\xff this is no deflate\r\n").await;
    garbage.expect_end().await;
    daemon.imap().await.login("alice").await;
}

/// What the daemon occupies, kB.
fn memory(daemon: &Daemon<'_>) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test]
async fn a_client_with_zlib() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply("update control.imap set require_tls_for_login = false").await;
    let script = crate::support::root().join("tests/server/clients/deflate.py");
    let mut command = tokio::process::Command::new("python3");
    command.arg(script).arg(daemon.port("imap").to_string()).args(["alice@example.test", PASSWORD]);
    command.kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(60), command.output()).await.unwrap().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && output.stdout.starts_with(b"all is well"), "{told}");
}

// UNAUTHENTICATE --------------------------------------------------------------------------------------------------

#[tokio::test]
async fn unauthenticate_forgets_who_was_there() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply("update control.service set max_connections_per_account = 1 where name = 'imap'").await;
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    imap.send_literal("a APPEND INBOX (\\Deleted)", b"Subject: x\r\n\r\nhello\r\n").await;
    imap.expect("a OK").await;
    imap.run("CREATE Entw&APw-rfe").await;
    imap.run("ENABLE UTF8=ACCEPT CONDSTORE").await;
    imap.run("LANGUAGE de").await;
    imap.run("SELECT INBOX").await;
    imap.send("u UNAUTHENTICATE").await;
    // RFC 8437 §3: no expunge, and the first answer is the tagged one.
    let answer = imap.answer().await;
    assert!(answer.starts_with("u OK [CAPABILITY IMAP4rev1") && answer.contains("AUTH=PLAIN"), "{answer}");
    db.until("select count(*) = 1 from live.session where service = 'imap' and login is null and account_id is null")
        .await;
    for command in ["NOOP", "CAPABILITY"] {
        imap.run(command).await;
    }
    for command in ["SELECT INBOX", "CHECK", "UNAUTHENTICATE"] {
        imap.send(&format!("r {command}")).await;
        imap.expect("r BAD").await;
    }
    // Limits of those who have not logged in.
    imap.send("r LOGIN {5000}").await;
    imap.expect("r BAD literal too large").await;
    // Alice's only connection is free again, and this one may be anybody's.
    let mut other = daemon.imap().await;
    other.login("alice").await;
    imap.login("bob").await;
    imap.run("CREATE Entw&APw-rfe").await;
    assert_eq!(imap.run("LIST \"\" E*").await[0], "* LIST (\\HasNoChildren) \"/\" Entw&APw-rfe");
    let selected = imap.run("SELECT INBOX").await;
    assert!(selected.contains(&"* 0 EXISTS".to_owned()), "{selected:?}");
    other.run("SELECT INBOX").await;
    assert_eq!(other.run("FETCH 1 FLAGS").await[0], "* 1 FETCH (FLAGS (\\Deleted))");
    imap.send("u UNAUTHENTICATE").await;
    imap.expect("u OK").await;
    imap.send("l LOGIN alice@example.test wrong").await;
    imap.expect("l NO [AUTHENTICATIONFAILED] user name or password is wrong").await;
}

#[tokio::test]
async fn the_time_to_log_in_begins_anew() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    db.apply("update control.imap set login_timeout_seconds = 1").await;
    imap.run("NOOP").await;
    imap.send("u UNAUTHENTICATE").await;
    imap.expect("u OK").await;
    imap.run("NOOP").await;
    assert!(imap.rest().await.iter().any(|line| line.starts_with("* BYE")));
}

#[tokio::test]
async fn unauthenticate_ends_the_compression_and_may_be_hidden() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    imap.compress().await;
    imap.run("SELECT INBOX").await;
    imap.send("u UNAUTHENTICATE").await;
    imap.expect("u OK").await;
    imap.end_compression();
    assert!(!announces(&mut imap, "COMPRESS=DEFLATE").await);
    // RFC 8437 §3: a client may go on at once.
    imap.login("bob").await;
    imap.send_bytes(format!("u UNAUTHENTICATE\r\nl LOGIN alice@example.test {PASSWORD}\r\n").as_bytes())
        .await;
    imap.expect("u OK").await;
    imap.expect("l OK").await;
    imap.send("z COMPRESS DEFLATE").await;
    imap.expect("z OK").await;
    let mut glued = packed(b"u UNAUTHENTICATE\r\n");
    glued.extend(format!("l LOGIN bob@example.test {PASSWORD}\r\n").into_bytes());
    imap.send_bytes(&glued).await;
    // The answer to the one is compressed, that to the other is not.
    db.until("select count(*) = 1 from live.session where login = 'bob@example.test'").await;

    let mut hidden = daemon.imap().await;
    hidden.login("carol").await;
    db.apply("insert into control.imap_capability (capability) values ('UNAUTHENTICATE')").await;
    hidden.send("u UNAUTHENTICATE").await;
    hidden.expect("u BAD").await;
    hidden.run("SELECT INBOX").await;
}

// INPROGRESS ------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn long_commands_say_how_far_they_are() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply("update control.imap set progress_seconds = 0").await;
    daemon.deliver("alice", "Subject: many\n\nneedle\n").await;
    db.sql(
        "insert into store.message (account_id, mailbox_id, content_id)
         select m.account_id, m.mailbox_id, m.content_id from store.message m, generate_series(1, 2399);
         analyze store.message",
    )
    .await;
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    let selected = imap.run("SELECT INBOX").await;
    assert!(selected.contains(&"* 2400 EXISTS".to_owned()), "{selected:?}");
    for (command, first) in [
        // RFC 9585 §4: the tag, what is done, what there is to do.
        ("SEARCH SAVEDSINCE 1-Jan-2000", "* OK [INPROGRESS (\"t\" 500 2400)]"),
        ("SEARCH SUBJECT many", "* OK [INPROGRESS (\"t\" 0 2400)]"),
        ("STORE 1:* +FLAGS.SILENT (\\Seen)", "* OK [INPROGRESS (\"t\" 2000 2400)]"),
        ("COPY 1:* Archive", "* OK [INPROGRESS (\"t\" 0 2400)]"),
        ("MOVE 1:300 Trash", "* OK [INPROGRESS (\"t\" 0 300)]"),
        ("STORE 1:* +FLAGS.SILENT (\\Deleted)", "* OK [INPROGRESS (\"t\" 2000 2100)]"),
        ("EXPUNGE", "* OK [INPROGRESS (\"t\" 2000 2100)]"),
    ] {
        let answers = imap.run(command).await;
        let told: Vec<&String> = answers.iter().filter(|answer| answer.contains("INPROGRESS")).collect();
        assert!(told.first().is_some_and(|answer| answer.starts_with(first)), "{command}: {told:?}");
        let done = |answer: &String| -> u64 {
            answer.split(' ').nth(4).and_then(|number| number.parse().ok()).unwrap()
        };
        assert!(told.is_sorted_by_key(|answer| done(answer)), "{command}: {told:?}");
        let all = |answer: &&String| answer.contains(" 2400 2400)") || answer.contains(" 2100 2100)");
        assert!(!told.iter().any(all), "{command}: {told:?}");
    }
    db.apply("update control.imap set progress_seconds = 60").await;
    imap.run("SELECT Archive").await;
    let answers = imap.run("SEARCH SUBJECT many").await;
    assert!(!answers.iter().any(|answer| answer.contains("INPROGRESS")), "it was quick");
}
