//! Real clients: swaks, curl, mbsync, offlineimap, mutt, Thunderbird, getmail, fetchmail, and Python's imaplib, poplib and
//! IMAPClient, over plain connections, STARTTLS and implicit TLS.
//!
//! What they do is judged by what arrives on the other side, byte for byte. A program that is missing is a failure that
//! says how to install it, never a test left out.

mod fetch;
mod migration;
mod mutt;
mod offlineimap;
mod thunderbird;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::support::daemon::{PASSWORD, ReservedPort};
use crate::support::dialogue::tcp;
use crate::support::{Daemon, Database, Dialogue, root};

const ALICE: &str = "alice@example.test";
const BOB: &str = "bob@example.test";

/// How long a client may take for all it is told to do.
const CLIENT_PATIENCE: Duration = Duration::from_secs(60);

// Programs -------------------------------------------------------------------------------------------------------

/// Runs a program to its end.
async fn run<S: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>) -> Output {
    run_at(Path::new("/nonexistent"), program, arguments).await
}

/// The same, with a home.
async fn run_at<S: AsRef<OsStr>>(
    home: &Path,
    program: &str,
    arguments: impl IntoIterator<Item = S>,
) -> Output {
    let mut command = tokio::process::Command::new(program);
    // What the user of this machine has configured for curl, swaks or Python is not what is tested.
    command.args(arguments).env("HOME", home).env("LC_ALL", "C.UTF-8").env("PYTHONDONTWRITEBYTECODE", "1");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            panic!("{program} is missing; install it: scripts/setup test")
        }
        Err(error) => panic!("{program}: {error}"),
    };
    let ended = tokio::time::timeout(CLIENT_PATIENCE, child.wait_with_output()).await;
    ended.unwrap_or_else(|_| panic!("{program} does not end")).unwrap()
}

/// Runs a program that must succeed, and returns what it wrote.
async fn succeed<S: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>) -> Vec<u8> {
    let output = run(program, arguments).await;
    assert!(output.status.success(), "{}", told(program, &output));
    output.stdout
}

fn told(program: &str, output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    format!("{program}: {}\n{}{}", output.status, text(&output.stdout), text(&output.stderr))
}

/// A directory that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("clients-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir(&path).unwrap();
        Folder(path)
    }

    /// A file in it.
    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// The certificate that the server shows, for clients to trust.
async fn certificate(db: &Database, folder: &Folder) -> String {
    let chain: String = db.value("select chain from control.certificate where source = 'self-signed'").await;
    folder.file("certificate.pem", chain)
}

/// The newest message in INBOX, as `item` shows it; returns as soon as there are `count` messages.
async fn newest(imap: &mut Dialogue, count: u32, item: &str) -> Vec<u8> {
    let answers = imap.run("SELECT INBOX").await;
    assert!(answers.contains(&format!("* {count} EXISTS")), "{answers:?}");
    imap.send(&format!("t FETCH {count} ({item})")).await;
    let bytes = imap.expect_literal("* * FETCH").await;
    imap.expect("t OK").await;
    bytes
}

/// Bytes that look random and are always the same.
fn noise(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    blake3::Hasher::new().update(b"noise").finalize_xof().fill(&mut bytes);
    bytes
}

// swaks ----------------------------------------------------------------------------------------------------------

/// A message that shows every fault of dots, line ends and octets on its way.
fn tricky(name: &str) -> Vec<u8> {
    let mut message = format!(
        "From: Sender <sender@example.net>\r\nTo: {ALICE}\r\nSubject: {name}\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\n\
         Message-ID: <{name}@example.net>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\
         Content-Transfer-Encoding: 8bit\r\n\r\n"
    )
    .into_bytes();
    message.extend_from_slice(
        b".\r\n..\r\n.dot\r\n\r\nGr\xc3\xbc\xc3\x9fe \xff\xfe\r\nMAIL FROM:<x>\r\n  spaces  \r\nend\r\n",
    );
    message
}

fn body(message: &[u8]) -> &[u8] {
    let end = message.windows(4).position(|four| four == b"\r\n\r\n").expect("a header ends");
    &message[end + 4..]
}

