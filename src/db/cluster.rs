//! The private PostgreSQL cluster: a server of our own in the data directory, for whoever names no database.
//!
//! What must hold: it listens on a unix socket alone, in a folder that only its user and root can enter, and trusts
//! whoever reaches it there; it never runs as root; it runs durably (fsync and full pages are never touched here). It
//! outlives a daemon that crashes, and the next one adopts it. A cluster that is half made is never taken for one:
//! `initdb` works under another name and the result is renamed. One daemon owns a data directory, by a lock on a file.
//!
//! The files written here are few and small and are written at start, so they are written without going through
//! tokio's file threads.

mod error;
mod install;
mod place;
mod postmaster;
mod settings;

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::NoTls;

pub use error::Error;
use error::IoAt;
use install::{Programs, RunAs};
use place::Place;
use postmaster::{PidFile, Postmaster, Status, is_postmaster};
use settings::WalCompression;

/// The superuser of the private cluster, as which the daemon connects.
pub const USER: &str = "mailwright";
/// The database of the private cluster in which everything lives.
pub const DATABASE: &str = "mailwright";
/// The number in the socket's name; there is no TCP port.
const PORT: u16 = 5432;

/// How long `initdb` may take; it takes a second.
const INITDB_LIMIT: Duration = Duration::from_secs(120);
/// How long the sessions have to be ended and the last checkpoint to be written when stopping.
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// How long a connection may take; the server is on this machine and says that it is ready.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long the processes of a killed postmaster may need to notice and end.
const LEFTOVERS_LIMIT: Duration = Duration::from_secs(30);
/// How often a starting server is looked at; a start takes about 120 ms.
const LOOK: Duration = Duration::from_millis(20);
/// A server that ran this long before it ended is restarted at once, a shorter one after a growing pause.
const STEADY: Duration = Duration::from_secs(60);
/// The longest pause between two attempts to restart.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What can be chosen about the cluster beside its place.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder with PostgreSQL's programs, where they are not to be looked for.
    pub programs: Option<PathBuf>,
    /// As whom a new cluster is made and run where we are root.
    pub user: String,
    /// How long a start may take, recovery after a crash included, before [`Cluster::open`] gives up waiting.
    pub start_limit: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options { programs: None, user: "postgres".to_owned(), start_limit: Duration::from_secs(600) }
    }
}

/// A running private cluster.
///
/// Dropping it leaves the server running, for the next daemon to adopt; [`Cluster::stop`] stops it.
#[derive(Debug)]
pub struct Cluster {
    place: Place,
    programs: Programs,
    run_as: RunAs,
    wal: WalCompression,
    start_limit: Duration,
    postmaster: Postmaster,
    /// Locked for as long as we own the data directory.
    _lock: File,
}

impl Cluster {
    /// Makes the cluster below `data_dir` if there is none, and starts its server, or adopts the one that a crashed
    /// daemon left running. When this returns, the database [`DATABASE`] exists and can be connected to.
    ///
    /// If this future is dropped, a server may be left running; the next call adopts it.
    pub async fn open(data_dir: &Path, options: Options) -> Result<Cluster, Error> {
        std::fs::create_dir_all(data_dir).at("make the data directory", data_dir)?;
        let data_dir = data_dir.canonicalize().at("look at the data directory", data_dir)?;
        let lock = lock(&data_dir)?;
        let run_as = RunAs::find(&place::data_below(&data_dir), &options.user).await?;
        let place = Place::prepare(&data_dir, &run_as).await?;
        let bin = options.programs.as_deref();
        let programs = match place.major()? {
            Some(major) => Programs::of_major(major, bin, &place.data).await?,
            None => {
                let programs = Programs::newest(bin).await?;
                init(&programs, &run_as, &place).await?;
                programs
            }
        };
        let wal = wal_compression(&programs, &run_as, &place).await;
        let start_limit = options.start_limit;
        let postmaster = Postmaster::Down;
        let mut cluster = Cluster { place, programs, run_as, wal, start_limit, postmaster, _lock: lock };
        cluster.start_after_leftovers().await?;
        cluster.create_database().await?;
        Ok(cluster)
    }

