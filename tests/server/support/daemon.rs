//! The daemon as people run it: the real binary, a process of its own, on ports of its own.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mailwright::directory::password;
use socket2::{Domain, Socket, Type};

use super::dialogue::{Dialogue, Language};
use super::{Database, PATIENCE, root};

/// The listeners of a new installation, by the names that tests use: service, TLS, mode.
const LISTENERS: [(&str, &str, &str, &str); 9] = [
    ("smtp", "smtp", "starttls", "standard"),
    ("submission", "smtp", "starttls", "submission"),
    ("smtps", "smtp", "implicit", "submission"),
    ("pop3", "pop3", "starttls", "standard"),
    ("pop3s", "pop3", "implicit", "standard"),
    ("imap", "imap", "starttls", "standard"),
    ("imaps", "imap", "implicit", "standard"),
    ("http", "webmail", "none", "standard"),
    ("https", "webmail", "implicit", "standard"),
];

/// The password of everybody at example.test.
pub const PASSWORD: &str = "mailwright";

/// A port on 127.0.0.1 that nobody else gets for as long as this lives, and that the daemon can listen on.
///
/// The socket is bound and never listens. It was bound without SO_REUSEADDR, so the system found a port that nobody
/// has; with that option set afterwards, a second socket with the option (the daemon's) may listen there.
#[derive(Debug)]
pub struct ReservedPort {
    socket: Socket,
    port: u16,
}

impl ReservedPort {
    /// Any port.
    pub fn any() -> ReservedPort {
        Self::at(0).expect("no free port")
    }

    /// This one, if it is free.
    pub fn at(port: u16) -> std::io::Result<ReservedPort> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).into())?;
        socket.set_reuse_address(true)?;
        let port = socket.local_addr()?.as_socket().unwrap().port();
        Ok(ReservedPort { socket, port })
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.port
    }
}

/// How a daemon is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notify {
    /// As usual.
    Heard,
    /// `--without-notify`: the clocks must find every change.
    Off,
}

/// A running daemon. It is killed with the test, and says what it logged when the test fails.
pub struct Daemon<'a> {
    db: &'a Database,
    child: Child,
    node: String,
    ports: Vec<ReservedPort>,
    offset: u16,
    log: PathBuf,
}

impl<'a> Daemon<'a> {
    /// Starts a daemon with every usual listener open, and the users alice, bob and carol at example.test. All of it is
    /// ready when this returns.
    pub async fn start(db: &'a Database) -> Daemon<'a> {
        Self::start_with(db, Notify::Heard).await
    }

    /// The same, with or without LISTEN.
    pub async fn start_with(db: &'a Database, notify: Notify) -> Daemon<'a> {
        let ports: Vec<ReservedPort> = LISTENERS.iter().map(|_| ReservedPort::any()).collect();
        for ((_, service, tls, mode), port) in LISTENERS.iter().zip(&ports) {
            db.sql(&format!(
                "update control.listener set address = '127.0.0.1', port = {}
                 where service = '{service}' and tls = '{tls}' and mode = '{mode}'",
                port.number()
            ))
            .await;
        }
        // Nobody asks the DNS of the world; a test of the checks brings its own, and switches them on.
        db.sql("update control.authentication set check_incoming = false").await;
        people(db).await;
        Self::run(db, "one", 0, ports, notify).await
    }

    /// A second node on the same database: the same listeners, on other ports.
    pub async fn second_node(&self) -> Daemon<'a> {
        let (offset, ports) = (1..2000)
            .find_map(|offset| Some((offset, self.shifted(offset)?)))
            .expect("no port offset with which all ports are free");
        Self::run(self.db, "two", offset, ports, Notify::Heard).await
    }

    fn shifted(&self, offset: u16) -> Option<Vec<ReservedPort>> {
        self.ports.iter().map(|port| ReservedPort::at(port.number().checked_add(offset)?).ok()).collect()
    }

    /// Starts it again after [`Self::kill9`] or [`Self::terminate`], on the same ports.
    pub async fn start_again(&mut self) {
        assert!(self.child.try_wait().unwrap().is_some(), "it still runs");
        let before = now(self.db).await;
        self.child = spawn(&self.db.url(), &self.node, self.offset, Notify::Heard, &self.log);
        self.ready(&before).await;
    }

    async fn run(
        db: &'a Database,
        node: &str,
        offset: u16,
        ports: Vec<ReservedPort>,
        notify: Notify,
    ) -> Daemon<'a> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let log = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("daemon-{}-{number}.log", std::process::id()));
        let before = now(db).await;
        let child = spawn(&db.url(), node, offset, notify, &log);
        let mut daemon = Daemon { db, child, node: node.to_owned(), ports, offset, log };
        daemon.ready(&before).await;
        daemon
    }

