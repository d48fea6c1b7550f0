//! Dialogues with a session alone: no socket, and a database that is not there.

use std::collections::HashSet;
use std::net::SocketAddr;

use super::*;
use crate::control::{Config, Control, Node, Registry};
use crate::db::listen::Bells;
use crate::db::{Db, Target};
use crate::directory::Directory;
use crate::intake::Committer;
use crate::log::Log;
use crate::mail::{AccountId, MailboxId};
use crate::net::limit::{Caps, Limits};
use crate::net::talk::Session as _;
use crate::queue::Inlet;
use crate::screen::Screen;
use crate::store::Store;

fn config(pop3: serde_json::Value) -> Config {
    let mut settings = serde_json::json!({
        "require_tls_for_login": true, "idle_timeout_seconds": 600, "login_timeout_seconds": 60, "max_errors": 5,
    });
    settings.as_object_mut().unwrap().extend(pop3.as_object().unwrap().clone());
    Config::sample(&serde_json::json!({
        "pop3": settings,
        "server": { "hostname": "mail.example.test" },
        "dns": { "servers": ["127.0.0.1:9"], "timeout_milliseconds": 100, "attempts": 1 },
        "services": [{ "name": "pop3", "enabled": true, "max_connections_per_account": 1 }],
    }))
}

struct Dialogue {
    session: Session,
    limits: Arc<Limits>,
}

impl Dialogue {
    fn new(listener: TlsMode, pop3: serde_json::Value) -> Self {
        let target = Target::parse("host=/nonexistent user=nobody dbname=none sslmode=disable").unwrap();
        let db = Db::new(target, 1).unwrap();
        let node = Node { name: "test".to_owned(), boot: [0; 16] };
        let registry = Registry::detached();
        let control = Control::start(db, node, registry, Bells::default(), config(pop3));
        let store = Store::start(control.clone());
        let dns = crate::dns::Dns::new(&control.config().dns.settings()).unwrap();
        let directory = Directory::start(control.clone(), dns.clone()).unwrap();
        let committer = Committer::start(&store, Inlet::new().0, Log::closed());
        let peer: SocketAddr = "192.0.2.1:1110".parse().unwrap();
        let handle = control.registry.enter(SERVICE, 1, peer);
        let limits = control.limits.clone();
        let guard = limits.admit(SERVICE, peer.ip(), Caps::default()).unwrap();
        let verify = crate::verify::Verify::start(control.clone(), dns.clone());
        let screen = Screen::start(control.clone(), dns.clone());
        let house =
            Arc::new(House { control, store, directory, dns, verify, committer, screen, log: Log::closed() });
        Self { session: Session::new(house, Arc::default(), listener, handle, guard), limits }
    }

    /// With TLS, before login.
    fn secured() -> Self {
        let mut dialogue = Self::new(TlsMode::Starttls, serde_json::json!({}));
        dialogue.secure();
        dialogue
    }

    fn secure(&mut self) {
        self.session.secured(&TlsInfo {
            version: "TLSv1.3",
            cipher: "TLS_AES_256_GCM_SHA384".to_owned(),
            sni: None,
            exporter: Some([7; 32]),
            server_end_point: None,
        });
    }

    /// Logged in, three messages: 100, 200 and 300 bytes.
    fn logged_in() -> Self {
        let mut dialogue = Self::secured();
        let mut maildrop = Maildrop::new(AccountId(1), MailboxId(2), 77);
        let mut taken = HashSet::new();
        maildrop.push(4, 100, None, &mut taken);
        maildrop.push(7, 200, Some("imported"), &mut taken);
        maildrop.push(9, 300, None, &mut taken);
        dialogue.session.state = State::Transaction(Box::new(maildrop));
        dialogue
    }