    /// How to reach the cluster that runs below `data_dir`, without owning or starting it: for the commands beside
    /// `serve`. `None` if none runs.
    pub fn find(data_dir: &Path) -> Result<Option<tokio_postgres::Config>, Error> {
        let data = place::data_below(data_dir);
        let Ok(data) = data.canonicalize() else { return Ok(None) };
        let file = PidFile::read(&data).at("read the pid file in", &data)?;
        let running = file.filter(|file| file.status == Status::Ready && is_postmaster(file.pid, &data));
        Ok(running.and_then(|file| Some(config(&file.socket_dir?, file.port?, DATABASE))))
    }

    /// How to connect to the database `dbname` of this cluster. Stays right when the server is restarted.
    pub fn connect_config(&self, dbname: &str) -> tokio_postgres::Config {
        config(&self.place.socket_dir, PORT, dbname)
    }

    /// The server's main process, if one runs.
    pub fn pid(&self) -> Option<u32> {
        self.postmaster.pid()
    }

    /// Watches over the server and restarts it when it ends, with growing pauses; never returns. May be dropped at any
    /// moment, to call [`Cluster::stop`].
    pub async fn keep(&mut self) {
        let mut pause = Duration::ZERO;
        loop {
            let since = Instant::now();
            let how = self.postmaster.ended(&self.place.data).await;
            tracing::error!(data = %self.place.data.display(), %how, "the private PostgreSQL ended; restarting it");
            if since.elapsed() >= STEADY {
                pause = Duration::ZERO;
            }
            loop {
                sleep(pause).await;
                pause = (pause * 2).clamp(Duration::from_secs(1), LONGEST_PAUSE);
                match self.start_after_leftovers().await {
                    Ok(()) => break,
                    Err(error) => tracing::error!(%error, again_in = ?pause, "no private PostgreSQL"),
                }
            }
            tracing::info!(pid = self.pid(), "the private PostgreSQL is back");
        }
    }

    /// Stops the server: sessions are ended and everything is written; if that takes too long, at once and without,
    /// which costs the next start a recovery but loses nothing.
    pub async fn stop(mut self) -> Result<(), Error> {
        for (mode, limit) in [("fast", STOP_LIMIT), ("immediate", Duration::from_secs(10))] {
            self.tell_to_stop(mode, limit).await;
            // The pid file goes a moment before the process does.
            if timeout(Duration::from_secs(5), self.postmaster.ended(&self.place.data)).await.is_ok() {
                return Ok(());
            }
            tracing::warn!(data = %self.place.data.display(), mode, "the private PostgreSQL did not stop");
        }
        Err(Error::Stop { data: self.place.data.clone(), pid: self.pid().unwrap_or_default() })
    }

    async fn tell_to_stop(&self, mode: &str, limit: Duration) {
        let mut stop = self.run_as.command(self.programs.path("pg_ctl"), &self.place.folder);
        stop.args(["stop", "--wait", "--mode", mode, "--timeout"]).arg(limit.as_secs().to_string());
        stop.arg("--pgdata").arg(&self.place.data).kill_on_drop(true);
        match timeout(limit + CONNECT_LIMIT, stop.output()).await {
            Ok(Ok(output)) if output.status.success() => {}
            Ok(Ok(output)) => tracing::warn!(said = %said(&output), "pg_ctl stop"),
            Ok(Err(error)) => tracing::warn!(%error, "pg_ctl can't be run"),
            Err(_) => tracing::warn!("pg_ctl stop does not return"),
        }
    }

    /// When a postmaster is killed, its other processes need a moment to notice, and until then their shared memory
    /// keeps a new one from starting: that alone is worth waiting for.
    async fn start_after_leftovers(&mut self) -> Result<(), Error> {
        let until = Instant::now() + LEFTOVERS_LIMIT;
        loop {
            match self.start().await {
                Err(Error::Start { log, .. }) if log.contains("shared memory") && Instant::now() < until => {
                    sleep(Duration::from_millis(100)).await;
                }
                done => return done,
            }
        }
    }