#[tokio::test]
async fn swaks_delivers_by_every_way() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let folder = Folder::new();
    let lmtp = ReservedPort::any();
    db.apply(&format!(
        "insert into control.listener (service, address, port, mode) values ('smtp', '127.0.0.1', {}, 'lmtp')",
        lmtp.number()
    ))
    .await;
    drop(tcp(lmtp.number()).await);
    let login = ["--auth-user", BOB, "--auth-password", PASSWORD];
    let ways: [(&str, u16, &[&str]); 9] = [
        ("plain", daemon.port("smtp"), &[]),
        ("pipelined", daemon.port("smtp"), &["--pipeline"]),
        ("starttls", daemon.port("smtp"), &["--tls"]),
        ("starttls-pipelined", daemon.port("smtp"), &["--tls", "--pipeline"]),
        ("auth-plain", daemon.port("submission"), &["--tls", "--auth", "PLAIN"]),
        ("auth-login", daemon.port("submission"), &["--tls", "--auth", "LOGIN"]),
        ("implicit-plain", daemon.port("smtps"), &["--tls-on-connect", "--auth", "PLAIN"]),
        ("implicit-login", daemon.port("smtps"), &["--tls-on-connect", "--auth", "LOGIN"]),
        ("lmtp", lmtp.number(), &["--protocol", "LMTP"]),
    ];
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    for (count, (name, port, how)) in (1..).zip(ways) {
        let message = tricky(name);
        // swaks writes the last line end itself.
        let data = format!("@{}", folder.file(name, message.strip_suffix(b"\r\n").unwrap()));
        let port = port.to_string();
        let sender = if how.contains(&"--auth") { BOB } else { "sender@example.net" };
        let common =
            ["--server", "127.0.0.1", "--port", &port, "--helo", "client.example.net", "--timeout", "20"];
        let letter = ["--from", sender, "--to", ALICE, "--data", &data];
        let login: &[&str] = if how.contains(&"--auth") { &login } else { &[] };
        succeed("swaks", [&common, &letter[..], how, login].concat()).await;
        assert_eq!(newest(&mut imap, count, "BODY.PEEK[TEXT]").await, body(&message), "{name}");
        let header = newest(&mut imap, count, "BODY.PEEK[HEADER]").await;
        let header = String::from_utf8_lossy(&header);
        assert!(header.contains(&format!("Subject: {name}\r\n")), "{header}");
        // RFC 3848: how it came.
        let protocol = match name {
            "plain" | "pipelined" => "with ESMTP ",
            "starttls" | "starttls-pipelined" => "with ESMTPS ",
            "lmtp" => "with LMTP ",
            _ => "with ESMTPSA ",
        };
        assert!(header.replace("\r\n", " ").contains(protocol), "{name}: {header}");
    }
}

#[tokio::test]
async fn swaks_is_refused_as_it_expects() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (smtp, submission) = (daemon.port("smtp").to_string(), daemon.port("submission").to_string());
    let wrong = ["--auth-user", BOB, "--auth-password", "wrong"];
    // The exit codes are of swaks' manual: 22 to 29 name the step that the server refused.
    let refusals: [(&str, &str, &[&str], i32); 5] = [
        ("no such user", &smtp, &["--to", "nobody@example.test"], 24),
        ("relaying", &smtp, &["--to", "somebody@elsewhere.example"], 24),
        ("no login", &submission, &["--to", ALICE, "--tls"], 23),
        ("wrong password", &submission, &["--to", ALICE, "--tls", "--auth", "PLAIN"], 28),
        ("password in the clear", &submission, &["--to", ALICE, "--auth", "PLAIN"], 28),
    ];
    for (what, port, arguments, code) in refusals {
        let common =
            ["--server", "127.0.0.1", "--port", port, "--from", "sender@example.net", "--timeout", "20"];
        let login: &[&str] = if arguments.contains(&"--auth") { &wrong } else { &[] };
        let output = run("swaks", [&common, arguments, login].concat()).await;
        assert_eq!(output.status.code(), Some(code), "{what}: {}", told("swaks", &output));
    }
    assert_eq!(db.value::<i64>("select count(*) from store.message").await, 0);
}

