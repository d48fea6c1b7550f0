//! Greylisting (RFC 6647): who writes for the first time from an unknown network is asked to come again later.
//!
//! Known are triplets: network of the host, sender, recipient. One that this node does not remember is asked for in the
//! database, one round trip, so a retry may come to any node; it is remembered for five minutes, or until somebody
//! changes the tables by hand, which every node is told of. What is new is written once a second, all of it in one
//! statement whose commit does not wait for the disk: within that second another node does not know of a first attempt,
//! and a crash forgets it, so that its sender comes once more. A sender that is known costs no write, but for one now and
//! then that says it still comes.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::control::config::screen::Greylist as Settings;
use crate::db::{Db, Error};
use crate::sql;

const FIND: &str = sql!("screen/find_greylisted");
const NOTE: &str = sql!("screen/note_greylisted");
const NOTE_NETWORK: &str = sql!("screen/note_network");

/// How long what the database said is believed, seconds.
const BELIEVED: i64 = 300;
/// Triplets remembered; beyond, those that are written are forgotten.
const MAX_TRIPLETS: usize = 100_000;
/// How far back what is known of the last mail may lag, seconds.
const LAST_LAG: i64 = 6 * 3600;
/// Rows written by one statement.
const BATCH: usize = 5_000;

/// Network, sender, recipient.
type Triplet = (String, String, String);

/// What is known of a triplet; seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    first: i64,
    last: i64,
    passed: Option<i64>,
}

/// What is known of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    passed: i32,
    last: i64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    known: Option<Known>,
    network: Option<Network>,
    read_at: i64,
    dirty: bool,
}

/// What comes of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Let it through.
    Pass,
    /// Not before so many seconds.
    Wait(i64),
}

/// What this node remembers.
#[derive(Default)]
pub struct Greylist(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    triplets: HashMap<Triplet, Entry>,
    /// Senders that have passed since networks were last written, and when.
    networks: HashMap<String, (i32, i64)>,
    /// How often it was told to forget.
    forgotten: u64,
}

impl Greylist {
    /// Judges an attempt. The sender is empty for the null sender.
    pub async fn judge(
        &self,
        db: &Db,
        settings: &Settings,
        peer: IpAddr,
        sender: &str,
        recipient: &str,
        now: i64,
    ) -> Result<Verdict, Error> {
        let triplet = (network(peer, settings), sender.to_owned(), recipient.to_owned());
        let (remembered, forgotten) = {
            let inner = self.lock();
            (inner.triplets.get(&triplet).copied(), inner.forgotten)
        };
        let fresh = remembered.filter(|entry| entry.dirty || now - entry.read_at < BELIEVED);
        // What would be refused on what this node remembers may have passed elsewhere meanwhile.
        let fresh = fresh.filter(|entry| !entry.known.is_some_and(|known| is_over(known, settings, now)));
        let mut entry = match fresh {
            Some(entry) => entry,
            None => read(db, &triplet, now).await?,
        };
        let passes_at_once = settings.allow_after > 0
            && entry.network.is_some_and(|network| {
                network.passed >= settings.allow_after && now - network.last < days(settings.expire_days)
            });
        let before = entry.known;
        let (known, verdict) = step(before, passes_at_once, settings, now);
        let newly_passed = known.passed.is_some() && before.is_none_or(|before| before.passed.is_none());
        entry.dirty |= worth_writing(before, known);
        entry.known = Some(known);
        let mut inner = self.lock();
        if newly_passed || (passes_at_once && entry.network.is_some_and(|n| now - n.last > LAST_LAG)) {
            let counted = inner.networks.entry(triplet.0.clone()).or_insert((0, now));
            counted.0 += i32::from(newly_passed);
            counted.1 = now;
            let network = entry.network.get_or_insert(Network { passed: 0, last: now });
            network.passed = network.passed.saturating_add(i32::from(newly_passed));
            network.last = now;
        }
        if inner.triplets.len() >= MAX_TRIPLETS && !inner.triplets.contains_key(&triplet) {
            inner.triplets.retain(|_, entry| entry.dirty);
            if inner.triplets.len() >= MAX_TRIPLETS {
                // More than can be written: what can't be remembered can't be asked to come again.
                return Ok(Verdict::Pass);
            }
        }
        if inner.forgotten != forgotten {
            // The tables have changed since: this is not believed again.
            entry.read_at = 0;
        }
        inner.triplets.insert(triplet, entry);
        Ok(verdict)
    }

