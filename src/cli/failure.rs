//! Why a command did not do what it was asked: text for a person, with what to do now.

use std::path::PathBuf;

use crate::{db, server};

/// What ended a command.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Said in full: what happened, to what, and what to do.
    #[error("{0}")]
    Told(String),
    /// The person has been told already; only the exit code is left to give.
    #[error("it did not work")]
    Shown,
    /// The daemon could not start.
    #[error(transparent)]
    Start(#[from] server::StartError),
    /// The private cluster could not be looked for.
    #[error(transparent)]
    Cluster(#[from] db::cluster::Error),
    /// The database failed, or refused a value.
    #[error("{}", refusal(.0))]
    Database(#[from] db::Error),
    /// A file or terminal could not be used.
    #[error("could not {what} {}: {source}", path.display())]
    File {
        /// What was tried, as a verb.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Failure::Database(error.into())
    }
}

/// Shorthand for [`Failure::Told`].
pub fn told(text: impl Into<String>) -> Failure {
    Failure::Told(text.into())
}

/// Names the file an [`std::io::Error`] is about.
pub trait At<T> {
    /// `what` is a verb: read, write, make.
    fn at(self, what: &'static str, path: &std::path::Path) -> Result<T, Failure>;
}

impl<T> At<T> for std::io::Result<T> {
    fn at(self, what: &'static str, path: &std::path::Path) -> Result<T, Failure> {
        self.map_err(|source| Failure::File { what, path: path.to_owned(), source })
    }
}

/// Constraints are named by the sentence that explains them; only those that PostgreSQL names itself need words here.
fn refusal(error: &db::Error) -> String {
    match error.constraint() {
        Some("domain_name_key") => "this domain exists already; see: mailwright domain list".to_owned(),
        Some("account_domain_id_local_part_key" | "alias_domain_id_local_part_key") => {
            "this address exists already, as an account or an alias".to_owned()
        }
        Some(sentence) if sentence.contains(' ') => sentence.to_owned(),
        _ => error.to_string(),
    }
}
