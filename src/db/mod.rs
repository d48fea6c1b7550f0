//! PostgreSQL: reaching it, its schema, and being told of changes.
//!
//! Guarantees: a lost database never ends the daemon (callers get [`Error::Unavailable`], and the next call tries
//! anew); migrations run under one advisory lock; replaceable logic is rebuilt only when its text changed, and never by
//! an older daemon; a bell that was lost is made good by [`listen::Bell::Gap`] and by the clocks of those who listen.
//! Statements are files under `sql/`, each owned by one Rust file, loaded with [`sql!`](crate::sql) and prepared once
//! per connection.

pub mod cluster;
mod error;
pub mod listen;
mod logic;
mod migrate;
mod pool;
mod target;

pub use error::Error;
pub use migrate::migrate;
pub use pool::{Client, Db, Prepared};
pub use target::Target;

/// The text of a statement under `sql/`: `sql!("queue/claim")` is the content of `sql/queue/claim.sql`.
#[macro_export]
macro_rules! sql {
    ($path:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/", $path, ".sql"))
    };
}
