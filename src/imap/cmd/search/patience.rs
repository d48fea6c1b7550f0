//! Keeps a client from giving up while a search goes on, and ends the search when the client is gone.

use std::time::{Duration, Instant};

use crate::imap::answer::Fail;
use crate::imap::wire::code::Condition;
use crate::imap::wire::reply::untagged;
use crate::net::out::Out;

/// After so long a client hears that the search goes on, and we that the client is still there.
const PATIENCE: Duration = Duration::from_secs(10);

/// When the client heard of us last.
#[derive(Debug)]
pub(in crate::imap::cmd) struct Patience {
    last_word: Instant,
}

impl Patience {
    /// It has just heard of us.
    pub(in crate::imap::cmd) fn new() -> Self {
        Self { last_word: Instant::now() }
    }

    /// Says something, if it is time to.
    pub(in crate::imap::cmd) async fn word(&mut self, out: &mut Out<'_>) -> Result<(), Fail> {
        if self.last_word.elapsed() >= PATIENCE {
            self.last_word = Instant::now();
            untagged(&mut out.buffer(), Condition::Ok, None, "still searching");
            out.flush().await?;
        }
        Ok(())
    }
}