#[tokio::test]
async fn swaks_sends_a_large_attachment() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let folder = Folder::new();
    let attachment = noise(3 << 20);
    let file = format!("@{}", folder.file("noise.bin", &attachment));
    let port = daemon.port("smtps").to_string();
    succeed(
        "swaks",
        [
            "--server",
            "127.0.0.1",
            "--port",
            &port,
            "--tls-on-connect",
            "--timeout",
            "20",
            "--suppress-data",
            "--auth",
            "PLAIN",
            "--auth-user",
            BOB,
            "--auth-password",
            PASSWORD,
            "--from",
            BOB,
            "--to",
            ALICE,
            "--body",
            "see attachment",
            "--attach",
            &file,
        ],
    )
    .await;
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    let mut encoded = newest(&mut imap, 1, "BODY.PEEK[2]").await;
    encoded.retain(|byte| !byte.is_ascii_whitespace());
    assert!(STANDARD.decode(&encoded).unwrap() == attachment, "the attachment has changed");
}

// curl -----------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn curl_reads_and_writes_by_every_way() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let folder = Folder::new();
    let message = tricky("curl");
    let file = folder.file("message", &message);
    let user = format!("{ALICE}:{PASSWORD}");
    let port = |name| daemon.port(name);

    // Without leave, no password goes over a plain connection (RFC 9051 §6.2.3): 67 is curl's word for it.
    for url in
        [format!("imap://127.0.0.1:{}/INBOX", port("imap")), format!("pop3://127.0.0.1:{}/", port("pop3"))]
    {
        let output =
            run("curl", ["-sS", "-m", "20", "--login-options", "AUTH=PLAIN", "-u", &user, &url]).await;
        assert_eq!(output.status.code(), Some(67), "{url}: {}", told("curl", &output));
    }
    db.apply(
        "update control.imap set require_tls_for_login = false; update control.pop3 set require_tls_for_login = false",
    )
    .await;

    let send = format!("smtps://127.0.0.1:{}/client.example.net", port("smtps"));
    let from = format!("{BOB}:{PASSWORD}");
    succeed(
        "curl",
        ["-sSk", "-m", "20", "-u", &from, "--mail-from", BOB, "--mail-rcpt", ALICE, "-T", &file, &send],
    )
    .await;
    let ways: [(&str, &[&str]); 6] = [
        ("imap", &[]),
        ("imap", &["--ssl-reqd", "-k"]),
        ("imaps", &["-k"]),
        ("pop3", &[]),
        ("pop3", &["--ssl-reqd", "-k"]),
        ("pop3s", &["-k"]),
    ];
    for (scheme, how) in ways {
        let place = if scheme.starts_with("imap") { "INBOX;MAILINDEX=1" } else { "1" };
        let url = format!("{scheme}://127.0.0.1:{}/{place}", port(scheme));
        let got = succeed("curl", [&["-sS", "-m", "20", "-u", &user, &url], how].concat()).await;
        assert_eq!(body(&got), body(&message), "{url} {how:?}");
        let header = String::from_utf8_lossy(&got[..got.len() - body(&got).len()]).into_owned();
        assert!(header.contains("Subject: curl\r\n"), "{url}: {header}");
    }

    let inbox = format!("imaps://127.0.0.1:{}/INBOX", port("imaps"));
    succeed("curl", ["-sSk", "-m", "20", "-u", &user, "-T", &file, &inbox]).await;
    let found =
        succeed("curl", ["-sSk", "-m", "20", "-u", &user, "-X", "SEARCH HEADER SUBJECT curl", &inbox]).await;
    assert_eq!(String::from_utf8_lossy(&found).trim_end(), "* SEARCH 1 2");
    let second = succeed("curl", ["-sSk", "-m", "20", "-u", &user, &format!("{inbox};UID=2")]).await;
    assert_eq!(second, message);
    let list = format!("pop3s://127.0.0.1:{}/", port("pop3s"));
    let listing = succeed("curl", ["-sSk", "-m", "20", "-u", &user, &list]).await;
    assert!(String::from_utf8_lossy(&listing).ends_with(&format!("2 {}\r\n", message.len())));
}

// Python ---------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn imaplib_does_its_work_by_every_way() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let folder = Folder::new();
    db.apply("update control.imap set require_tls_for_login = false").await;
    python("imap.py", [daemon.port("imap"), daemon.port("imaps")], &certificate(&db, &folder).await).await;
}

