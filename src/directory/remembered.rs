//! The short memory of passwords that were right: phones log in every few minutes, each time with the same
//! password, and argon2 is made to be slow.
//!
//! What is kept is a keyed BLAKE3 of the stored hash and the password, under a key that this process alone
//! knows and never writes down. The stored hash is part of it, so a changed password is forgotten by itself,
//! on every node, at the very login that reads the new hash; nobody needs to be told. Whether the account may
//! still log in is not remembered here: the caller reads that with the stored hash, each time.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use ring::rand::{SecureRandom, SystemRandom};

use super::recent::Recent;
use crate::sasl::Secret;

/// Long enough for clients that poll, short enough that a stolen memory image holds little.
const LIFETIME: Duration = Duration::from_secs(5 * 60);
/// About 6 MB.
const CAPACITY: usize = 50_000;

/// The memory, one for a process. Bounded: the oldest entries go first.
pub struct Remembered {
    key: [u8; blake3::KEY_LEN],
    lifetime: Duration,
    entries: Mutex<Recent<i64, (blake3::Hash, Instant)>>,
}

impl Remembered {
    /// An empty memory with a fresh key; `None` when the system gives no random numbers.
    pub fn new() -> Option<Self> {
        Self::with(CAPACITY, LIFETIME)
    }

    fn with(capacity: usize, lifetime: Duration) -> Option<Self> {
        let mut key = [0; blake3::KEY_LEN];
        SystemRandom::new().fill(&mut key).ok()?;
        Some(Self { key, lifetime, entries: Mutex::new(Recent::new(capacity)) })
    }

    /// Remembers that this password was right for this stored hash. `id` is the row that holds the hash; each
    /// id has one entry.
    pub fn remember(&self, id: i64, stored: &str, password: &Secret, now: Instant) {
        let entry = (self.print(id, stored, password), now);
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).put(id, entry);
    }

    /// Whether this password was found right for this stored hash within the lifetime. Being recalled does
    /// not prolong it.
    pub fn recalls(&self, id: i64, stored: &str, password: &Secret, now: Instant) -> bool {
        let print = self.print(id, stored, password);
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        // BLAKE3 hashes are compared in constant time.
        entries.get(&id).is_some_and(|(kept, since)| {
            *kept == print && now.saturating_duration_since(*since) < self.lifetime
        })
    }

    fn print(&self, id: i64, stored: &str, password: &Secret) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&id.to_le_bytes());
        // The length parts the two, so that no other pair reads the same.
        hasher.update(&(stored.len() as u64).to_le_bytes());
        hasher.update(stored.as_bytes());
        hasher.update(password.expose());
        hasher.finalize()
    }
}

impl std::fmt::Debug for Remembered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remembered").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recalls_only_what_was_right() {
        let (memory, now) = (Remembered::new().unwrap(), Instant::now());
        let password = Secret::from("pw");
        assert!(!memory.recalls(1, "hash", &password, now));
        memory.remember(1, "hash", &password, now);
        assert!(!memory.recalls(1, "hash", &"other".into(), now));
        assert!(!memory.recalls(1, "new hash", &password, now));
        assert!(!memory.recalls(2, "hash", &password, now));
        assert!(!memory.recalls(1, "hashp", &"w".into(), now));
        assert!(memory.recalls(1, "hash", &password, now));
    }

    #[test]
    fn forgets_after_its_lifetime() {
        let (memory, now) = (Remembered::new().unwrap(), Instant::now());
        let password = Secret::from("pw");
        memory.remember(1, "hash", &password, now);
        assert!(memory.recalls(1, "hash", &password, now + LIFETIME - Duration::from_secs(1)));
        assert!(!memory.recalls(1, "hash", &password, now + LIFETIME));
    }

    #[test]
    fn is_bounded() {
        let (memory, now) = (Remembered::with(2, LIFETIME).unwrap(), Instant::now());
        let password = Secret::from("pw");
        for id in 1..=3 {
            memory.remember(id, "hash", &password, now);
        }
        assert_eq!([1, 2, 3].map(|id| memory.recalls(id, "hash", &password, now)), [false, true, true]);
    }

    #[test]
    fn two_processes_have_two_keys() {
        let print = |memory: Remembered| memory.print(1, "hash", &"pw".into());
        assert_ne!(print(Remembered::new().unwrap()), print(Remembered::new().unwrap()));
    }
}
