//! What has become of queued mail, as columns of the statements that commit it within a batch.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::delivery::Delivery;
use crate::db::{Client, Error, Prepared};
use crate::log::Meter;
use crate::queue::{Settled, Verdict};
use crate::sql;

const LOCK: &str = sql!("intake/settle_lock");
const DONE: &str = sql!("intake/settle_done");
const FINISHED: &str = sql!("intake/settle_finished");
const DELAYED: &str = sql!("intake/settle_delayed");
const LOOK: &str = sql!("intake/settle_look");
const DOWN: &str = sql!("intake/settle_down");
const UP: &str = sql!("intake/settle_up");
const LOG: &str = sql!("intake/log_attempts");

/// Characters kept of what a server said.
const REPLY: usize = 2000;

/// The outcomes of a batch.
pub(super) struct Settlements<'a> {
    node: &'a str,
    settled: Vec<&'a Settled>,
    /// Domains with a waiting recipient, and when the first of them is due.
    look: BTreeMap<&'a str, Timestamp>,
    down: BTreeMap<&'a str, (&'a str, f64)>,
    up: BTreeSet<&'a str>,
}

/// The statements, prepared.
pub(super) struct Statements {
    lock: Prepared,
    done: Prepared,
    finished: Prepared,
    delayed: Prepared,
    look: Prepared,
    down: Prepared,
    up: Prepared,
    log: Prepared,
}

impl<'a> Settlements<'a> {
    pub(super) fn new(deliveries: impl Iterator<Item = &'a Delivery>, node: &'a str) -> Self {
        let mut all = Self {
            node,
            settled: Vec::new(),
            look: BTreeMap::new(),
            down: BTreeMap::new(),
            up: BTreeSet::new(),
        };
        for delivery in deliveries {
            for settled in &delivery.settled {
                all.settled.push(settled);
                if let Verdict::Delayed { next, .. } = settled.verdict {
                    let first = all.look.entry(&settled.domain).or_insert(next);
                    *first = next.min(*first);
                }
            }
            for down in &delivery.down {
                if down.wait.is_zero() {
                    all.up.insert(&down.domain);
                } else {
                    all.down.insert(&down.domain, (&down.reason, down.wait.as_secs_f64()));
                }
            }
        }
        // In the order of their rows, so that two batches cannot wait for each other.
        all.settled.sort_unstable_by_key(|settled| settled.recipient.id);
        all
    }

    /// Nothing where there is nothing to settle.
    pub(super) async fn prepare(&self, client: &Client) -> Result<Option<Statements>, Error> {
        if self.settled.is_empty() && self.down.is_empty() && self.up.is_empty() {
            return Ok(None);
        }
        Ok(Some(Statements {
            lock: client.prepare(LOCK).await?,
            done: client.prepare(DONE).await?,
            finished: client.prepare(FINISHED).await?,
            delayed: client.prepare(DELAYED).await?,
            look: client.prepare(LOOK).await?,
            down: client.prepare(DOWN).await?,
            up: client.prepare(UP).await?,
            log: client.prepare(LOG).await?,
        }))
    }

    /// Has what was settled counted, once it is committed.
    pub(super) fn count(&self, meter: &Meter) {
        for settled in &self.settled {
            meter.attempt(settled.verdict.word(), settled.took);
        }
    }

