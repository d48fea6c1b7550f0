//! Moving house: from Dovecot to Mailwright and back, by IMAP with mbsync and by `mailwright import`, without loss.
//!
//! Dovecot has no configuration and no mail but the test's own, and no port: its programs speak on their standard input,
//! as they do for a client that has been logged in. They refuse to run as root, so as root the tests run them as nobody.

use std::collections::BTreeMap;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::{ALICE, Folder, PASSWORD, certificate, noise, succeed};
use crate::support::{Daemon, Database, root};

/// Folders as Maildir++ has them, by their names in IMAP.
const FOLDERS: [(&str, &str); 8] = [
    ("", "INBOX"),
    (".Work", "Work"),
    (".Work.2023 Q1", "Work/2023 Q1"),
    (".Work.2023 Q1.deep.deeper", "Work/2023 Q1/deep/deeper"),
    (".R&-D", "R&-D"),
    (".Entw&APw-rfe &- mehr", "Entw&APw-rfe &- mehr"),
    (".Entw&APw-rfe &- mehr.&ZeVnLIqe- &2D3eAA-", "Entw&APw-rfe &- mehr/&ZeVnLIqe- &2D3eAA-"),
    (".a (b) 'c' ~d", "a (b) 'c' ~d"),
];

/// Where Debian has Dovecot's programs.
const PROGRAMS: &str = "/usr/lib/dovecot";
/// The user that Dovecot runs as when the tests run as root, and its group.
const NOBODY: (u32, u32) = (65534, 65534);

fn is_root() -> bool {
    // SAFETY: it only tells who runs this.
    unsafe { libc::geteuid() == 0 }
}

/// A Dovecot with an empty Maildir.
struct Dovecot {
    home: PathBuf,
    pop3_uidl: &'static str,
}

impl Dovecot {
    fn new(name: &str) -> Self {
        // Not in the project's own folder: nobody must be able to reach it.
        let home = std::env::temp_dir().join(format!("mailwright-dovecot-{name}-{}", std::process::id()));
        let dovecot = Self { home, pop3_uidl: "%08Xu%08Xv" };
        std::fs::create_dir_all(dovecot.maildir().join("cur")).unwrap();
        dovecot
    }

    fn maildir(&self) -> PathBuf {
        self.home.join("mail")
    }

    /// The command line of one of its programs, logged in.
    fn program(&self, name: &str) -> String {
        let home = self.home.display();
        let settings = format!(
            "base_dir = {home}/run\nstate_dir = {home}/state\nlog_path = {home}/log\nprotocols = imap pop3\nssl = no\n\
             mail_location = maildir:{home}/mail\nfirst_valid_uid = 1\nfirst_valid_gid = 1\npop3_uidl_format = {}\n\
             namespace inbox {{\n  inbox = yes\n  separator = /\n}}\n",
            self.pop3_uidl
        );
        std::fs::write(self.home.join("conf"), settings).unwrap();
        let as_nobody = match is_root() {
            true => {
                give_away(&self.home);
                format!("setpriv --reuid {} --regid {} --clear-groups ", NOBODY.0, NOBODY.1)
            }
            false => String::new(),
        };
        assert!(
            Path::new(PROGRAMS).join(name).exists(),
            "dovecot is missing; install it: scripts/setup test"
        );
        format!("{as_nobody}env HOME={home} USER=somebody {PROGRAMS}/{name} -c {home}/conf")
    }

    async fn dump(&self) -> BTreeMap<String, Value> {
        dump(["tunnel", &self.program("imap")]).await
    }

    /// The unique ids that it shows by POP3, in order.
    fn unique_ids(&self) -> Vec<String> {
        let command = format!("printf 'UIDL\\r\\nQUIT\\r\\n' | {}", self.program("pop3"));
        let output = Command::new("sh").args(["-c", &command]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let lines = text.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit()));
        let ids: Vec<String> = lines.map(|line| line.split_once(' ').unwrap().1.to_owned()).collect();
        assert!(!ids.is_empty(), "{text}");
        ids
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.home).ok();
    }
}

fn give_away(path: &Path) {
    chown(path, Some(NOBODY.0), Some(NOBODY.1)).unwrap();
    if path.is_dir() {
        std::fs::read_dir(path).unwrap().for_each(|entry| give_away(&entry.unwrap().path()));
    }
}

async fn dump<const N: usize>(place: [&str; N]) -> BTreeMap<String, Value> {
    let script = root().join("tests/server/clients/dump.py").display().to_string();
    let json = succeed("python3", [&[script.as_str()], &place[..]].concat()).await;
    serde_json::from_slice(&json).unwrap()
}

/// What has messages, and how many they are.
fn filled(dump: &BTreeMap<String, Value>) -> BTreeMap<&str, usize> {
    let counts = dump.iter().map(|(name, list)| (name.as_str(), list.as_array().unwrap().len()));
    counts.filter(|(_, count)| *count > 0).collect()
}

