//! A map that forgets what was written longest ago once it is full: what keeps memory of strangers bounded.

use std::{
    borrow::Borrow,
    collections::{BTreeMap, HashMap},
    hash::Hash,
};

/// At most `capacity` entries. Reading does not renew an entry; writing does. Each operation costs O(log n).
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    capacity: usize,
    entries: HashMap<K, (u64, V)>,
    /// Keys by the turn in which they were written.
    order: BTreeMap<u64, K>,
    turn: u64,
}

impl<K: Hash + Eq + Clone, V> Recent<K, V> {
    /// An empty map. Capacity 0 remembers nothing.
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, entries: HashMap::new(), order: BTreeMap::new(), turn: 0 }
    }

    /// What was last written under a key.
    pub(super) fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entries.get(key).map(|(_, value)| value)
    }

    /// Forgets a key.
    pub(super) fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        if let Some((turn, _)) = self.entries.remove(key) {
            self.order.remove(&turn);
        }
    }

    /// Writes an entry, and forgets the oldest ones that have no room beside it.
    pub(super) fn put(&mut self, key: K, value: V) {
        self.remove(&key);
        self.turn += 1;
        self.order.insert(self.turn, key.clone());
        self.entries.insert(key, (self.turn, value));
        while self.entries.len() > self.capacity {
            let Some((_, oldest)) = self.order.pop_first() else { return };
            self.entries.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn forgets_the_oldest_written() {
        let mut recent = Recent::new(2);
        for key in ["a", "b", "a", "c"] {
            recent.put(key, ());
        }
        assert_eq!((recent.get("a"), recent.get("b"), recent.get("c")), (Some(&()), None, Some(&())));
        let mut nothing = Recent::new(0);
        nothing.put("a", ());
        assert_eq!(nothing.get("a"), None);
    }

    proptest! {
        #[test]
        fn stays_within_bounds(
            capacity in 0usize..6,
            steps in prop::collection::vec((any::<bool>(), 0u8..10, any::<u8>()), 0..60),
        ) {
            let mut recent = Recent::new(capacity);
            for (put, key, value) in steps {
                if put { recent.put(key, value) } else { recent.remove(&key) }
                prop_assert!(recent.entries.len() <= capacity);
                prop_assert_eq!(recent.entries.len(), recent.order.len());
                prop_assert_eq!(recent.get(&key).copied(), (put && capacity > 0).then_some(value));
            }
        }
    }
}
