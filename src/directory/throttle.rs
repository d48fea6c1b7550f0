//! Locks against guessing: after too many failed logins, an account name and a peer address are refused for a
//! while.
//!
//! - A name is counted whether or not an account bears it: being locked tells nothing.
//! - A success clears the name, never the peer: one account of one's own must not pay for guesses at others.
//! - Failures leak away: one is forgotten every `lock / failures`, all of them by the time a lock ends.
//! - A failure during a lock does not prolong it, or strangers could keep an account locked for good.
//!
//! [`decide`] and [`after_failure`] are the whole rule, on a [`Record`] with the columns of
//! `live.login_failure`. The database holds what all nodes share; [`Throttle`] is one node's memory of it,
//! for when the database is not asked.

use std::{net::IpAddr, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::recent::Recent;

/// A longer name is counted by its digest, and so is one that PostgreSQL could not store.
const MAX_NAME: usize = 256;
/// Names and peers that one node remembers: some 30 MB at most.
const CAPACITY: usize = 100_000;

/// When to lock, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// The failure that locks; 0 never locks.
    pub failures: u32,
    /// How long, from that failure on.
    pub lock: Duration,
}

impl Default for Policy {
    /// Six failures, fifteen minutes.
    fn default() -> Self {
        Self { failures: 6, lock: Duration::from_secs(15 * 60) }
    }
}

/// What is known of one key: a row of `live.login_failure`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Failures at `last_at`, those leaked away by then left out.
    pub failures: u32,
    /// The last failure.
    pub last_at: Timestamp,
    /// The end of the lock, if one was put on; it may have passed. An operator may put one on by hand.
    pub locked_until: Option<Timestamp>,
}

/// Whether a login may be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Decision {
    /// It may.
    Allowed,
    /// It may not, whatever the password; the caller answers as to a wrong one.
    Locked {
        /// When it may again.
        until: Timestamp,
    },
}

/// Whether the record allows a login now.
pub fn decide(record: &Record, now: Timestamp) -> Decision {
    match record.locked_until {
        Some(until) if now < until => Decision::Locked { until },
        _ => Decision::Allowed,
    }
}

/// The record after one more failure.
pub fn after_failure(record: Option<&Record>, now: Timestamp, policy: &Policy) -> Record {
    if let Some(locked) = record.filter(|record| decide(record, now) != Decision::Allowed) {
        return *locked;
    }
    let failures = record.map_or(0, |record| remaining(record, now, policy)).saturating_add(1);
    let locks = policy.failures > 0 && failures >= policy.failures;
    Record { failures, last_at: now, locked_until: locks.then(|| later(now, policy.lock)) }
}

/// The failures that have not leaked away yet. A clock that went backwards leaks nothing.
fn remaining(record: &Record, now: Timestamp, policy: &Policy) -> u32 {
    let elapsed = now.duration_since(record.last_at).max(SignedDuration::ZERO).as_millis();
    let lock = i128::try_from(policy.lock.as_millis()).unwrap_or(i128::MAX).max(1);
    let leaked = elapsed.saturating_mul(i128::from(policy.failures)) / lock;
    record.failures.saturating_sub(u32::try_from(leaked).unwrap_or(u32::MAX))
}

fn later(now: Timestamp, by: Duration) -> Timestamp {
    now.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// The key of a name: `account:alice@example.test`. Case is folded, and the name stands as the client gave
/// it, so the caller completes a missing domain first.
pub fn key_for_account(name: &str) -> String {
    let storable = name.len() <= MAX_NAME && !name.chars().any(char::is_control);
    if storable {
        format!("account:{}", name.to_lowercase())
    } else {
        format!("account:#{}", blake3::hash(name.as_bytes()).to_hex())
    }
}

/// The key of a peer: `peer:192.0.2.1`, or `peer:2001:db8::/64`, since one customer has all of a /64.
pub fn key_for_peer(peer: IpAddr) -> String {
    match peer.to_canonical() {
        IpAddr::V4(address) => format!("peer:{address}"),
        IpAddr::V6(address) => {
            let network = std::net::Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX));
            format!("peer:{network}/64")
        }
    }
}

