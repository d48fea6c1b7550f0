//! TXT records as mail-auth has parsed them, kept for as long as their TTL says, in bounded memory.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use mail_auth::ResolverCache;

/// Records kept at most; when they are more, those that have expired go, and then all.
const MOST: usize = 10_000;

/// A cache with times.
pub(super) struct Cache<V>(Mutex<HashMap<Box<str>, (V, Instant)>>);

impl<V> Default for Cache<V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<V> Cache<V> {
    /// Forgets everything.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl<V: Clone> ResolverCache<Box<str>, V> for Cache<V> {
    fn get<Q>(&self, name: &Q) -> Option<V>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (value, until) = map.get(name)?;
        (*until > Instant::now()).then(|| value.clone())
    }

    fn remove<Q>(&self, name: &Q) -> Option<V>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name).map(|(value, _)| value)
    }

    fn insert(&self, key: Box<str>, value: V, valid_until: Instant) {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if map.len() >= MOST {
            let now = Instant::now();
            map.retain(|_, (_, until)| *until > now);
            if map.len() >= MOST {
                map.clear();
            }
        }
        map.insert(key, (value, valid_until));
    }
}