/// Each mailbox of one is in the other, with the same messages in the same order.
fn same(one: &BTreeMap<String, Value>, other: &BTreeMap<String, Value>) {
    assert_eq!(filled(one), filled(other));
    for name in filled(one).keys() {
        let (list, others) = (one[*name].as_array().unwrap(), other[*name].as_array().unwrap());
        for (place, (message, twin)) in list.iter().zip(others).enumerate() {
            assert_eq!(message, twin, "{name}, the message at place {place}: digest, size, flags, date");
        }
    }
}

/// Messages of all sorts, as files have them: lines end with LF.
fn message(number: usize, headers: Headers) -> Vec<u8> {
    let header =
        format!("From: a@example.net\nSubject: number {number}\nMessage-ID: <{number}@move.example.net>\n");
    let rest: Vec<u8> = match number % 12 {
        0 => b"\nplain\n".to_vec(),
        1 => b"\nno line end at the end".to_vec(),
        2 => "Subject: Gr\u{fc}\u{df}e \u{1f600}\nX-Raw: "
            .bytes()
            .chain(*b"\xe9\xff\n\nbody \x80\xfe\n")
            .collect(),
        3 => b"\n".to_vec(),
        4 if headers == Headers::MayEndTheMessage => Vec::new(),
        4 => b"X-Last: field\n\n".to_vec(),
        5 => [b"X-Huge: ".as_slice(), &b"word \n ".repeat(20_000), b"end\n\nbody\n"].concat(),
        6 => b"\nCRLF here\r\nbare CR \r in it\nFrom here\n.\n..\n\n\n".to_vec(),
        7 => {
            b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\nContent-Type: \
               message/rfc822\n\nSubject: inner\n\ntext\n--b--\n"
                .to_vec()
        }
        8 => [b"\n".as_slice(), &noise(30_000).iter().map(|byte| byte % 94 + 33).collect::<Vec<u8>>(), b"\n"]
            .concat(),
        9 => b"\nNUL: \0 and \0\0\n".to_vec(),
        10 => return format!("no header at all, number {number}\n\n: what this is\n").into_bytes(),
        _ => b"X-Empty:\nX-Folded: one\n two\n\tthree\n\nbody\n".to_vec(),
    };
    [header.into_bytes(), rest].concat()
}

/// Whether there are messages that end within their header: mbsync leaves those out, and says so.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Headers {
    End,
    MayEndTheMessage,
}

/// Fills a Maildir, so many messages into each folder.
fn fill(maildir: &Path, each: usize, headers: Headers) {
    const LETTERS: [&str; 6] = ["", "S", "RS", "FS", "DS", "FRS"];
    let mut number = 0;
    for (folder, _) in FOLDERS {
        let folder = maildir.join(folder);
        for part in ["cur", "new", "tmp"] {
            std::fs::create_dir_all(folder.join(part)).unwrap();
        }
        std::fs::write(folder.join("dovecot-keywords"), "0 $Label1\n1 work\n2 $Forwarded\n").unwrap();
        for _ in 0..each {
            let keywords = ["", "a", "b", "abc"][number % 4];
            let (place, ending) = match number % 7 {
                6 => ("new", String::new()),
                _ => ("cur", format!(":2,{}{keywords}", LETTERS[number % LETTERS.len()])),
            };
            let seconds = 1_600_000_000 + number as u64 * 86_399;
            let path = folder.join(place).join(format!("{seconds}.M{number}P1.host{ending}"));
            std::fs::write(&path, message(number, headers)).unwrap();
            let file = std::fs::File::options().append(true).open(&path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
            number += 1;
        }
    }
}

/// Copies everything from one to the other, mailboxes included.
async fn mbsync(folder: &Folder, name: &str, patterns: &str, from: &str, to: &str) {
    let state = folder.0.join(name);
    std::fs::create_dir(&state).unwrap();
    let configuration = folder.file(
        &format!("{name}.rc"),
        format!(
            "{from}\n{to}\nChannel all\nFar :from:\nNear :to:\nPatterns {patterns}\nSync PullNew PullFlags\nCreate Near\nExpunge None\n\
             CopyArrivalDate yes\nSyncState {}/\n",
            state.display()
        ),
    );
    succeed("mbsync", ["-q", "-c", &configuration, "-a"]).await;
}

fn store(name: &str, dovecot: &Dovecot) -> String {
    format!("IMAPStore {name}\nTunnel \"{}\"\n", dovecot.program("imap"))
}

fn own_store(name: &str, daemon: &Daemon<'_>, certificate: &str) -> String {
    format!(
        "IMAPStore {name}\nHost 127.0.0.1\nPort {}\nUser {ALICE}\nPass {PASSWORD}\nSSLType IMAPS\n\
         SystemCertificates no\nCertificateFile {certificate}\n",
        daemon.port("imaps")
    )
}

/// mbsync 1.4 carries system flags and $Forwarded, and no other keywords.
fn without_keywords(mut dump: BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    for message in dump.values_mut().flat_map(|list| list.as_array_mut().unwrap()) {
        let flags = message[2].as_array_mut().unwrap();
        flags.retain(|flag| flag.as_str().unwrap().starts_with('\\'));
    }
    dump
}

#[tokio::test]
async fn dovecot_moves_in_and_out_by_mbsync_without_loss() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let folder = Folder::new();
    let certificate = certificate(&db, &folder).await;
    let (old, new) = (Dovecot::new("old"), Dovecot::new("new"));
    fill(&old.maildir(), 48, Headers::End);
    let port = daemon.port("imaps").to_string();

    let before = without_keywords(old.dump().await);
    assert_eq!(filled(&before), FOLDERS.iter().map(|(_, name)| (*name, 48)).collect());
    // What is there from the start is not there in the old house.
    let patterns = "* !Archive !Drafts !Junk !Sent !Trash";
    mbsync(&folder, "in", patterns, &store("from", &old), &own_store("to", &daemon, &certificate)).await;
    let here = without_keywords(dump(["imaps", &port]).await);
    same(&before, &here);
    // What SQL says of it: names as people write them.
    let names = db.rows(
        "select m.name from store.mailbox m where exists (select 1 from store.message x where x.mailbox_id = m.id) order by 1",
    );
    let names: Vec<String> = names.await.iter().map(|row| row.get(0)).collect();
    assert_eq!(
        names,
        [
            "Entw\u{fc}rfe & mehr",
            "Entw\u{fc}rfe & mehr/\u{65e5}\u{672c}\u{8a9e} \u{1f600}",
            "INBOX",
            "R&D",
            "Work",
            "Work/2023 Q1",
            "Work/2023 Q1/deep/deeper",
            "a (b) 'c' ~d",
        ]
    );

    mbsync(&folder, "out", "*", &own_store("from", &daemon, &certificate), &store("to", &new)).await;
    same(&here, &without_keywords(new.dump().await));
    assert_eq!(db.value::<i64>("select count(*) from report.quota_drift").await, 0);
}