    /// Writes what is new; nothing when nothing is.
    pub async fn write(&self, db: &Db, settings: &Settings) -> Result<(), Error> {
        let (rows, networks) = {
            let mut inner = self.lock();
            let mut rows = Vec::new();
            for (triplet, entry) in &mut inner.triplets {
                if let Some(known) = entry.known.filter(|_| std::mem::take(&mut entry.dirty)) {
                    rows.push((triplet.clone(), known));
                }
            }
            (rows, std::mem::take(&mut inner.networks))
        };
        let outcome = write(db, settings, &rows, &networks).await;
        if outcome.is_err() {
            // The same again next time; what was written after all is written once more.
            let mut inner = self.lock();
            for (triplet, _) in &rows {
                if let Some(entry) = inner.triplets.get_mut(triplet) {
                    entry.dirty = true;
                }
            }
            for (network, (passed, last)) in networks {
                let counted = inner.networks.entry(network).or_insert((0, last));
                counted.0 += passed;
                counted.1 = counted.1.max(last);
            }
        }
        outcome
    }

    /// Believes nothing any more of what was read: settings or tables have changed. What is to be written stays until it is.
    pub fn forget(&self) {
        let mut inner = self.lock();
        inner.forgotten += 1;
        inner.triplets.retain(|_, entry| {
            entry.read_at = 0;
            entry.dirty
        });
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change under the lock is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read(db: &Db, (network, sender, recipient): &Triplet, now: i64) -> Result<Entry, Error> {
    let row = db.query_opt(FIND, &[network, sender, recipient]).await?;
    let mut entry = Entry { known: None, network: None, read_at: now, dirty: false };
    if let Some(row) = row {
        if let (Some(first), Some(last)) = (row.get(0), row.get(1)) {
            entry.known = Some(Known { first, last, passed: row.get(2) });
        }
        if let (Some(passed), Some(last)) = (row.get(3), row.get(4)) {
            entry.network = Some(Network { passed, last });
        }
    }
    Ok(entry)
}

async fn write(
    db: &Db,
    settings: &Settings,
    rows: &[(Triplet, Known)],
    networks: &HashMap<String, (i32, i64)>,
) -> Result<(), Error> {
    for batch in rows.chunks(BATCH) {
        note(db, settings, batch).await?;
    }
    if networks.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = networks.keys().map(String::as_str).collect();
    let passed: Vec<i32> = networks.values().map(|(passed, _)| *passed).collect();
    let last: Vec<i64> = networks.values().map(|(_, last)| *last).collect();
    db.execute(NOTE_NETWORK, &[&names, &passed, &last]).await.map(drop)
}

async fn note(db: &Db, settings: &Settings, batch: &[(Triplet, Known)]) -> Result<(), Error> {
    let networks: Vec<&str> = batch.iter().map(|((network, ..), _)| network.as_str()).collect();
    let senders: Vec<&str> = batch.iter().map(|((_, sender, _), _)| sender.as_str()).collect();
    let recipients: Vec<&str> = batch.iter().map(|((.., recipient), _)| recipient.as_str()).collect();
    let first: Vec<i64> = batch.iter().map(|(_, known)| known.first).collect();
    let last: Vec<i64> = batch.iter().map(|(_, known)| known.last).collect();
    let passed: Vec<Option<i64>> = batch.iter().map(|(_, known)| known.passed).collect();
    db.execute(NOTE, &[&networks, &senders, &recipients, &first, &last, &passed, &settings.retry_hours])
        .await
        .map(drop)
}

fn days(days: i32) -> i64 {
    i64::from(days) * 86_400
}

/// Whether what is known counts no more.
fn is_over(known: Known, settings: &Settings, now: i64) -> bool {
    match known.passed {
        Some(_) => now - known.last > days(settings.expire_days),
        None => now - known.first > i64::from(settings.retry_hours) * 3600,
    }
}

/// What becomes of what is known by an attempt, and of the attempt.
fn step(before: Option<Known>, passes_at_once: bool, settings: &Settings, now: i64) -> (Known, Verdict) {
    let known = before.filter(|known| !is_over(*known, settings, now));
    let mut known = known.unwrap_or(Known { first: now, last: now, passed: None });
    known.last = now;
    let waited = now - known.first;
    if known.passed.is_some() {
        (known, Verdict::Pass)
    } else if passes_at_once || waited >= settings.delay_seconds {
        known.passed = Some(now);
        (known, Verdict::Pass)
    } else {
        (known, Verdict::Wait(settings.delay_seconds - waited))
    }
}

/// Whether the database should know.
fn worth_writing(before: Option<Known>, after: Known) -> bool {
    before.is_none_or(|before| {
        before.first != after.first || before.passed != after.passed || after.last - before.last > LAST_LAG
    })
}

/// The network of a host, as greylisting sees it.
fn network(peer: IpAddr, settings: &Settings) -> String {
    match peer.to_canonical() {
        IpAddr::V4(address) => {
            let bits = u32::from(settings.ipv4_prefix.min(32));
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            format!("{}/{bits}", Ipv4Addr::from_bits(address.to_bits() & mask))
        }
        IpAddr::V6(address) => {
            let bits = u32::from(settings.ipv6_prefix.min(128));
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            format!("{}/{bits}", Ipv6Addr::from_bits(address.to_bits() & mask))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        super::super::tests::settings().greylist
    }

    #[test]
    fn a_sender_comes_again_and_passes() {
        let settings = settings();
        let (first, verdict) = step(None, false, &settings, 1000);
        assert_eq!(verdict, Verdict::Wait(300));
        let (early, verdict) = step(Some(first), false, &settings, 1100);
        assert_eq!((early.first, verdict), (1000, Verdict::Wait(200)));
        let (passed, verdict) = step(Some(early), false, &settings, 1300);
        assert_eq!((passed.passed, verdict), (Some(1300), Verdict::Pass));
        // From then on at once, until it is expired.
        let later = 1300 + days(36);
        assert_eq!(step(Some(passed), false, &settings, later).1, Verdict::Pass);
        assert_eq!(step(Some(passed), false, &settings, later + 1).1, Verdict::Wait(300));
        // A retry that comes too late is a first attempt.
        let (again, verdict) = step(Some(first), false, &settings, 1001 + 24 * 3600);
        assert_eq!((again.first, verdict), (1001 + 24 * 3600, Verdict::Wait(300)));
        assert_eq!(step(None, true, &settings, 5).1, Verdict::Pass);
    }

    #[test]
    fn a_known_sender_is_written_now_and_then() {
        let known = Known { first: 0, last: 0, passed: Some(0) };
        assert!(worth_writing(None, known));
        assert!(!worth_writing(Some(known), Known { last: LAST_LAG, ..known }));
        assert!(worth_writing(Some(known), Known { last: LAST_LAG + 1, ..known }));
    }

    #[test]
    fn networks() {
        for (peer, expected) in [
            ("192.0.2.77", "192.0.2.0/24"),
            ("::ffff:192.0.2.77", "192.0.2.0/24"),
            ("2001:db8:1:2:3::1", "2001:db8:1:2::/64"),
        ] {
            assert_eq!(network(peer.parse().unwrap(), &settings()), expected);
        }
        let whole = Settings { ipv4_prefix: 32, ..settings() };
        assert_eq!(network("192.0.2.77".parse().unwrap(), &whole), "192.0.2.77/32");
    }
}