#[tokio::test]
async fn poplib_does_its_work_by_every_way() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let folder = Folder::new();
    for number in 1..=5 {
        daemon.deliver("alice", &format!("Subject: {number}\n\nnumber {number}\n.\n..two\nGrüße\n")).await;
    }
    db.apply("update control.pop3 set require_tls_for_login = false").await;
    python("pop3.py", [daemon.port("pop3"), daemon.port("pop3s")], &certificate(&db, &folder).await).await;
    assert_eq!(db.value::<i64>("select count(*) from store.message").await, 2);
}

#[tokio::test]
async fn imapclient_does_its_work_by_every_way() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let folder = Folder::new();
    let library = root().join("target/imapclient");
    assert!(library.exists(), "IMAPClient is missing; install it: scripts/setup test");
    let script = root().join("tests/server/clients/imap_client.py");
    let [plain, tls] = ["imap", "imaps"].map(|name| daemon.port(name).to_string());
    let [script, library] = [script, library].map(|path| path.display().to_string());
    succeed("python3", [&script, &library, &plain, &tls, &certificate(&db, &folder).await]).await;
}

async fn python(script: &str, ports: [u16; 2], certificate: &str) {
    let script = root().join("tests/server/clients").join(script).to_str().unwrap().to_owned();
    let [plain, tls] = ports.map(|port| port.to_string());
    succeed("python3", [&script, &plain, &tls, certificate]).await;
}

// mbsync ---------------------------------------------------------------------------------------------------------

/// A mailbox as a client sees it: what each message is, by its Message-ID.
type Content = BTreeMap<String, (String, blake3::Hash)>;

const FOLDERS: [&str; 2] = ["INBOX", "Work"];

#[tokio::test]
async fn mbsync_syncs_500_messages_both_ways_without_a_difference() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let folder = Folder::new();
    let configuration = mbsync_configuration(&daemon, &folder, &certificate(&db, &folder).await);
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    imap.run("CREATE Work").await;
    for (mailbox, numbers) in FOLDERS.into_iter().zip([0..400, 400..500]) {
        append(&mut imap, mailbox, numbers).await;
    }

    mbsync(&configuration).await;
    let first = both(&mut imap, &folder).await;
    assert_eq!(first.values().map(Content::len).sum::<usize>(), 500);
    assert_eq!(
        ["", "S", "RS", "F", "DS"].map(str::to_owned),
        [0, 1, 2, 3, 4].map(|n| first["INBOX"][&id(n)].0.clone())
    );
    let (files, rows) = (files(&folder), rows(&db).await);
    mbsync(&configuration).await;
    assert!(self::files(&folder) == files, "the second sync changed the Maildir");
    assert!(self::rows(&db).await == rows, "the second sync changed the server's mailbox");

    // Changes on both sides, of different messages and of the same.
    imap.run("SELECT INBOX").await;
    imap.run("UID STORE 1:10 +FLAGS.SILENT (\\Flagged)").await;
    imap.run("UID STORE 11:20 FLAGS.SILENT (\\Answered \\Seen)").await;
    imap.run("UID STORE 21:30 +FLAGS.SILENT (\\Deleted)").await;
    imap.run("UID EXPUNGE 21:30").await;
    append(&mut imap, "INBOX", 500..510).await;
    let inbox = folder.0.join("mail/INBOX");
    for number in 40..50 {
        let old = find(&inbox, number);
        let name = old.file_name().unwrap().to_str().unwrap().split(":2,").next().unwrap().to_owned();
        std::fs::rename(old, inbox.join("cur").join(format!("{name}:2,RS"))).unwrap();
    }
    // Number 4 has uid 5, which is flagged on the server.
    let both_sides = find(&inbox, 4);
    let name = both_sides.file_name().unwrap().to_str().unwrap().split(":2,").next().unwrap().to_owned();
    std::fs::rename(&both_sides, inbox.join("cur").join(format!("{name}:2,FRS"))).unwrap();
    for number in 60..70 {
        std::fs::remove_file(find(&inbox, number)).unwrap();
    }
    for number in 510..520 {
        let lines = String::from_utf8_lossy(&message(number)).replace("\r\n", "\n");
        std::fs::write(inbox.join("new").join(format!("{number}.added")), lines).unwrap();
    }

    mbsync(&configuration).await;
    mbsync(&configuration).await;
    let last = both(&mut imap, &folder).await;
    assert_eq!(last["INBOX"].len(), 400 - 10 - 10 + 10 + 10);
    assert_eq!(last["Work"], first["Work"]);
    let flags = |number: usize| last["INBOX"].get(&id(number)).map(|(flags, _)| flags.as_str());
    let before = |number: usize| first["INBOX"][&id(number)].0.as_str();
    assert!(flags(0).unwrap().contains('F'), "{:?} was {}", flags(0), before(0));
    assert_eq!((flags(4), flags(12), flags(45)), (Some("FRS"), Some("RS"), Some("RS")));
    assert_eq!(flags(100), Some(before(100)));
    assert_eq!((flags(22), flags(65)), (None, None));
    assert!(flags(505).is_some() && flags(515).is_some());
}

