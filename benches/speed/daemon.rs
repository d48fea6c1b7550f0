//! Mailwright as a user runs it: the release program with its private PostgreSQL, durable as shipped, in a new data
//! directory.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use mailwright::db::cluster::Cluster;
use mailwright::directory::password;
use mailwright::sasl::Secret;
use tokio_postgres::NoTls;
use tokio_postgres::types::ToSql;

use super::child;
use super::trouble::{Told as _, Trouble, within};

/// Added to every port.
const OFFSET: u16 = 25_000;
/// Where it takes mail.
pub const SMTP: u16 = OFFSET + 25;
/// Where it takes mail of its users.
pub const SUBMISSION: u16 = OFFSET + 587;
/// Where it speaks IMAP.
pub const IMAP: u16 = OFFSET + 143;
/// Where it speaks IMAP over TLS.
pub const IMAPS: u16 = OFFSET + 993;
/// Where its pages are.
pub const HTTP: u16 = OFFSET + 80;
/// The accounts' password.
pub const PASSWORD: &str = "secret";

const READY: Duration = Duration::from_secs(60);
/// Its own limits are 30 s for sessions and 60 s for PostgreSQL.
const STOPPED: Duration = Duration::from_secs(100);
const STATEMENT: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(20);

/// A running daemon; stopped, and its PostgreSQL with it, when dropped.
pub struct Daemon {
    process: Child,
    data_dir: PathBuf,
    /// A connection to its database, as `mailwright sql` has one.
    pub sql: tokio_postgres::Client,
}

/// Until the daemon is known to run, a failure must stop it too.
struct Starting(Option<Child>, PathBuf);

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(process) = &mut self.0 {
            stop(process, &self.1);
        }
    }
}