fn import(db: &Database, maildir: &Path, format: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_mailwright"))
        .args(["import", ALICE, "--maildir"])
        .arg(maildir)
        .args(["--pop3-uidl", format, "--database-url", &db.url()])
        .env_remove("DATABASE_URL")
        .output()
        .unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{text}");
    text
}

#[tokio::test]
async fn the_maildir_of_dovecot_is_imported_without_loss() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let dovecot = Dovecot::new("import");
    fill(&dovecot.maildir(), 24, Headers::MayEndTheMessage);
    let there = dovecot.dump().await;
    import(&db, &dovecot.maildir(), "%08Xu%08Xv");
    let here = dump(["imaps", &daemon.port("imaps").to_string()]).await;
    same(&there, &here);
}

#[tokio::test]
async fn unique_ids_of_dovecot_are_kept() {
    for format in ["%08Xu%08Xv", "%v.%u", "%v-%u", "%f", "%g", "UID%u-%v"] {
        let db = Database::new().await;
        let daemon = Daemon::start(&db).await;
        let mut dovecot = Dovecot::new("uidl");
        dovecot.pop3_uidl = format;
        fill(&dovecot.maildir(), 10, Headers::MayEndTheMessage);
        // An old house: a UIDVALIDITY of this second could be our own, and then its ids would be those of other messages.
        let list = dovecot.maildir().join("dovecot-uidlist");
        std::fs::write(&list, "3 V1500000000 N1\n").unwrap();
        dovecot.unique_ids();
        // One that came to Dovecot from a server before it, and a message that has lost its file.
        let text = std::fs::read_to_string(&list).unwrap();
        std::fs::write(&list, text.replacen("\n3 ", "\n3 Pfrom-long-ago ", 1)).unwrap();
        let second = std::fs::read_dir(dovecot.maildir().join("cur")).unwrap().find_map(|entry| {
            let path = entry.unwrap().path();
            path.display().to_string().contains(".M1P1.").then_some(path)
        });
        std::fs::remove_file(second.unwrap()).unwrap();
        let there = dovecot.unique_ids();
        assert_eq!((there.len(), there[1].as_str()), (9, "from-long-ago"), "{format}: {there:?}");
        assert!(std::fs::read_to_string(&list).unwrap().starts_with("3 V1500000000 "));

        let said = import(&db, &dovecot.maildir(), format);
        assert!(said.contains("kept 9 POP3 unique ids"), "{format}: {said}");
        let mut pop3 = daemon.pop3().await;
        pop3.login("alice").await;
        pop3.send("UIDL").await;
        pop3.expect("+OK").await;
        let here: Vec<String> =
            pop3.lines().await.iter().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect();
        assert_eq!(here, there, "{format}");
    }
}