fn mbsync_configuration(daemon: &Daemon<'_>, folder: &Folder, certificate: &str) -> String {
    let mail = folder.0.join("mail");
    std::fs::create_dir(&mail).unwrap();
    let mail = mail.display();
    folder.file(
        "mbsyncrc",
        format!(
            "IMAPStore far\nHost 127.0.0.1\nPort {}\nUser {ALICE}\nPass {PASSWORD}\nSSLType IMAPS\n\
             SystemCertificates no\nCertificateFile {certificate}\n\n\
             MaildirStore near\nPath {mail}/\nInbox {mail}/INBOX\nSubFolders Verbatim\n\n\
             Channel all\nFar :far:\nNear :near:\nPatterns INBOX Work\nSync All\nCreate Both\nExpunge Both\n\
             CopyArrivalDate yes\nSyncState *\n",
            daemon.port("imaps")
        ),
    )
}

async fn mbsync(configuration: &str) {
    succeed("mbsync", ["-q", "-c", configuration, "-a"]).await;
}

fn id(number: usize) -> String {
    format!("<{number}@sync.example.net>")
}

/// Messages of many kinds; each has a Message-ID of its own.
fn message(number: usize) -> Vec<u8> {
    let header = format!("From: a@example.net\r\nSubject: number {number}\r\nMessage-ID: {}\r\n", id(number));
    let rest: Vec<u8> = match number % 10 {
        0 => b"\r\n".to_vec(),
        1 => b"\r\nplain\r\n".to_vec(),
        2 => b"\r\nno line end at the end".to_vec(),
        3 => [b"\r\n".as_slice(), &b"x".repeat(5000), b"\r\n"].concat(),
        4 => "\r\nGrüße aus Köln\r\n".as_bytes().to_vec(),
        5 => b"\r\n8-bit of no charset: \xe9\xff\x80\r\n".to_vec(),
        6 => b"X-Folded: one\r\n two\r\n\tthree\r\n\r\n.\r\n..\r\nFrom here\r\n>From there\r\n\r\n\r\n".to_vec(),
        7 => b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n--b\r\n\r\none\r\n--b\r\n\
               Content-Type: message/rfc822\r\n\r\nSubject: inner\r\nMessage-ID: <inner@example.net>\r\n\r\ntext\r\n--b--\r\n"
            .to_vec(),
        8 => [b"\r\n".as_slice(), STANDARD.encode(noise(40_000)).as_bytes().chunks(76).collect::<Vec<_>>().join(&b"\r\n"[..]).as_slice(), b"\r\n"].concat(),
        _ => b"X-Empty:\r\nX-Strange\xff: \xc3\xbc\r\n\r\nbody\r\n".to_vec(),
    };
    [header.into_bytes(), rest].concat()
}

/// Puts messages into a mailbox, with all sorts of flags and dates.
async fn append(imap: &mut Dialogue, mailbox: &str, numbers: std::ops::Range<usize>) {
    const FLAGS: [&str; 5] = ["", "\\Seen", "\\Seen \\Answered", "\\Flagged", "\\Draft \\Seen"];
    for numbers in numbers.collect::<Vec<_>>().chunks(50) {
        let mut commands = Vec::new();
        for number in numbers {
            let (message, flags) = (message(*number), FLAGS[number % FLAGS.len()]);
            let (day, size) = (1 + number % 28, message.len());
            commands.extend_from_slice(
                format!("t APPEND {mailbox} ({flags}) \"{day:02}-Feb-2023 10:20:30 +0100\" {{{size}+}}\r\n")
                    .as_bytes(),
            );
            commands.extend_from_slice(&message);
            commands.extend_from_slice(b"\r\n");
        }
        imap.send_bytes(&commands).await;
        for _ in numbers {
            imap.expect("t OK [APPENDUID").await;
        }
    }
}

