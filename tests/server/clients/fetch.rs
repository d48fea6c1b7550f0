//! getmail and fetchmail: programs that fetch mail by POP3 and IMAP, leave it on the server or delete it, and must fetch
//! nothing twice.

use std::collections::BTreeMap;

use super::{ALICE, Folder, certificate, run_at, succeed, told};
use crate::support::daemon::PASSWORD;
use crate::support::{Daemon, Database, Dialogue};

/// A protocol and where it is spoken, with TLS from the first byte.
const WAYS: [(&str, &str); 2] = [("pop3", "pop3s"), ("imap", "imaps")];

fn message(number: usize) -> String {
    format!(
        "Subject: {number}\r\nMessage-ID: <{number}@fetch>\r\n\r\nnumber {number}\r\n.\r\n..two\r\nGr\u{fc}\u{df}e\r\n"
    )
}

async fn append(imap: &mut Dialogue, number: usize) {
    imap.send_literal("a APPEND INBOX", message(number).as_bytes()).await;
    imap.expect("a OK").await;
}

/// What has been fetched: how often each message, by its number. Each must be whole.
fn fetched(folder: &Folder) -> BTreeMap<usize, usize> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder.0.join("fetched")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap().replace("\r\n", "\n");
        let number: usize =
            text.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap().parse().unwrap();
        let body = message(number).split_once("\r\n\r\n").unwrap().1.replace("\r\n", "\n");
        assert_eq!(text.split_once("\n\n").unwrap().1.trim_end(), body.trim_end(), "number {number}");
        *found.entry(number).or_default() += 1;
    }
    found
}

fn each(times: usize, numbers: std::ops::RangeInclusive<usize>) -> BTreeMap<usize, usize> {
    numbers.map(|number| (number, times)).collect()
}

async fn left(db: &Database) -> i64 {
    db.value("select count(*) from store.message x join store.mailbox m on m.id = x.mailbox_id where m.name = 'INBOX'").await
}

/// Runs the scene that is the same for all: `fetch` is told the protocol, the port and whether to delete.
async fn scene(db: &Database, daemon: &Daemon<'_>, folder: &Folder, fetch: impl AsyncFn(&str, u16, bool)) {
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    let mut newest = 0;
    for (protocol, port) in WAYS {
        let port = daemon.port(port);
        std::fs::create_dir(folder.0.join("fetched")).unwrap();
        let first = newest + 1;
        for number in first..first + 3 {
            append(&mut imap, number).await;
        }
        newest += 3;
        // Left on the server, and not fetched again.
        fetch(protocol, port, false).await;
        assert_eq!(fetched(folder), each(1, first..=newest), "{protocol}");
        fetch(protocol, port, false).await;
        assert_eq!(fetched(folder), each(1, first..=newest), "{protocol}");
        assert_eq!(left(db).await, 3, "{protocol}");
        // Fetched and deleted, those from before as well.
        newest += 1;
        append(&mut imap, newest).await;
        fetch(protocol, port, true).await;
        assert_eq!(fetched(folder), each(1, first..=newest), "{protocol}");
        assert_eq!(left(db).await, 0, "{protocol}");
        std::fs::remove_dir_all(folder.0.join("fetched")).unwrap();
    }
}

#[tokio::test]
async fn getmail_fetches_and_deletes_by_pop3_and_imap() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let folder = Folder::new();
    let certificate = certificate(&db, &folder).await;
    let home = folder.0.display();
    scene(&db, &daemon, &folder, async |protocol, port, delete| {
        let kind = if protocol == "pop3" { "SimplePOP3SSLRetriever" } else { "SimpleIMAPSSLRetriever" };
        let rc = folder.file(
            "getmailrc",
            format!(
                "[retriever]\ntype = {kind}\nserver = localhost\nport = {port}\nusername = {ALICE}\npassword = {PASSWORD}\n\
                 ca_certs = {certificate}\n\
                 [destination]\ntype = MDA_external\npath = /bin/sh\n\
                 arguments = (\"-c\", \"cat > $(mktemp {home}/fetched/XXXXXXXX)\")\nallow_root_commands = true\n\
                 [options]\ndelete = {delete}\nread_all = false\ndelivered_to = false\nreceived = false\n"
            ),
        );
        succeed("getmail", ["--getmaildir", &home.to_string(), "--rcfile", &rc]).await;
    })
    .await;
}

#[tokio::test]
async fn fetchmail_fetches_and_deletes_by_pop3_and_imap() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let folder = Folder::new();
    let certificate = certificate(&db, &folder).await;
    let home = folder.0.display();
    scene(&db, &daemon, &folder, async |protocol, port, delete| {
        // By POP3 it remembers unique ids; by IMAP it goes by \Seen.
        let (uidl, all) = match (protocol, delete) {
            ("pop3", false) => ("uidl", "keep"),
            ("pop3", true) => ("uidl", "nokeep flush"),
            (_, false) => ("", "keep"),
            (_, true) => ("", "nokeep flush"),
        };
        let rc = folder.file(
            "fetchmailrc",
            format!(
                "set invisible\nset no bouncemail\n\
                 poll localhost protocol {protocol} service {port} {uidl}\n  username \"{ALICE}\" password \"{PASSWORD}\"\n  \
                 ssl sslcertck sslcertfile \"{certificate}\" no rewrite {all}\n  mda \"cat > $(mktemp {home}/fetched/XXXXXXXX)\"\n"
            ),
        );
        std::fs::set_permissions(&rc, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let (ids, pid) = (format!("{home}/fetchids"), format!("{home}/fetchmail.pid"));
        let output = run_at(&folder.0, "fetchmail", ["--nosyslog", "-f", &rc, "-i", &ids, "--pidfile", &pid]).await;
        // 1 is its word for: there was nothing new.
        assert!(matches!(output.status.code(), Some(0 | 1)), "{}", told("fetchmail", &output));
    })
    .await;
}