    async fn say(&mut self, bytes: &[u8]) -> (String, Next) {
        let (mut input, mut output) = (BytesMut::from(bytes), BytesMut::new());
        let mut next = Next::Continue;
        while next == Next::Continue
            && let Some(line) = self.session.frame(&mut input)
        {
            next = self.session.handle(line, &mut Out::memory(&mut output)).await;
        }
        (String::from_utf8(output.to_vec()).unwrap(), next)
    }

    /// Says lines, each with the beginning of its answer, or all of it where that has line ends.
    async fn expect(&mut self, lines: &[(&str, &str)]) {
        for (line, expected) in lines {
            let (answer, next) = self.say(format!("{line}\r\n").as_bytes()).await;
            match expected.contains('\n') {
                true => assert_eq!(answer, *expected, "{line}"),
                false => assert!(answer.starts_with(expected), "{line}: {answer}"),
            }
            assert_eq!(next, Next::Continue, "{line}");
            assert!(answer.ends_with("\r\n"), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn no_password_without_tls() {
    let mut pop3 = Dialogue::new(TlsMode::Starttls, serde_json::json!({}));
    let first = "-ERR [AUTH] a password may not be sent in the clear: STLS first\r\n";
    pop3.expect(&[
        ("USER alice", first),
        ("PASS x", first),
        ("AUTH PLAIN AGEAYg==", first),
        ("AUTH LOGIN", first),
    ])
    .await;
    let capa = pop3.say(b"CAPA\r\n").await.0;
    assert!(capa.contains("\r\nSTLS\r\n") && capa.contains("\r\nSASL SCRAM-SHA-256\r\n"), "{capa}");
    assert!(!capa.contains("\r\nUSER\r\n"), "{capa}");

    let mut pop3 = Dialogue::new(TlsMode::None, serde_json::json!({}));
    pop3.expect(&[
        ("STLS", "-ERR TLS is not offered"),
        ("USER alice", "-ERR [AUTH] a password may not be sent in the clear: connect to a port with TLS"),
    ])
    .await;
    let allowed = serde_json::json!({ "require_tls_for_login": false, "login_delay_seconds": 60 });
    let mut pop3 = Dialogue::new(TlsMode::None, allowed);
    pop3.expect(&[("USER alice", "+OK")]).await;
    let capa = pop3.say(b"CAPA\r\n").await.0;
    assert!(capa.contains("\r\nUSER\r\n") && capa.contains("\r\nLOGIN-DELAY 60\r\n"), "{capa}");
    assert!(capa.contains("\r\nSASL SCRAM-SHA-256 PLAIN LOGIN\r\n") && !capa.contains("STLS"), "{capa}");
}

#[tokio::test]
async fn out_of_turn_is_refused() {
    let mut pop3 = Dialogue::secured();
    for line in ["STAT", "LIST", "RETR 1", "NOOP"] {
        pop3.session.refused = 0;
        pop3.expect(&[(line, "-ERR log in before ")]).await;
    }
    pop3.session.refused = 0;
    pop3.expect(&[
        ("PASS x", "-ERR USER first"),
        ("STLS", "-ERR TLS is active"),
        ("APOP a b", "-ERR APOP is not"),
    ])
    .await;
    let mut pop3 = Dialogue::logged_in();
    for line in ["USER a", "PASS a", "AUTH", "STLS", "UTF8", "APOP a b"] {
        pop3.session.refused = 0;
        pop3.expect(&[(line, "-ERR you are logged in: it is too late for ")]).await;
    }
}

#[tokio::test]
async fn tls_forgets_what_was_said_before() {
    let mut pop3 = Dialogue::new(TlsMode::Starttls, serde_json::json!({ "require_tls_for_login": false }));
    pop3.expect(&[("USER alice", "+OK")]).await;
    assert_eq!(pop3.say(b"STLS\r\n").await, ("+OK begin TLS\r\n".to_owned(), Next::StartTls));
    pop3.secure();
    pop3.expect(&[("PASS secret", "-ERR USER first")]).await;
    let capa = pop3.say(b"CAPA\r\n").await.0;
    assert!(capa.contains("\r\nSASL SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN\r\n"), "{capa}");
    assert!(capa.contains("\r\nUSER\r\n") && !capa.contains("STLS"), "{capa}");
}

#[tokio::test]
async fn the_greeting_offers_no_apop() {
    let mut pop3 = Dialogue::secured();
    let mut output = BytesMut::new();
    pop3.session.greet(&mut Out::memory(&mut output)).await;
    assert_eq!(&output[..], b"+OK mail.example.test POP3 server ready\r\n");
    pop3.expect(&[
        ("AUTH", "+OK mechanisms\r\nSCRAM-SHA-256-PLUS\r\nSCRAM-SHA-256\r\nPLAIN\r\nLOGIN\r\n.\r\n"),
        ("UTF8", "+OK"),
        ("LANG", "+OK languages\r\nen English\r\ni-default the server's own: English\r\n.\r\n"),
        ("LANG *", "+OK en "),
        ("LANG EN", "+OK en "),
        ("lang i-default", "+OK i-default "),
        ("LANG tlh", "-ERR "),
    ])
    .await;
    assert_eq!(pop3.say(b"QUIT\r\n").await, ("+OK bye\r\n".to_owned(), Next::Close));
}

#[tokio::test]
async fn sasl_exchanges_are_cancelled_and_refused() {
    let mut pop3 = Dialogue::secured();
    pop3.expect(&[
        ("AUTH PLAIN", "+ \r\n"),
        ("*", "-ERR authentication cancelled"),
        ("AUTH LOGIN", "+ VXNlcm5hbWU6\r\n"),
        ("not base64", "-ERR the response is not base64"),
        ("AUTH CRAM-MD5", "-ERR "),
    ])
    .await;
    pop3.session.refused = 0;
    let long = [b"AUTH PLAIN\r\n".to_vec(), vec![b'A'; 13_000], b"\r\nUTF8\r\n".to_vec()].concat();
    let (answer, _) = pop3.say(&long).await;
    assert_eq!(answer, "+ \r\n-ERR the line is too long; authentication is over\r\n+OK UTF-8 it is\r\n");
}

#[tokio::test]
async fn without_the_database_the_session_stays() {
    let mut pop3 = Dialogue::secured();
    for _ in 0..3 {
        // More often than max_errors allows: it isn't the client's fault.
        pop3.expect(&[
            ("USER alice", "+OK"),
            ("PASS mailwright", "-ERR [SYS/TEMP] "),
            ("AUTH PLAIN AGFsaWNlAHNlY3JldA==", "-ERR [SYS/TEMP] "),
        ])
        .await;
    }
    let mut pop3 = Dialogue::logged_in();
    pop3.expect(&[("RETR 1", "-ERR [SYS/TEMP] "), ("TOP 1 0", "-ERR [SYS/TEMP] "), ("DELE 1", "+OK")]).await;
    let (answer, next) = pop3.say(b"QUIT\r\n").await;
    assert!(answer.starts_with("-ERR [SYS/TEMP] the marked messages could not be deleted"), "{answer}");
    assert_eq!(next, Next::Close);
}

#[tokio::test]
async fn a_login_that_comes_to_nothing_counts_for_nobody() {
    let mut pop3 = Dialogue::secured();
    let login = Login {
        account: AccountId(5),
        address: "a@example.test".to_owned(),
        max_message: 1,
        max_priority: 0,
        manages_domain: false,
    };
    let refusal = pop3.session.enter(login.clone()).await.unwrap_err();
    assert_eq!(refusal.code, Some(Code::SysTemp));
    let mut other = pop3.limits.admit(SERVICE, "192.0.2.9".parse().unwrap(), Caps::default()).unwrap();
    other.login(5, Some(1)).unwrap();
    let refusal = pop3.session.enter(login.clone()).await.unwrap_err();
    assert_eq!(refusal.code, Some(Code::InUse));
    drop(other);
    pop3.session.logins.admit(AccountId(5), Duration::from_secs(60), Instant::now()).unwrap();
    let slow = config(serde_json::json!({ "login_delay_seconds": 60 }));
    pop3.session.house.control.replace_config(slow);
    assert_eq!(pop3.session.enter(login).await.unwrap_err().code, Some(Code::LoginDelay));
}

#[tokio::test]
async fn the_maildrop_is_listed_and_marked() {
    let mut pop3 = Dialogue::logged_in();
    pop3.expect(&[
        ("STAT", "+OK 3 600\r\n"),
        ("LIST", "+OK 3 messages (600 octets)\r\n1 100\r\n2 200\r\n3 300\r\n.\r\n"),
        ("LIST 2", "+OK 2 200\r\n"),
        ("LIST 4", "-ERR there is no message 4"),
        ("UIDL", "+OK unique ids\r\n1 77.4\r\n2 imported\r\n3 77.9\r\n.\r\n"),
        ("UIDL 3", "+OK 3 77.9\r\n"),
        ("DELE 2", "+OK"),
        ("DELE 2", "-ERR message 2 is deleted"),
        ("RETR 2", "-ERR message 2 is deleted"),
        ("LIST", "+OK 2 messages (400 octets)\r\n1 100\r\n3 300\r\n.\r\n"),
        ("UIDL", "+OK unique ids\r\n1 77.4\r\n3 77.9\r\n.\r\n"),
        ("STAT", "+OK 2 400\r\n"),
        ("RSET", "+OK the maildrop has 3 messages (600 octets)\r\n"),
        ("STAT", "+OK 3 600\r\n"),
        ("NOOP", "+OK"),
    ])
    .await;
    assert_eq!(pop3.say(b"QUIT\r\n").await, ("+OK bye\r\n".to_owned(), Next::Close));
}

#[tokio::test]
async fn pipelined_commands_are_answered_in_order() {
    let mut pop3 = Dialogue::logged_in();
    let (answer, next) = pop3.say(b"STAT\r\nDELE 1\nLIST 1\r\nNOOP\r\n").await;
    let starts: Vec<&str> = answer.lines().map(|line| line.get(..4).unwrap()).collect();
    assert_eq!((starts, next), (vec!["+OK ", "+OK ", "-ERR", "+OK "], Next::Continue));
}

#[tokio::test]
async fn too_many_refusals_close() {
    let mut pop3 = Dialogue::logged_in();
    let long = "x".repeat(300);
    for line in ["XYZZY", "STAT\0", "LIST 0", long.as_str()] {
        pop3.expect(&[(line, "-ERR ")]).await;
    }
    assert_eq!(pop3.say(b"RETR\r\n").await, ("-ERR write RETR message\r\n".to_owned(), Next::Close));
}

#[tokio::test]
async fn the_time_to_log_in_is_not_prolonged_by_talking() {
    let mut pop3 = Dialogue::new(TlsMode::Starttls, serde_json::json!({ "login_timeout_seconds": 0 }));
    assert_eq!(pop3.session.patience(), Duration::ZERO);
    let (answer, next) = pop3.say(b"CAPA\r\n").await;
    assert_eq!((answer.as_str(), next), ("-ERR you took too long to log in\r\n", Next::Close));
    assert_eq!(Dialogue::logged_in().session.patience(), Duration::from_secs(600));
}

#[tokio::test]
async fn every_farewell_is_a_refusal() {
    for why in [
        Farewell::Shutdown,
        Farewell::Terminated,
        Farewell::IdleTimeout,
        Farewell::TooSlow,
        Farewell::TooLong,
    ] {
        let mut output = BytesMut::new();
        Dialogue::logged_in().session.farewell(why, &mut Out::memory(&mut output));
        assert!(output.starts_with(b"-ERR ") && output.ends_with(b"\r\n"), "{why:?}");
    }
}