/// Both sides, which must be the same.
async fn both(imap: &mut Dialogue, folder: &Folder) -> BTreeMap<&'static str, Content> {
    let mut mailboxes = BTreeMap::new();
    for mailbox in FOLDERS {
        let (far, near) = (on_server(imap, mailbox).await, in_maildir(&folder.0.join("mail").join(mailbox)));
        for (id, message) in &far {
            assert_eq!(near.get(id), Some(message), "{mailbox} {id}: Maildir, server");
        }
        assert_eq!(
            near.len(),
            far.len(),
            "{mailbox}: the Maildir has messages that the server does not have"
        );
        mailboxes.insert(mailbox, far);
    }
    mailboxes
}

async fn on_server(imap: &mut Dialogue, mailbox: &str) -> Content {
    imap.run(&format!("SELECT {mailbox}")).await;
    let answers = imap.run("FETCH 1:* (FLAGS)").await;
    let flags: Vec<String> = answers
        .iter()
        .filter_map(|answer| answer.split_once("FLAGS ("))
        .map(|(_, list)| letters(list))
        .collect();
    let mut content = Content::new();
    imap.send("t FETCH 1:* (BODY.PEEK[])").await;
    for flags in flags {
        insert(&mut content, flags, &imap.expect_literal("* * FETCH").await);
    }
    imap.expect("t OK").await;
    content
}

/// The letters that a Maildir has for flags, in its order; keywords have none.
fn letters(list: &str) -> String {
    let list = list.split(')').next().unwrap();
    let pairs =
        [('D', "\\Draft"), ('F', "\\Flagged"), ('R', "\\Answered"), ('S', "\\Seen"), ('T', "\\Deleted")];
    pairs
        .iter()
        .filter(|(_, flag)| list.split(' ').any(|one| one == *flag))
        .map(|(letter, _)| letter)
        .collect()
}

fn in_maildir(path: &Path) -> Content {
    let mut content = Content::new();
    for file in messages(path) {
        let name = file.file_name().unwrap().to_str().unwrap();
        let flags = name.split_once(":2,").map_or("", |(_, flags)| flags);
        insert(&mut content, flags.to_owned(), &std::fs::read(&file).unwrap());
    }
    content
}

/// In a Maildir lines end with LF, and mbsync may leave its mark.
fn insert(content: &mut Content, flags: String, bytes: &[u8]) {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| !line.starts_with(b"X-TUID: "));
    let text: Vec<u8> = lines
        .flat_map(|line| line.strip_suffix(b"\r\n").map_or(line.to_vec(), |l| [l, b"\n"].concat()))
        .collect();
    let shown = String::from_utf8_lossy(&text);
    let id =
        shown.lines().find_map(|line| line.strip_prefix("Message-ID: ")).expect("a Message-ID").to_owned();
    let twice = content.insert(id, (flags, blake3::hash(&text)));
    assert!(twice.is_none(), "a message is there twice:\n{shown}");
}

fn messages(maildir: &Path) -> Vec<PathBuf> {
    let list = |part| std::fs::read_dir(maildir.join(part)).unwrap().map(|entry| entry.unwrap().path());
    list("cur").chain(list("new")).collect()
}

/// The file of a message.
fn find(maildir: &Path, number: usize) -> PathBuf {
    let line = format!("Message-ID: {}", id(number));
    let holds = |path: &PathBuf| String::from_utf8_lossy(&std::fs::read(path).unwrap()).contains(&line);
    messages(maildir)
        .into_iter()
        .find(holds)
        .unwrap_or_else(|| panic!("number {number} is not in the Maildir"))
}

/// The whole Maildir: names and content.
fn files(folder: &Folder) -> BTreeMap<PathBuf, blake3::Hash> {
    let all = FOLDERS.into_iter().flat_map(|mailbox| messages(&folder.0.join("mail").join(mailbox)));
    all.map(|path| (path.clone(), blake3::hash(&std::fs::read(path).unwrap()))).collect()
}

/// Every message on the server, with the number that each change raises.
async fn rows(db: &Database) -> Vec<String> {
    let rows = db.rows("select m::text from store.message m order by mailbox_id, uid").await;
    rows.iter().map(|row| row.get(0)).collect()
}
