//! What can go wrong with the database, by what the caller can do about it.

use tokio_postgres::error::SqlState;

/// A failed database operation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database cannot be reached or does not take work now: answer with a temporary failure; later calls
    /// succeed by themselves once it is back.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// It took longer than it may; the connection is as before. Who only wants it tried later treats it as
    /// unavailable.
    #[error("the database took too long: {0}")]
    Overdue(String),
    /// A deadlock or serialization failure: the transaction had no effect and may be run again.
    #[error("the database asks to try again: {0}")]
    Retry(String),
    /// A value was refused by the database; the message is for the person who entered it.
    #[error("{message}")]
    Refused {
        /// What the database said, with its hint.
        message: String,
        /// Name of the violated constraint, if it was one.
        constraint: Option<String>,
    },
    /// Anything else: a fault of ours.
    #[error("database error: {0}")]
    Fault(String),
}

impl Error {
    /// Whether the database is away, so that the answer is "temporary failure".
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Error::Unavailable(_) | Error::Overdue(_))
    }

    /// Whether the same transaction may simply be run again.
    pub fn is_retry(&self) -> bool {
        matches!(self, Error::Retry(_))
    }

    /// Name of the violated constraint, if that was it.
    pub fn constraint(&self) -> Option<&str> {
        match self {
            Error::Refused { constraint, .. } => constraint.as_deref(),
            _ => None,
        }
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(db) = error.as_db_error() else {
            return if error.is_closed()
                || std::error::Error::source(&error).is_some_and(|e| e.is::<std::io::Error>())
            {
                Error::Unavailable(describe(&error))
            } else {
                Error::Fault(describe(&error))
            };
        };
        let code = db.code();
        let text = match (db.detail(), db.hint()) {
            (Some(detail), Some(hint)) => format!("{} ({detail}) {hint}", db.message()),
            (Some(detail), None) => format!("{} ({detail})", db.message()),
            (None, Some(hint)) => format!("{}. {hint}", db.message()),
            (None, None) => db.message().to_owned(),
        };
        let class = code.code().get(..2).unwrap_or_default();
        if *code == SqlState::T_R_SERIALIZATION_FAILURE || *code == SqlState::T_R_DEADLOCK_DETECTED {
            Error::Retry(text)
        } else if matches!(class, "08" | "53" | "58")
            || *code == SqlState::READ_ONLY_SQL_TRANSACTION
            || matches!(code.code(), "57P01" | "57P02" | "57P03" | "57P05" | "55P03")
        {
            // Connection lost, resources short, shutting down, starting up, or a lock that took too long.
            Error::Unavailable(text)
        } else if *code == SqlState::QUERY_CANCELED {
            Error::Overdue(text)
        } else if matches!(class, "23" | "22" | "P0" | "42")
            && !matches!(code.code(), "42601" | "42703" | "42P01")
        {
            Error::Refused { message: text, constraint: db.constraint().map(str::to_owned) }
        } else {
            Error::Fault(format!("{text} [{}]", code.code()))
        }
    }
}

impl From<deadpool_postgres::PoolError> for Error {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        match error {
            deadpool_postgres::PoolError::Backend(e) => Error::Unavailable(describe(&e)),
            other => Error::Unavailable(other.to_string()),
        }
    }
}

/// An error with all its causes, on one line.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(e) = cause {
        let more = e.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = e.source();
    }
    text
}