/// One node's memory. Bounded: what failed longest ago is forgotten first.
#[derive(Debug)]
pub struct Throttle {
    accounts: Recent<String, Record>,
    peers: Recent<String, Record>,
    account_policy: Policy,
    peer_policy: Policy,
}

impl Throttle {
    /// An empty memory. A peer may stand for many people, so its policy is its own.
    pub fn new(account_policy: Policy, peer_policy: Policy) -> Self {
        Self::with_capacity(account_policy, peer_policy, CAPACITY)
    }

    fn with_capacity(account_policy: Policy, peer_policy: Policy, capacity: usize) -> Self {
        // Each has its own room: inventing names makes nobody forget the peer that does.
        let (accounts, peers) = (Recent::new(capacity / 2), Recent::new(capacity / 2));
        Self { accounts, peers, account_policy, peer_policy }
    }

    /// Takes other policies; what was counted stays counted.
    pub fn set_policies(&mut self, account_policy: Policy, peer_policy: Policy) {
        (self.account_policy, self.peer_policy) = (account_policy, peer_policy);
    }

    /// Whether this peer may try to log in under this name. The longer of two locks counts.
    pub fn check(&self, name: &str, peer: IpAddr, now: Timestamp) -> Decision {
        [self.accounts.get(&key_for_account(name)), self.peers.get(&key_for_peer(peer))]
            .into_iter()
            .flatten()
            .map(|record| decide(record, now))
            .max()
            .unwrap_or(Decision::Allowed)
    }

    /// Counts a failed login for both, and says whether the next may be tried.
    pub fn failed(&mut self, name: &str, peer: IpAddr, now: Timestamp) -> Decision {
        let account = count(&mut self.accounts, key_for_account(name), now, &self.account_policy);
        let peer = count(&mut self.peers, key_for_peer(peer), now, &self.peer_policy);
        account.max(peer)
    }

    /// Clears the name after a right password. The peer's count only leaks away.
    pub fn succeeded(&mut self, name: &str) {
        self.accounts.remove(&key_for_account(name));
    }
}

