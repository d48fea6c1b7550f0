//! Counts in windows of time, shared by all nodes: what traffic rules and rate limits are held against.
//!
//! Windows are fixed: one of an hour begins with the full hour, on every node at the same moment (the nodes' clocks are
//! taken to agree). Who comes at the seam of two windows can have twice the limit within one window's time; sliding
//! windows would cost a row for each part of it.
//!
//! A count is what the database had when it was last asked and what this node has counted since. Once a second all that
//! was counted, or only asked for, goes to the database in one statement, which answers with what all nodes have: so the
//! nodes know of each other within about a second, and may together go beyond a limit by what that second brings. No
//! message costs a round trip or a commit. Only counts are lost by a crash.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::db::{Db, Error};
use crate::sql;

const COUNT: &str = sql!("screen/count");
const CLOSE_WINDOWS: &str = sql!("screen/close_windows");

/// Counts kept in memory; beyond, what is new is not counted.
const MAX_CELLS: usize = 200_000;
/// Counts written by one statement.
const BATCH: usize = 5_000;

/// What is counted, and in windows of how many seconds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject {
    /// What kind of thing.
    pub kind: &'static str,
    /// Of whom.
    pub key: String,
    /// Length of the window, seconds.
    pub seconds: i64,
}

/// An amount, or a limit to it, where 0 means none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Messages, recipients, connections.
    pub count: i64,
    /// Bytes.
    pub bytes: i64,
}

impl Amount {
    /// So many, without bytes.
    pub const fn of(count: i64) -> Self {
        Self { count, bytes: 0 }
    }

    /// Both added.
    pub fn plus(self, other: Self) -> Self {
        Self { count: self.count.saturating_add(other.count), bytes: self.bytes.saturating_add(other.bytes) }
    }

    fn minus(self, other: Self) -> Self {
        Self { count: self.count - other.count, bytes: self.bytes - other.bytes }
    }

    fn exceeds(self, limit: Self) -> bool {
        (limit.count > 0 && self.count > limit.count) || (limit.bytes > 0 && self.bytes > limit.bytes)
    }
}

#[derive(Default)]
struct Cell {
    /// What the database had.
    known: Amount,
    /// What it has not been told yet.
    pending: Amount,
    /// Somebody wants to know.
    touched: bool,
}

/// The counts of this node.
#[derive(Default)]
pub struct Counters(Mutex<HashMap<(Subject, i64), Cell>>);

impl Counters {
    /// Whether so much more stays within the limit; nothing is counted.
    pub fn fits(&self, subject: Subject, more: Amount, limit: Amount, now: i64) -> bool {
        self.look(subject, more, limit, now, false)
    }

    /// Counts so much more, if it stays within the limit.
    pub fn add(&self, subject: Subject, more: Amount, limit: Amount, now: i64) -> bool {
        self.look(subject, more, limit, now, true)
    }

    fn look(&self, subject: Subject, more: Amount, limit: Amount, now: i64, count: bool) -> bool {
        let start = now - now.rem_euclid(subject.seconds.max(1));
        let mut cells = self.lock();
        let key = (subject, start);
        if cells.len() >= MAX_CELLS && !cells.contains_key(&key) {
            return true;
        }
        let cell = cells.entry(key).or_default();
        cell.touched = true;
        let fits = !cell.known.plus(cell.pending).plus(more).exceeds(limit);
        if fits && count {
            cell.pending = cell.pending.plus(more);
        }
        fits
    }

    /// Exchanges counts with the other nodes. Without anything to tell or to ask it costs nothing.
    pub async fn exchange(&self, db: &Db, now: i64) -> Result<(), Error> {
        let told: Vec<((Subject, i64), Amount)> = {
            let mut cells = self.lock();
            // A window that is over, and told, is forgotten.
            cells.retain(|(subject, start), cell| {
                cell.pending != Amount::default() || start + subject.seconds > now
            });
            if cells.len() >= MAX_CELLS {
                tracing::warn!("more hosts and accounts than can be counted; new ones are not limited");
                cells.retain(|_, cell| cell.touched || cell.pending != Amount::default());
            }
            let touched = cells.iter_mut().filter_map(|(key, cell)| {
                std::mem::take(&mut cell.touched).then(|| (key.clone(), cell.pending))
            });
            touched.collect()
        };
        for batch in told.chunks(BATCH) {
            if let Err(error) = self.exchange_batch(db, batch).await {
                let mut cells = self.lock();
                for (key, _) in &told {
                    if let Some(cell) = cells.get_mut(key) {
                        cell.touched = true;
                    }
                }
                return Err(error);
            }
        }
        Ok(())
    }

    async fn exchange_batch(&self, db: &Db, batch: &[((Subject, i64), Amount)]) -> Result<(), Error> {
        let kinds: Vec<&str> = batch.iter().map(|((subject, _), _)| subject.kind).collect();
        let keys: Vec<&str> = batch.iter().map(|((subject, _), _)| subject.key.as_str()).collect();
        let starts: Vec<i64> = batch.iter().map(|((_, start), _)| *start).collect();
        let ends: Vec<i64> = batch.iter().map(|((subject, start), _)| start + subject.seconds).collect();
        let counts: Vec<i64> = batch.iter().map(|(_, amount)| amount.count).collect();
        let bytes: Vec<i64> = batch.iter().map(|(_, amount)| amount.bytes).collect();
        let rows = db.query(COUNT, &[&kinds, &keys, &starts, &ends, &counts, &bytes]).await?;
        let mut known: HashMap<(String, String, i64), Amount> = HashMap::with_capacity(rows.len());
        for row in rows {
            let amount = Amount { count: row.get(3), bytes: row.get(4) };
            known.insert((row.get(0), row.get(1), row.get(2)), amount);
        }
        let mut cells = self.lock();
        for (key, told) in batch {
            let (subject, start) = key;
            let Some(cell) = cells.get_mut(key) else { continue };
            cell.pending = cell.pending.minus(*told);
            if let Some(amount) = known.get(&(subject.kind.to_owned(), subject.key.clone(), *start)) {
                cell.known = *amount;
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(Subject, i64), Cell>> {
        // Every change under the lock is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes away windows that have ended, and writes the history of traffic.
pub(super) async fn close_windows(db: &Db) -> Result<(), Error> {
    db.execute(CLOSE_WINDOWS, &[]).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject() -> Subject {
        Subject { kind: "incoming", key: "192.0.2.1".to_owned(), seconds: 60 }
    }

    #[test]
    fn a_limit_is_reached_and_the_next_window_begins_anew() {
        let counters = Counters::default();
        let limit = Amount { count: 3, bytes: 100 };
        for _ in 0..3 {
            assert!(counters.add(subject(), Amount::of(1), limit, 119));
        }
        assert!(!counters.add(subject(), Amount::of(1), limit, 119));
        assert!(!counters.fits(subject(), Amount::of(1), limit, 100));
        assert!(counters.add(subject(), Amount::of(1), limit, 120));
        assert!(!counters.fits(subject(), Amount { count: 1, bytes: 101 }, limit, 120));
        // 0 is no limit.
        assert!(counters.fits(subject(), Amount { count: 1000, bytes: 1 << 40 }, Amount::default(), 120));
    }

    #[test]
    fn what_does_not_fit_is_not_counted() {
        let counters = Counters::default();
        assert!(!counters.add(subject(), Amount::of(5), Amount::of(3), 0));
        assert!(counters.add(subject(), Amount::of(3), Amount::of(3), 0));
    }
}