    /// Waits until the node obeys everything and all its listeners are open.
    async fn ready(&mut self, started_after: &str) {
        let question = format!(
            "select exists (select 1 from live.node, control.generation
                where name = '{node}' and started_at >= '{started_after}' and applied_generation >= value)
              and not exists (select 1 from control.listener l join control.service s on s.name = l.service
                where s.enabled and l.enabled and s.name in ('smtp', 'pop3', 'imap') and not exists (
                  select 1 from live.listener_status t where t.node = '{node}' and t.listener_id = l.id and t.state = 'open'))",
            node = self.node
        );
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !self.db.value::<bool>(&question).await {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the daemon ended: {status}");
            }
            if tokio::time::Instant::now() > deadline {
                let errors: Option<String> = self
                    .db
                    .value("select string_agg(error, '; ') from live.listener_status where error is not null")
                    .await;
                panic!("the daemon was not ready in time: {}", errors.unwrap_or_default());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The database it runs on.
    pub fn db(&self) -> &Database {
        self.db
    }

    /// Its name in `live.node`.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Port of a listener: smtp, submission, smtps, pop3, pop3s, imap, imaps.
    pub fn port(&self, name: &str) -> u16 {
        let place = LISTENERS.iter().position(|(known, ..)| *known == name);
        self.ports[place.unwrap_or_else(|| panic!("no listener is called {name}"))].number()
    }

    /// An SMTP connection to port 25, as other servers make it; nothing is read yet.
    pub async fn smtp(&self) -> Dialogue {
        Dialogue::plain(self.port("smtp"), Language::Smtp).await
    }

    /// An SMTP connection to the submission port with TLS from the first byte.
    pub async fn submission(&self) -> Dialogue {
        Dialogue::tls(self.port("smtps"), Language::Smtp).await
    }

    /// An IMAP connection under TLS, its greeting read.
    pub async fn imap(&self) -> Dialogue {
        let mut imap = Dialogue::tls(self.port("imaps"), Language::Imap).await;
        imap.expect("* OK").await;
        imap
    }

    /// A POP3 connection under TLS, its greeting read.
    pub async fn pop3(&self) -> Dialogue {
        let mut pop3 = Dialogue::tls(self.port("pop3s"), Language::Pop3).await;
        pop3.expect("+OK").await;
        pop3
    }

    /// Delivers a message from outside to `to` at example.test, and returns when it is acknowledged.
    pub async fn deliver(&self, to: &str, message: &str) {
        let mut smtp = self.smtp().await;
        smtp.expect("220").await;
        smtp.send("EHLO client.example.net").await;
        smtp.expect("250").await;
        smtp.send("MAIL FROM:<sender@example.net>").await;
        smtp.expect("250").await;
        smtp.send(&format!("RCPT TO:<{to}@example.test>")).await;
        smtp.expect("250").await;
        smtp.send("DATA").await;
        smtp.expect("354").await;
        smtp.data(message).await;
        smtp.expect("250").await;
        smtp.send("QUIT").await;
        smtp.expect("221").await;
    }

    /// Asks it to stop (SIGTERM) and waits for its end.
    pub async fn terminate(&mut self) -> ExitStatus {
        signal(self.pid(), libc::SIGTERM);
        self.ended().await
    }

    /// Kills it: nothing of it runs any more when this returns.
    pub async fn kill9(&mut self) {
        signal(self.pid(), libc::SIGKILL);
        assert_eq!(self.ended().await.signal(), Some(libc::SIGKILL));
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        let deadline = tokio::time::Instant::now() + PATIENCE * 3;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(tokio::time::Instant::now() < deadline, "the daemon does not end");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines.len().saturating_sub(40);
            eprintln!("--- the daemon's last words (node {}):\n{}\n---", self.node, lines[tail..].join("\n"));
        }
        std::fs::remove_file(&self.log).ok();
    }
}

async fn now(db: &Database) -> String {
    db.value("select clock_timestamp()::text").await
}

fn signal(pid: u32, number: i32) {
    // SAFETY: a child of ours that has not been waited for keeps its pid.
    assert_eq!(unsafe { libc::kill(pid as i32, number) }, 0);
}

fn spawn(url: &str, node: &str, offset: u16, notify: Notify, log: &std::path::Path) -> Child {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mailwright"));
    command.args(["serve", "--node", node, "--port-offset", &offset.to_string(), "--database-url", url]);
    if notify == Notify::Off {
        command.arg("--without-notify");
    }
    command.current_dir(root()).env_remove("DATABASE_URL").env("NO_COLOR", "1");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    // SAFETY: prctl is a system call and nothing else. It takes effect when the thread that starts the daemon ends:
    // the test's own, and so the daemon never outlives its test.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    command.spawn().expect("the daemon can be started")
}

/// The users alice, bob and carol; their hash is made once for all tests.
async fn people(db: &Database) {
    static STORED: OnceLock<password::Stored> = OnceLock::new();
    let stored = STORED.get_or_init(|| password::hash(&PASSWORD.into()).unwrap());
    let client = db.client().await;
    client
        .execute("insert into directory.domain (name) values ('example.test') on conflict do nothing", &[])
        .await
        .unwrap();
    client
        .execute(
            "insert into directory.account (domain_id, local_part, password_hash, scram)
             select d.id, person, $1::text, $2::text from directory.domain d, unnest(array['alice', 'bob', 'carol']) person
             where d.name = 'example.test' on conflict do nothing",
            &[&stored.hash, &stored.scram],
        )
        .await
        .unwrap();
}