fn count(records: &mut Recent<String, Record>, key: String, now: Timestamp, policy: &Policy) -> Decision {
    let record = after_failure(records.get(&key), now, policy);
    records.put(key, record);
    decide(&record, now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: i64 = 3600;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn peer(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// A throttle whose peers are never locked.
    fn names_only() -> Throttle {
        Throttle::new(Policy::default(), Policy { failures: 0, ..Policy::default() })
    }

    #[test]
    fn the_sixth_failure_locks_for_fifteen_minutes() {
        let (mut throttle, here) = (names_only(), peer("192.0.2.1"));
        for second in 0..5 {
            assert_eq!(throttle.failed("alice", here, at(second)), Decision::Allowed);
        }
        assert_eq!(throttle.check("alice", here, at(5)), Decision::Allowed);
        let locked = Decision::Locked { until: at(5 + 900) };
        assert_eq!(throttle.failed("Alice", here, at(5)), locked);
        assert_eq!(throttle.check("ALICE", peer("198.51.100.7"), at(5 + 899)), locked);
        assert_eq!(throttle.check("bob", here, at(6)), Decision::Allowed);
        assert_eq!(throttle.check("alice", here, at(5 + 900)), Decision::Allowed);
        assert_eq!(throttle.failed("alice", here, at(5 + 900)), Decision::Allowed);
    }

    #[test]
    fn a_failure_during_a_lock_does_not_prolong_it() {
        let (mut throttle, here) = (names_only(), peer("192.0.2.1"));
        for _ in 0..6 {
            throttle.failed("alice", here, at(0));
        }
        assert_eq!(throttle.failed("alice", here, at(600)), Decision::Locked { until: at(900) });
        assert_eq!(throttle.check("alice", here, at(900)), Decision::Allowed);
    }

    #[test]
    fn success_clears_the_name_but_not_the_peer() {
        let mut throttle = Throttle::new(Policy::default(), Policy::default());
        let here = peer("192.0.2.1");
        for name in ["a", "b", "c", "d", "mine"] {
            assert_eq!(throttle.failed(name, here, at(0)), Decision::Allowed);
        }
        throttle.succeeded("mine");
        assert_eq!(throttle.failed("mine", peer("192.0.2.2"), at(0)), Decision::Allowed);
        let locked = Decision::Locked { until: at(900) };
        assert_eq!(throttle.failed("e", here, at(0)), locked);
        assert_eq!(throttle.check("someone else", here, at(1)), locked);
        assert_eq!(throttle.check("mine", peer("192.0.2.2"), at(1)), Decision::Allowed);
    }

    #[test]
    fn failures_leak_away() {
        let (mut throttle, here) = (names_only(), peer("192.0.2.1"));
        for _ in 0..5 {
            throttle.failed("alice", here, at(0));
        }
        // One is forgotten after 150 seconds, and room for one is left.
        assert_eq!(throttle.failed("alice", here, at(150)), Decision::Allowed);
        assert_eq!(throttle.failed("alice", here, at(151)), Decision::Locked { until: at(151 + 900) });
        // Slower than the leak is for ever.
        for turn in 1..100 {
            assert_eq!(throttle.failed("bob", here, at(turn * 150)), Decision::Allowed);
        }
    }

    #[test]
    fn an_operators_lock_holds_and_none_locks() {
        let locked = Record { failures: 0, last_at: at(0), locked_until: Some(at(9 * HOUR)) };
        assert_eq!(decide(&locked, at(HOUR)), Decision::Locked { until: at(9 * HOUR) });
        assert_eq!(after_failure(Some(&locked), at(HOUR), &Policy::default()), locked);
        let never = Policy { failures: 0, ..Policy::default() };
        let many = Record { failures: u32::MAX, last_at: at(0), locked_until: None };
        assert_eq!(decide(&after_failure(Some(&many), at(0), &never), at(0)), Decision::Allowed);
    }

    #[test]
    fn keys_are_bounded_and_storable() {
        assert_eq!(key_for_account("Alice@Example.Test"), "account:alice@example.test");
        let hostile = ["a\0b".to_owned(), "a\nb".to_owned(), "x".repeat(1 << 20)];
        for name in &hostile {
            let key = key_for_account(name);
            assert!(key.len() < 100 && key.starts_with("account:#") && !key.contains('\0'), "{key}");
        }
        assert_ne!(key_for_account(&hostile[0]), key_for_account(&hostile[1]));
    }

    #[test]
    fn peers_are_addresses_or_customers() {
        for (address, key) in [
            ("192.0.2.1", "peer:192.0.2.1"),
            ("::ffff:192.0.2.1", "peer:192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "peer:2001:db8:1:2::/64"),
            ("2001:db8:1:2::9", "peer:2001:db8:1:2::/64"),
            ("::1", "peer:::/64"),
        ] {
            assert_eq!(key_for_peer(peer(address)), key, "{address}");
        }
    }

    #[test]
    fn memory_is_bounded() {
        let policy = Policy { failures: 1, ..Policy::default() };
        let mut throttle = Throttle::with_capacity(policy, Policy { failures: 0, ..policy }, 4);
        for name in ["a", "b", "c"] {
            throttle.failed(name, peer("192.0.2.1"), at(0));
        }
        let locked = Decision::Locked { until: at(900) };
        let decisions = ["a", "b", "c"].map(|name| throttle.check(name, peer("192.0.2.1"), at(0)));
        assert_eq!(decisions, [Decision::Allowed, locked, locked]);
    }

    proptest! {
        #[test]
        fn no_clock_and_no_record_breaks_it(
            failures in any::<u32>(),
            last in -377_705_023_201i64..=253_402_207_200,
            now in -377_705_023_201i64..=253_402_207_200,
            limit in any::<u32>(),
            lock in any::<u64>(),
        ) {
            let moment = |second| Timestamp::from_second(second).unwrap();
            let record = Record { failures, last_at: moment(last), locked_until: None };
            let policy = Policy { failures: limit, lock: Duration::from_secs(lock) };
            let after = after_failure(Some(&record), moment(now), &policy);
            prop_assert!(after.failures >= 1 && after.failures <= failures.saturating_add(1));
            prop_assert_eq!(after.locked_until.is_some(), limit > 0 && after.failures >= limit);
        }
    }
}
