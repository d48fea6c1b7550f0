//! A PostgreSQL cluster in a temporary directory, on a unix socket there and nowhere else.
//!
//! Each has a watchdog: a shell that waits for the end of a pipe whose other end this process holds. However the test
//! process ends, the pipe ends with it, and the watchdog stops the cluster and removes its directory.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Whether a crash of the machine may lose what was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// It may: nothing is flushed, everything is quick.
    None,
    /// As in production: for tests that kill PostgreSQL and look what is left.
    Real,
}

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    programs: PathBuf,
    dir: PathBuf,
    watchdog: Child,
}

/// When PostgreSQL stops: with `-m immediate` it is as if the machine had crashed.
const STOP: &str = r#"read -r _; "$1/pg_ctl" -D "$2/data" -m immediate -w stop >/dev/null 2>&1; rm -rf "$2""#;

impl Cluster {
    /// Makes and starts a cluster. Takes about a second: tests that don't harm PostgreSQL share one
    /// ([`super::Database::new`]).
    pub fn start_new(durability: Durability) -> Cluster {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let programs = programs();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("mailwright-test-{}-{number}", std::process::id()));
        std::fs::create_dir(&dir).unwrap_or_else(|e| panic!("cannot make {}: {e}", dir.display()));
        if let Some(postgres) = run_as() {
            std::os::unix::fs::chown(&dir, Some(postgres.uid), Some(postgres.gid)).unwrap();
        }
        let mut watchdog = unprivileged("sh");
        watchdog.args(["-c", STOP, "watchdog"]).arg(&programs).arg(&dir);
        // A group of its own: Ctrl-C ends the tests, and their end is what the watchdog waits for.
        watchdog.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let cluster = Cluster { watchdog: watchdog.spawn().expect("sh"), programs, dir };
        cluster.run(
            "initdb",
            &["-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N"],
        );
        let flush = match durability {
            Durability::None => "fsync = off\nfull_page_writes = off\nautovacuum = off\n",
            Durability::Real => "fsync = on\n",
        };
        let settings = format!(
            "listen_addresses = ''\nunix_socket_directories = '{}'\nmax_connections = 500\nshared_buffers = 64MB\n\
             max_wal_size = 4GB\ntimezone = 'UTC'\n{flush}",
            cluster.dir.display()
        );
        let file = cluster.dir.join("data/postgresql.conf");
        let text = std::fs::read_to_string(&file).unwrap() + "\n" + &settings;
        std::fs::write(&file, text).unwrap();
        cluster.start();
        // Not as a superuser: that the daemon needs no more rights than its own database gives is part of every test.
        cluster.superuser("create role mailwright login createdb");
        // What the daemon makes itself where it may make roles.
        for role in ["mailwright_web", "mailwright_report"] {
            cluster.superuser(&format!("create role {role} nologin; grant {role} to mailwright"));
        }
        cluster
    }

    /// Runs statements as the superuser, which the daemon is not.
    pub fn superuser(&self, statements: &str) {
        let dir = self.dir.to_str().unwrap();
        self.run("psql", &["-qXh", dir, "-U", "postgres", "-v", "ON_ERROR_STOP=1", "-c", statements]);
    }

    /// Starts PostgreSQL and waits until it answers; after [`Self::stop_immediate`] it recovers first.
    pub fn start(&self) {
        self.run("pg_ctl", &["-D", "data", "-l", "log", "-w", "-t", "60", "start"]);
    }

    /// Stops PostgreSQL as a crash would.
    pub fn stop_immediate(&self) {
        self.run("pg_ctl", &["-D", "data", "-m", "immediate", "-w", "stop"]);
    }

    /// How a database of it is reached.
    pub fn url(&self, database: &str) -> String {
        format!("host={} user=mailwright dbname={database}", self.dir.display())
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let output = unprivileged(self.programs.join(program))
            .args(arguments)
            .current_dir(&self.dir)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            // The postmaster keeps what it inherits: a pipe would never end.
            .stdout(Stdio::null())
            .stderr(
                std::fs::OpenOptions::new().create(true).append(true).open(self.dir.join("errors")).unwrap(),
            )
            .status()
            .unwrap_or_else(|e| panic!("{program}: {e}"));
        if !output.success() {
            let read = |name| std::fs::read_to_string(self.dir.join(name)).unwrap_or_default();
            panic!("{program} {arguments:?}: {output}\n{}\n{}", read("errors"), read("log"));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}

/// Where PostgreSQL's programs are: the newest version that Debian has installed, or where the PATH says.
pub fn programs() -> PathBuf {
    let version = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("bin/initdb").is_file())
        .max_by_key(|path| version(path));
    if let Some(path) = newest {
        return path.join("bin");
    }
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .find(|path| path.join("initdb").is_file())
        .expect("PostgreSQL's server programs are needed (apt install postgresql), or TEST_DATABASE_URL")
}

struct User {
    uid: u32,
    gid: u32,
}

/// PostgreSQL refuses to run as root: then it runs as the user that its package makes.
fn run_as() -> Option<User> {
    // SAFETY: asks for a number.
    if unsafe { libc::geteuid() } != 0 {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let line = users.lines().find(|line| line.starts_with("postgres:"));
    let line = line.expect("root cannot run PostgreSQL, and there is no user postgres to run it as");
    let mut fields = line.split(':').skip(2).map(|field| field.parse().unwrap());
    Some(User { uid: fields.next().unwrap(), gid: fields.next().unwrap() })
}

fn unprivileged(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    if let Some(user) = run_as() {
        command.uid(user.uid).gid(user.gid);
    }
    command
}