    /// Sends all of it without waiting in between.
    pub(super) async fn run(
        &self,
        pg: &tokio_postgres::Client,
        statements: &Statements,
    ) -> Result<(), tokio_postgres::Error> {
        let is_done = |settled: &&&Settled| !matches!(settled.verdict, Verdict::Delayed { .. });
        let done: Vec<i64> = self.settled.iter().filter(is_done).map(|s| s.recipient.id).collect();
        let messages: BTreeSet<i64> = self.settled.iter().filter(is_done).map(|s| s.message.id).collect();
        let messages: Vec<i64> = messages.into_iter().collect();
        let (mut delayed, mut next, mut said, mut reported) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for settled in &self.settled {
            if let Verdict::Delayed { next: at, reported: told } = settled.verdict {
                delayed.push(settled.recipient.id);
                next.push(at);
                said.push(cut(&settled.reply));
                reported.push(told);
            }
        }
        let (look_at, look_from): (Vec<&str>, Vec<Timestamp>) =
            self.look.iter().map(|(d, at)| (*d, *at)).unzip();
        let down: Vec<&str> = self.down.keys().copied().collect();
        let reasons: Vec<&str> = self.down.values().map(|(reason, _)| cut(reason)).collect();
        let waits: Vec<f64> = self.down.values().map(|(_, wait)| *wait).collect();
        let up: Vec<&str> = self.up.iter().copied().collect();
        let lock = async {
            if messages.is_empty() { Ok(Vec::new()) } else { pg.query(&statements.lock, &[&messages]).await }
        };
        let remove =
            async { if done.is_empty() { Ok(0) } else { pg.execute(&statements.done, &[&done]).await } };
        let finish = async {
            if messages.is_empty() { Ok(0) } else { pg.execute(&statements.finished, &[&messages]).await }
        };
        let delay = async {
            if delayed.is_empty() {
                return Ok(0);
            }
            pg.execute(&statements.delayed, &[&delayed, &next, &said, &reported]).await
        };
        let look = async {
            if look_at.is_empty() {
                return Ok(Vec::new());
            }
            pg.query(&statements.look, &[&look_at, &look_from]).await
        };
        let mark_up = async { if up.is_empty() { Ok(0) } else { pg.execute(&statements.up, &[&up]).await } };
        let mark_down = async {
            if down.is_empty() {
                return Ok(0);
            }
            pg.execute(&statements.down, &[&down, &reasons, &waits]).await
        };
        let log = self.log(pg, &statements.log);
        // Futures joined on one connection are sent in this order, in one go.
        let (a, b, c, d, e, f, g, h) =
            tokio::join!(lock, remove, finish, delay, look, mark_up, mark_down, log);
        a?;
        b?;
        c?;
        d?;
        e?;
        f?;
        g?;
        h
    }

    async fn log(
        &self,
        pg: &tokio_postgres::Client,
        statement: &Prepared,
    ) -> Result<(), tokio_postgres::Error> {
        let all = &self.settled;
        if all.is_empty() {
            return Ok(());
        }
        let message: Vec<i64> = all.iter().map(|s| s.message.id).collect();
        let recipient: Vec<&str> = all.iter().map(|s| s.recipient.address.as_str()).collect();
        let sender: Vec<&str> = all.iter().map(|s| s.message.envelope.sender.as_str()).collect();
        let account: Vec<Option<i64>> = all.iter().map(|s| s.message.envelope.account.map(|a| a.0)).collect();
        let content: Vec<i64> = all.iter().map(|s| s.message.content).collect();
        let size: Vec<i64> = all.iter().map(|s| s.message.size as i64).collect();
        let outcome: Vec<&str> = all.iter().map(|s| s.verdict.word()).collect();
        let attempt: Vec<i32> = all.iter().map(|s| s.recipient.attempts + 1).collect();
        let host: Vec<Option<&str>> = all.iter().map(|s| s.host.as_deref()).collect();
        let address: Vec<Option<String>> = all.iter().map(|s| s.address.map(|ip| ip.to_string())).collect();
        let tls: Vec<Option<&str>> = all.iter().map(|s| s.tls.as_deref()).collect();
        let reply: Vec<&str> = all.iter().map(|s| cut(&s.reply)).collect();
        let took: Vec<i32> =
            all.iter().map(|s| i32::try_from(s.took.as_millis()).unwrap_or(i32::MAX)).collect();
        pg.execute(
            statement,
            &[
                &self.node, &message, &recipient, &sender, &account, &content, &size, &outcome, &attempt,
                &host, &address, &tls, &reply, &took,
            ],
        )
        .await
        .map(drop)
    }
}

/// The beginning of what was said. Control characters have gone when it was read.
fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(REPLY)).unwrap_or(text)
}
