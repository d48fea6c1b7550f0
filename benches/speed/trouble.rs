//! Why a part gives no figures, and waiting with a limit.

use std::error::Error;
use std::time::Duration;

/// Why a part gives no figures.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// Something that it needs is not on this machine; the other parts go on.
    #[error("{0}")]
    Skipped(String),
    /// Something failed that must not, a lost message included; the run ends.
    #[error("{0}")]
    Broken(String),
}

impl Trouble {
    /// The run ends.
    pub fn broken(text: impl Into<String>) -> Self {
        Self::Broken(text.into())
    }
}

impl From<tokio_postgres::Error> for Trouble {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::broken(format!("PostgreSQL: {}", with_causes(&error)))
    }
}

/// Names what was tried when it failed.
pub trait Told<T> {
    /// `what` completes "could not".
    fn told(self, what: &str) -> Result<T, Trouble>;
}

impl<T, E: Error> Told<T> for Result<T, E> {
    fn told(self, what: &str) -> Result<T, Trouble> {
        self.map_err(|error| Trouble::broken(format!("could not {what}: {}", with_causes(&error))))
    }
}

fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

/// Waits for `work`, but not for ever. `what` completes "did not end".
pub async fn within<T, E>(
    limit: Duration,
    what: &str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, Trouble>
where
    Trouble: From<E>,
{
    match tokio::time::timeout(limit, work).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(Trouble::broken(format!("{what} did not end within {} s", limit.as_secs()))),
    }
}
