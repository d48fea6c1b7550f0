//! How far a long command is (RFC 9585): keeps a client from giving up, and ends the command when the client is gone.

use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};

use super::answer::Fail;
use super::wire::code::{Code, Condition};
use super::wire::reply::untagged;
use super::wire::unit::Tag;
use crate::control::config::Config;
use crate::net::out::Out;

/// How often something is said of a command that can't say how far it is, at most.
const SELDOM: Duration = Duration::from_secs(1);

/// A command under way.
pub struct Progress {
    tag: Tag,
    every: Duration,
    last_word: Instant,
}

impl Progress {
    /// A command that begins now.
    pub fn new(tag: &Tag, config: &Config) -> Self {
        let every = Duration::from_secs(config.imap.progress_seconds);
        Self { tag: tag.clone(), every, last_word: Instant::now() }
    }

    /// Says how many of `goal` messages are done, if it is time to. RFC 9585 §4: never that all are.
    pub async fn at(&mut self, done: u64, goal: u64, out: &mut Out<'_>) -> Result<(), Fail> {
        if done < goal && self.last_word.elapsed() >= self.every {
            self.say(done, goal, out);
            out.flush().await?;
        }
        Ok(())
    }

    /// Carries out what has no steps, and says from time to time that it is being done to `goal` messages. It goes on while
    /// a slow client reads that.
    pub async fn during<T>(
        &mut self,
        work: impl Future<Output = T>,
        goal: u64,
        out: &mut Out<'_>,
    ) -> Result<T, Fail> {
        let mut work = pin!(work);
        let mut wait = self.every;
        loop {
            let pause = pin!(tokio::time::sleep(wait));
            if let Either::Left((done, _)) = select(&mut work, pause).await {
                return Ok(done);
            }
            self.say(0, goal, out);
            let flush = pin!(out.flush());
            match select(&mut work, flush).await {
                Either::Left((done, flush)) => {
                    flush.await?;
                    return Ok(done);
                }
                Either::Right((flushed, _)) => flushed?,
            }
            wait = self.every.max(SELDOM);
        }
    }

    fn say(&mut self, done: u64, goal: u64, out: &mut Out<'_>) {
        self.last_word = Instant::now();
        let text = format!("{done} of {goal} done");
        let code = Code::InProgress(self.tag.as_str(), done, goal);
        untagged(&mut out.buffer(), Condition::Ok, Some(code), &text);
    }
}
