//! What can keep the private cluster from running.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::CONNECT_LIMIT;
use super::install::OLDEST;

/// Why there is no cluster to work with. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing new enough was found.
    #[error(
        "no PostgreSQL {} or newer is installed here: install it (Debian, Ubuntu: apt-get install postgresql), \
         or name a server elsewhere with --database-url",
        OLDEST
    )]
    NotInstalled,
    /// The cluster was made by a version that is not here any more.
    #[error(
        "the cluster in {} was made by PostgreSQL {major}, which is not installed (installed: {found}): install it \
         (apt-get install postgresql-{major}), or move the cluster to another version with pg_upgrade",
        data.display()
    )]
    VersionMissing {
        /// The cluster.
        data: PathBuf,
        /// Its major version.
        major: u32,
        /// The major versions that are here.
        found: String,
    },
    /// We are root, and the user to run PostgreSQL as does not exist.
    #[error(
        "PostgreSQL does not run as root, and there is no ordinary user {0:?} to run it as: install the package \
         postgresql, which makes that user, or start mailwright as an ordinary user"
    )]
    NoUser(String),
    /// The other user can't reach the data directory.
    #[error(
        "PostgreSQL runs as the user {user:?} here, who may not pass the folder {} on the way to the data directory \
         {}: choose another place with --data-dir (such as /var/lib/mailwright), or allow it: chmod a+x {}",
        parent.display(), data_dir.display(), parent.display()
    )]
    NotPassable {
        /// The first folder that can't be passed.
        parent: PathBuf,
        /// The user that PostgreSQL runs as.
        user: String,
        /// The data directory asked for.
        data_dir: PathBuf,
    },
    /// The cluster belongs to somebody as whom we can't run it.
    #[error(
        "{} belongs to {owner:?}, but PostgreSQL would run as {user:?} here: start mailwright as the owner, \
         or give the folder away: chown -R {user}: {}",
        path.display(), path.display()
    )]
    WrongOwner {
        /// What belongs to somebody else.
        path: PathBuf,
        /// Its owner.
        owner: String,
        /// The user that PostgreSQL would run as.
        user: String,
    },
    /// The folder for the socket is there and others can enter it.
    #[error(
        "the socket's folder {} exists, but is not a folder that {user:?} owns and nobody else may enter: remove it",
        path.display()
    )]
    NotPrivate {
        /// The folder.
        path: PathBuf,
        /// The user that should own it.
        user: String,
    },
    /// Another daemon has this data directory.
    #[error(
        "another mailwright is running on the data directory {}: stop it, choose another --data-dir, or let this one \
         share its database with --database-url",
        .0.display()
    )]
    InUse(PathBuf),
    /// A file or program could not be used.
    #[error("could not {what} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A program of PostgreSQL failed.
    #[error("{program} failed for the cluster {} ({how}):\n{output}", data.display())]
    Program {
        /// Which one.
        program: &'static str,
        /// The cluster.
        data: PathBuf,
        /// Its exit status, or that it took too long.
        how: String,
        /// What it said.
        output: String,
    },
    /// The server ended before it was ready.
    #[error("PostgreSQL did not start ({how}) in {}; it said:{log}", data.display())]
    Start {
        /// The cluster.
        data: PathBuf,
        /// Its exit status.
        how: String,
        /// The last lines of its log.
        log: String,
    },
    /// The server is still starting; it was left to go on.
    #[error(
        "PostgreSQL in {} is not ready after {} s, and goes on starting (recovery after a crash can take long): \
         start mailwright again later; its log ends with:{log}",
        data.display(), limit.as_secs()
    )]
    Slow {
        /// The cluster.
        data: PathBuf,
        /// How long was waited.
        limit: Duration,
        /// The last lines of its log.
        log: String,
    },
    /// The server could not be stopped.
    #[error("PostgreSQL (process {pid}) in {} does not stop: look at its log in ../log, then kill -QUIT {pid}", data.display())]
    Stop {
        /// The cluster.
        data: PathBuf,
        /// Its main process.
        pid: u32,
    },
    /// The server runs but can't be talked to.
    #[error("could not connect to the private PostgreSQL at {}: {source}", socket_dir.display())]
    Connect {
        /// Where its socket is.
        socket_dir: PathBuf,
        /// What the client library says.
        source: tokio_postgres::Error,
    },
    /// The server runs but does not answer.
    #[error("the private PostgreSQL at {} did not answer within {} s", .0.display(), CONNECT_LIMIT.as_secs())]
    Silent(PathBuf),
}

/// Names the file an [`io::Error`] is about.
pub(super) trait IoAt<T> {
    fn at(self, what: &'static str, path: &Path) -> Result<T, Error>;
}

impl<T> IoAt<T> for io::Result<T> {
    fn at(self, what: &'static str, path: &Path) -> Result<T, Error> {
        self.map_err(|source| Error::Io { what, path: path.to_owned(), source })
    }
}
