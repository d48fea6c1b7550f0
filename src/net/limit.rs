//! How many connections at once: per service, per client address, per account.
//!
//! Counters live as long as the [`Guard`]s that hold them up; an entry at zero is removed, so that memory follows the
//! number of connections and not the number of addresses ever seen. The limits come with every question, so a changed
//! setting counts for the next connection; it doesn't send away those who are in.
//!
//! An IPv6 client is its /64 network: that is what one customer gets (RFC 6177), and single addresses cost nothing.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The counters of one node.
#[derive(Debug, Default)]
pub struct Limits {
    counts: Mutex<HashMap<Key, u32>>,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    Service(&'static str),
    Peer(&'static str, IpAddr),
    Account(&'static str, i64),
}

/// How many are allowed; `None` is any number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    /// In the whole service, on this node.
    pub total: Option<u32>,
    /// From one IPv4 address or one IPv6 /64.
    pub peer: Option<u32>,
}

/// Why someone is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The service is full.
    #[error("{service} has {max} connections, its limit")]
    Total {
        /// The service.
        service: &'static str,
        /// Its limit.
        max: u32,
    },
    /// This address has enough.
    #[error("{peer} has {max} connections to {service}, the limit for one address")]
    Peer {
        /// The service.
        service: &'static str,
        /// The client's address, or the first of its network.
        peer: IpAddr,
        /// The limit for one address.
        max: u32,
    },
    /// This account has enough.
    #[error("account {account} has {max} connections to {service}, the limit for one account")]
    Account {
        /// The service.
        service: &'static str,
        /// The account's id.
        account: i64,
        /// The limit for one account.
        max: u32,
    },
}

/// A place in the counts, given back when dropped.
#[derive(Debug)]
pub struct Guard {
    limits: Arc<Limits>,
    service: &'static str,
    peer: IpAddr,
    account: Option<i64>,
}

impl Limits {
    /// Counters at zero.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Counts a connection in, unless a limit is reached.
    ///
    /// # Errors
    /// The limit that is reached; nothing is counted then.
    pub fn admit(
        self: &Arc<Self>,
        service: &'static str,
        peer: IpAddr,
        caps: Caps,
    ) -> Result<Guard, Refusal> {
        let peer = network(peer);
        let (whole, one) = (Key::Service(service), Key::Peer(service, peer));
        let mut counts = self.lock();
        if let Some(max) = reached(&counts, whole, caps.total) {
            return Err(Refusal::Total { service, max });
        }
        if let Some(max) = reached(&counts, one, caps.peer) {
            return Err(Refusal::Peer { service, peer, max });
        }
        raise(&mut counts, whole);
        raise(&mut counts, one);
        drop(counts);
        Ok(Guard { limits: self.clone(), service, peer, account: None })
    }