    /// Adopts the running server or starts one, and waits until it can be connected to.
    async fn start(&mut self) -> Result<(), Error> {
        settings::write(&self.place.data, settings::memory(), self.wal, &self.run_as)?;
        let since = SystemTime::now();
        if !self.adopt().await? {
            self.postmaster = Postmaster::Child(self.spawn()?);
        }
        self.until_ready(since).await
    }

    /// Takes over the server that runs in this cluster, if one does. One that is stopping is waited for.
    async fn adopt(&mut self) -> Result<bool, Error> {
        let data = &self.place.data;
        let file = PidFile::read(data).at("read the pid file in", data)?;
        let Some(file) = file.filter(|file| is_postmaster(file.pid, data)) else { return Ok(false) };
        if self.postmaster.pid() != Some(file.pid) {
            self.postmaster = Postmaster::Adopted(file.pid);
        }
        if file.status == Status::Stopping {
            let stuck = Error::Stop { data: data.clone(), pid: file.pid };
            timeout(STOP_LIMIT, self.postmaster.ended(data)).await.map_err(|_| stuck)?;
            return Ok(false);
        }
        tracing::info!(pid = file.pid, data = %data.display(), "adopted the private PostgreSQL that was running");
        Ok(true)
    }

    fn spawn(&self) -> Result<tokio::process::Child, Error> {
        let start_log = self.place.start_log();
        let out = File::create(&start_log).at("write", &start_log)?;
        let err = out.try_clone().at("write", &start_log)?;
        let program = self.programs.path("postgres");
        let mut postgres = self.run_as.command(&program, &self.place.folder);
        postgres.arg("-D").arg(&self.place.data).arg("-k").arg(&self.place.socket_dir);
        postgres.args(["-p", &PORT.to_string(), "-c", "unix_socket_permissions=0700"]);
        postgres.stdout(Stdio::from(out)).stderr(Stdio::from(err)).process_group(0);
        let child = postgres.spawn().at("run", &program)?;
        tracing::info!(pid = child.id(), major = self.programs.major, data = %self.place.data.display(), "started the private PostgreSQL");
        Ok(child)
    }

    async fn until_ready(&mut self, since: SystemTime) -> Result<(), Error> {
        let until = Instant::now() + self.start_limit;
        loop {
            let data = &self.place.data;
            if self.postmaster.has_ended(data) {
                let how = self.postmaster.ended(data).await;
                self.postmaster = Postmaster::Down;
                return Err(Error::Start { data: data.clone(), how, log: self.place.last_words(since) });
            }
            let file = PidFile::read(data).at("read the pid file in", data)?;
            match file.filter(|file| self.postmaster.pid() == Some(file.pid)) {
                Some(PidFile { status: Status::Ready, socket_dir, .. }) => {
                    // An adopted server's socket is where it was started to be.
                    self.place.socket_dir = socket_dir.unwrap_or_else(|| self.place.socket_dir.clone());
                    return Ok(());
                }
                _ if Instant::now() >= until => {
                    let log = self.place.last_words(since);
                    return Err(Error::Slow { data: data.clone(), limit: self.start_limit, log });
                }
                _ => sleep(LOOK).await,
            }
        }
    }

    /// Makes the database on the first start; PostgreSQL has no `create database if not exists`.
    async fn create_database(&self) -> Result<(), Error> {
        let socket_dir = self.place.socket_dir.clone();
        let connect = |source| Error::Connect { socket_dir: self.place.socket_dir.clone(), source };
        let made = timeout(CONNECT_LIMIT * 3, async {
            let (client, connection) = self.connect_config("postgres").connect(NoTls).await?;
            let connection = tokio::spawn(connection);
            let there = "select from pg_catalog.pg_database where datname = $1";
            if client.query_opt(there, &[&DATABASE]).await?.is_none() {
                client.batch_execute("create database mailwright").await?;
            }
            drop(client);
            if let Ok(Err(error)) = connection.await {
                tracing::debug!(%error, "the connection that made the database");
            }
            Ok(())
        });
        made.await.map_err(|_| Error::Silent(socket_dir))?.map_err(connect)
    }
}