impl Daemon {
    /// Starts it on a data directory, which is made if it is not there.
    pub async fn start(data_dir: &Path) -> Result<Self, Trouble> {
        for port in [SMTP, SUBMISSION, IMAP, IMAPS, HTTP] {
            TcpListener::bind(("127.0.0.1", port)).told(&format!(
                "have port {port}, which the benchmark needs (ports {OFFSET} to {} should be free)",
                OFFSET + 999
            ))?;
        }
        let log_path = data_dir.with_extension("log");
        let log = std::fs::File::create(&log_path).told("write the daemon's log")?;
        let errors = log.try_clone().told("write the daemon's log")?;
        let mut command = child::command(Path::new(env!("CARGO_BIN_EXE_mailwright")), libc::SIGTERM);
        command.arg("serve").arg("--data-dir").arg(data_dir).args(["--port-offset", &OFFSET.to_string()]);
        // The person's own server must not be the one that is measured.
        for name in
            ["DATABASE_URL", "MAILWRIGHT_DATA_DIR", "MAILWRIGHT_PORT_OFFSET", "MAILWRIGHT_NODE", "RUST_LOG"]
        {
            command.env_remove(name);
        }
        command.env("NO_COLOR", "1");
        let process = command.stdout(log).stderr(errors).spawn().told("start mailwright")?;
        let mut starting = Starting(Some(process), data_dir.to_owned());
        let quoted = |what: &str| Trouble::broken(format!("{what}; its log ends with:\n{}", tail(&log_path)));
        let deadline = Instant::now() + READY;
        loop {
            let text = std::fs::read_to_string(&log_path).unwrap_or_default();
            if text.contains("NOT LISTENING") {
                return Err(quoted("mailwright does not listen"));
            }
            if text.contains("is running as node") {
                break;
            }
            if let Some(process) = &mut starting.0
                && let Ok(Some(status)) = process.try_wait()
            {
                return Err(quoted(&format!("mailwright ended at once ({status})")));
            }
            if Instant::now() > deadline {
                return Err(quoted(&format!("mailwright is not ready after {} s", READY.as_secs())));
            }
            tokio::time::sleep(LOOK).await;
        }
        let sql = connect(data_dir).await?;
        match starting.0.take() {
            Some(process) => Ok(Self { process, data_dir: data_dir.to_owned(), sql }),
            None => Err(quoted("mailwright is gone")),
        }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The main process of its PostgreSQL.
    pub fn postmaster(&self) -> Result<u32, Trouble> {
        postmaster(&self.data_dir).ok_or_else(|| Trouble::broken("there is no postmaster.pid"))
    }

    /// Another connection to its database.
    pub async fn connect(&self) -> Result<tokio_postgres::Client, Trouble> {
        connect(&self.data_dir).await
    }

    /// Runs statements, each on its own; then waits until the daemon obeys them.
    pub async fn obey(&self, statements: &[&str]) -> Result<(), Trouble> {
        for statement in statements {
            within(STATEMENT, statement, self.sql.batch_execute(statement)).await?;
        }
        let wait = "select control.wait_applied(null, '30 seconds')";
        within(STATEMENT, "obeying a change", self.sql.query_one(wait, &[])).await?;
        Ok(())
    }

    /// Makes the accounts u1 to u`count` of example.test, all with the same password.
    pub async fn make_accounts(&self, count: i32) -> Result<(), Trouble> {
        let stored = password::hash(&Secret::from(PASSWORD)).told("hash a password")?;
        let insert = include_str!("sql/make_accounts.sql");
        // The senders of the benchmark's mail are made up; the peers do not ask for them either.
        self.obey(&[
            "insert into directory.domain (name) values ('example.test')",
            "update control.smtp set refuse_unknown_local_senders = false",
        ])
        .await?;
        let values: [&(dyn ToSql + Sync); 3] = [&count, &stored.hash, &stored.scram];
        within(STATEMENT, "making accounts", self.sql.execute(insert, &values)).await?;
        self.obey(&[]).await
    }

    /// Stops it and waits for it.
    pub async fn stop(mut self) -> Result<(), Trouble> {
        child::signal(self.pid(), libc::SIGTERM);
        let deadline = Instant::now() + STOPPED;
        loop {
            match self.process.try_wait().told("wait for mailwright")? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(Trouble::broken(format!("mailwright ended with {status}"))),
                None if Instant::now() > deadline => {
                    return Err(Trouble::broken(format!(
                        "mailwright runs on {} s after SIGTERM",
                        STOPPED.as_secs()
                    )));
                }
                None => tokio::time::sleep(LOOK).await,
            }
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        stop(&mut self.process, &self.data_dir);
    }
}

/// Stops a daemon whatever it takes; nothing to do when it has been stopped and waited for.
fn stop(process: &mut Child, data_dir: &Path) {
    for signal in [libc::SIGTERM, libc::SIGKILL] {
        let deadline = Instant::now() + STOPPED;
        while Instant::now() < deadline {
            if !matches!(process.try_wait(), Ok(None)) {
                break;
            }
            child::signal(process.id(), signal);
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    // A daemon that was killed leaves its PostgreSQL running, for the next one to adopt.
    if let (Ok(Some(_)), Some(pid)) = (Cluster::find(data_dir), postmaster(data_dir)) {
        child::signal(pid, libc::SIGQUIT);
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// The postmaster that runs or has been killed.
fn postmaster(data_dir: &Path) -> Option<u32> {
    let text = std::fs::read_to_string(data_dir.join("postgres/data/postmaster.pid")).ok()?;
    text.lines().next()?.trim().parse().ok()
}

async fn connect(data_dir: &Path) -> Result<tokio_postgres::Client, Trouble> {
    let config = Cluster::find(data_dir).told("find the private PostgreSQL")?;
    let config = config.ok_or_else(|| Trouble::broken("the private PostgreSQL does not run"))?;
    let (client, connection) = within(STATEMENT, "connecting to PostgreSQL", config.connect(NoTls)).await?;
    // Ends when the client is dropped; its errors reach the client's statements.
    tokio::spawn(async move { connection.await.ok() });
    Ok(client)
}

fn tail(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