    /// How many connections a service has.
    pub fn connections(&self, service: &'static str) -> u32 {
        self.lock().get(&Key::Service(service)).copied().unwrap_or(0)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, u32>> {
        // Every change under the lock is whole, so a panic elsewhere can't have left it half done.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guard {
    /// Counts the connection for an account as well, in place of the one it was counted for before.
    ///
    /// # Errors
    /// When the account has `max` connections to this service; the count is then as it was.
    pub fn login(&mut self, account: i64, max: Option<u32>) -> Result<(), Refusal> {
        if self.account == Some(account) {
            return Ok(());
        }
        let mut counts = self.limits.lock();
        let key = Key::Account(self.service, account);
        if let Some(max) = reached(&counts, key, max) {
            return Err(Refusal::Account { service: self.service, account, max });
        }
        raise(&mut counts, key);
        if let Some(former) = self.account.replace(account) {
            lower(&mut counts, Key::Account(self.service, former));
        }
        Ok(())
    }

    /// Counts the connection for another client, and for no account: a proxy has said whom it speaks for. Its place in the
    /// whole service it keeps.
    ///
    /// # Errors
    /// When that client has `max` connections to this service; the counts are then as they were.
    pub fn move_to(&mut self, peer: IpAddr, max: Option<u32>) -> Result<(), Refusal> {
        let peer = network(peer);
        if peer != self.peer {
            let mut counts = self.limits.lock();
            let key = Key::Peer(self.service, peer);
            if let Some(max) = reached(&counts, key, max) {
                return Err(Refusal::Peer { service: self.service, peer, max });
            }
            raise(&mut counts, key);
            lower(&mut counts, Key::Peer(self.service, self.peer));
            drop(counts);
            self.peer = peer;
        }
        self.logout();
        Ok(())
    }

    /// Takes the connection out of its account's count: the client has logged out and stays.
    pub fn logout(&mut self) {
        if let Some(account) = self.account.take() {
            lower(&mut self.limits.lock(), Key::Account(self.service, account));
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.logout();
        let mut counts = self.limits.lock();
        lower(&mut counts, Key::Service(self.service));
        lower(&mut counts, Key::Peer(self.service, self.peer));
    }
}

fn reached(counts: &HashMap<Key, u32>, key: Key, max: Option<u32>) -> Option<u32> {
    max.filter(|max| counts.get(&key).copied().unwrap_or(0) >= *max)
}

fn raise(counts: &mut HashMap<Key, u32>, key: Key) {
    *counts.entry(key).or_insert(0) += 1;
}

fn lower(counts: &mut HashMap<Key, u32>, key: Key) {
    if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

/// What counts as one client.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        four => four,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn caps(total: u32, peer: u32) -> Caps {
        Caps { total: Some(total), peer: Some(peer) }
    }

    #[test]
    fn refuses_at_each_limit_and_counts_nothing_then() {
        let limits = Limits::new();
        let a = ip("192.0.2.1");
        assert!(limits.admit("imap", a, caps(0, 1)).is_err());
        let first = limits.admit("imap", a, caps(2, 1)).unwrap();
        let full = limits.admit("imap", a, caps(2, 1)).unwrap_err();
        assert_eq!(full, Refusal::Peer { service: "imap", peer: a, max: 1 });
        assert!(full.to_string().contains("192.0.2.1 has 1 connections to imap"), "{full}");
        let second = limits.admit("imap", ip("192.0.2.2"), caps(2, 1)).unwrap();
        let full = limits.admit("imap", ip("192.0.2.3"), caps(2, 1)).unwrap_err();
        assert_eq!(full, Refusal::Total { service: "imap", max: 2 });
        assert_eq!(limits.connections("imap"), 2);
        // Another service, or a limit raised meanwhile, lets in.
        drop(limits.admit("pop3", a, caps(2, 1)).unwrap());
        drop(limits.admit("imap", a, caps(3, 2)).unwrap());
        drop((first, second));
        assert!(limits.lock().is_empty());
    }

    #[test]
    fn an_ipv6_client_is_its_network_and_a_mapped_one_is_ipv4() {
        let limits = Limits::new();
        let _one = limits.admit("smtp", ip("2001:db8::1"), caps(9, 1)).unwrap();
        assert!(limits.admit("smtp", ip("2001:db8::ffff:1"), caps(9, 1)).is_err());
        let _two = limits.admit("smtp", ip("2001:db8:0:1::1"), caps(9, 1)).unwrap();
        let _three = limits.admit("smtp", ip("::ffff:192.0.2.1"), caps(9, 1)).unwrap();
        assert!(limits.admit("smtp", ip("192.0.2.1"), caps(9, 1)).is_err());
    }

    #[test]
    fn accounts_are_counted_across_addresses() {
        let limits = Limits::new();
        let mut one = limits.admit("imap", ip("192.0.2.1"), Caps::default()).unwrap();
        let mut two = limits.admit("imap", ip("192.0.2.2"), Caps::default()).unwrap();
        one.login(7, Some(1)).unwrap();
        one.login(7, Some(1)).unwrap();
        assert_eq!(two.login(7, Some(1)), Err(Refusal::Account { service: "imap", account: 7, max: 1 }));
        two.login(8, Some(1)).unwrap();
        one.logout();
        two.login(7, Some(1)).unwrap();
        one.login(8, Some(1)).unwrap();
        drop((one, two));
        assert!(limits.lock().is_empty());
    }

    #[test]
    fn who_is_spoken_for_is_counted_in_place_of_the_proxy() {
        let limits = Limits::new();
        let (proxy, client) = (ip("192.0.2.1"), ip("192.0.2.2"));
        // The service is full, and the proxy has its one: none of that matters to a connection that is in.
        let mut one = limits.admit("smtp", proxy, caps(1, 1)).unwrap();
        one.login(7, Some(1)).unwrap();
        one.move_to(client, Some(1)).unwrap();
        assert_eq!(limits.connections("smtp"), 1);
        let mut two = limits.admit("smtp", proxy, caps(2, 1)).unwrap();
        assert_eq!(
            two.move_to(client, Some(1)),
            Err(Refusal::Peer { service: "smtp", peer: client, max: 1 })
        );
        assert!(limits.admit("smtp", proxy, caps(3, 1)).is_err(), "the second one is still the proxy's");
        two.login(7, Some(1)).unwrap();
        drop((one, two));
        assert!(limits.lock().is_empty());
    }
}