fn config(socket_dir: &Path, port: u16, dbname: &str) -> tokio_postgres::Config {
    let mut config = tokio_postgres::Config::new();
    config.host_path(socket_dir).port(port).user(USER).dbname(dbname).connect_timeout(CONNECT_LIMIT);
    config
}

/// Keeps a second daemon out of the data directory. The lock goes with the process, however that ends.
fn lock(data_dir: &Path) -> Result<File, Error> {
    let path = data_dir.join("mailwright.lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path).at("open", &path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::InUse(data_dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(error).at("lock", &path),
    }
}

/// Makes the cluster, whole or not at all.
async fn init(programs: &Programs, run_as: &RunAs, place: &Place) -> Result<(), Error> {
    let new = place.folder.join("data.new");
    // Not every system has C.UTF-8; C sorts the same and differs in upper and lower case of letters beyond ASCII.
    let mut output = initdb(programs, run_as, place, &new, "C.UTF-8").await?;
    if !output.status.success() && String::from_utf8_lossy(&output.stderr).contains("invalid locale name") {
        output = initdb(programs, run_as, place, &new, "C").await?;
    }
    if !output.status.success() {
        let (how, output) = (output.status.to_string(), said(&output));
        return Err(Error::Program { program: "initdb", data: place.data.clone(), how, output });
    }
    std::fs::rename(&new, &place.data).at("rename the new cluster to", &place.data)?;
    File::open(&place.folder).and_then(|folder| folder.sync_all()).at("write", &place.folder)?;
    tracing::info!(major = programs.major, data = %place.data.display(), "made a private PostgreSQL cluster");
    Ok(())
}

async fn initdb(
    programs: &Programs,
    run_as: &RunAs,
    place: &Place,
    new: &Path,
    locale: &str,
) -> Result<Output, Error> {
    match std::fs::remove_dir_all(new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).at("remove", new),
        _ => {}
    }
    let program = programs.path("initdb");
    let mut initdb = run_as.command(&program, &place.folder);
    initdb.args(["--username", USER, "--encoding", "UTF8", "--locale", locale, "--lc-messages", "C"]);
    // Trust holds for the socket in its private folder. Whoever opens a TCP port in local.conf meets passwords.
    initdb.args(["--auth-local", "trust", "--auth-host", "scram-sha-256", "--no-instructions"]);
    // A disk that returns other bytes than were written must not go unnoticed in a mail store.
    initdb.args(["--data-checksums", "--pgdata"]).arg(new).kill_on_drop(true);
    match timeout(INITDB_LIMIT, initdb.output()).await {
        Ok(output) => output.at("run", &program),
        Err(_) => {
            let how = format!("no end after {} s", INITDB_LIMIT.as_secs());
            Err(Error::Program { program: "initdb", data: place.data.clone(), how, output: String::new() })
        }
    }
}

/// Asks the server program whether it knows lz4.
async fn wal_compression(programs: &Programs, run_as: &RunAs, place: &Place) -> WalCompression {
    let mut ask = run_as.command(programs.path("postgres"), &place.folder);
    ask.arg("-D")
        .arg(&place.data)
        .args(["-c", "wal_compression=lz4", "-C", "wal_compression"])
        .kill_on_drop(true);
    match timeout(CONNECT_LIMIT, ask.output()).await {
        Ok(Ok(output)) if output.status.success() => WalCompression::Lz4,
        _ => WalCompression::Pglz,
    }
}

fn said(output: &Output) -> String {
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    format!("{}\n{}", out.trim(), err.trim()).trim().to_owned()
}

#[cfg(test)]
mod tests;
