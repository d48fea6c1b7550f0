//! What tests are written with: a database, a daemon on it, and a dialogue with the daemon.
//!
//! House rules: nothing sleeps to let something happen. A test waits for the event it is about, by a question to the
//! database or by the next line of a connection, and every wait ends after [`PATIENCE`] with an error that shows what
//! was there instead.

// A foundation has parts that the tests of today don't use.
#![allow(dead_code, unused_imports)]

pub mod browser;
pub mod ca;
pub mod cluster;
pub mod daemon;
pub mod database;
pub mod deflate;
pub mod dialogue;
pub mod dns;
pub mod pages;
pub mod pebble;
pub mod sink;
pub mod web;

use std::time::Duration;

pub use browser::Browser;
pub use ca::Ca;
pub use cluster::Cluster;
pub use daemon::Daemon;
pub use database::Database;
pub use dialogue::Dialogue;
pub use dns::Dns;
pub use sink::{Script, Sink};
pub use web::Web;

/// The limit of every wait: far more than anything takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Asks until the answer is `Ok`, for what nobody tells us of; `Err` says what is there instead.
pub async fn ask_until(mut question: impl AsyncFnMut() -> Result<(), String>) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while let Err(instead) = question().await {
        assert!(tokio::time::Instant::now() < deadline, "{instead}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The root of the repository.
pub fn root() -> &'static std::path::Path {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
}
