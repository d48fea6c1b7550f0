//! The keywords of a mailbox: every set of keywords that some message has, stored once and numbered.
//!
//! Mailboxes have few distinct sets, so an entry carries a set's number instead of names; 0 is the empty set. A table
//! only grows, so that numbers mean the same in all snapshots made from one another, and is itself shared: adding
//! a set copies one block of each index, not the table. Sets that no message has any more are dropped when the
//! table has doubled since that was last done.
//!
//! A table holds whatever the mailbox holds. The bound on the number of names is kept where names come in: STORE and
//! APPEND ask [`Keywords::admits`]. Only past 2^27 - 1 distinct sets, more than such a process could hold
//! in memory, would a message show no keywords.

use std::cmp::Ordering;
use std::sync::Arc;

use super::block::KEYWORD_SETS_MAX;

/// The most keyword names that a mailbox should come to have. They are all listed in each SELECT (RFC 9051 §7.3.5),
/// which at this number is some 100 KB already.
pub const KEYWORD_NAMES_MAX: usize = 10_000;

/// The keyword sets and names of a mailbox.
#[derive(Clone, Debug)]
pub struct Keywords {
    /// The sets by number, from 1, in chunks of [`CHUNK`].
    by_number: Vec<Arc<Vec<Set>>>,
    sets: Ordered<(Set, u32)>,
    names: Ordered<Arc<str>>,
    rebuild_at: usize,
    bytes: usize,
}

/// Names, sorted, each once.
type Set = Arc<[Arc<str>]>;

const CHUNK: usize = 256;
const REBUILD_MIN: usize = 1024;

impl Default for Keywords {
    fn default() -> Keywords {
        Keywords {
            by_number: Vec::new(),
            sets: Ordered::default(),
            names: Ordered::default(),
            rebuild_at: REBUILD_MIN,
            bytes: 0,
        }
    }
}

impl Keywords {
    /// The names of all keywords that messages have, sorted; some may be among them that messages had of late.
    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.names.iter()
    }

    /// How many names there are.
    pub fn names_len(&self) -> usize {
        self.names.len
    }

    /// Whether a message may be given this keyword: it is in use already, or there is room for one more name.
    pub fn admits(&self, name: &str) -> bool {
        self.names.len < KEYWORD_NAMES_MAX || self.knows(name)
    }

    /// Whether the name is among the [names](Keywords::names).
    pub fn knows(&self, name: &str) -> bool {
        self.names.find(|known| (**known).cmp(name)).is_ok()
    }

    /// The names in a set; none for 0 and for numbers never given out.
    pub(super) fn names_of(&self, number: u32) -> &[Arc<str>] {
        self.set(number).map_or(&[], |set| set)
    }

    /// Whether two numbers, each in its own table, stand for the same keywords.
    pub(super) fn is_same_set(&self, number: u32, other: &Keywords, others: u32) -> bool {
        if number == others && std::ptr::eq(self, other) {
            return true;
        }
        self.names_of(number) == other.names_of(others)
    }

    /// Whether it is time to drop what is no longer in use.
    pub(super) fn is_overgrown(&self) -> bool {
        self.weight() >= self.rebuild_at
    }

    /// Takes the present size as that of a table without anything to drop.
    pub(super) fn settle(&mut self) {
        self.rebuild_at = REBUILD_MIN.max(self.weight() * 2);
    }

    /// Its bytes on the heap, short of what allocations round up to.
    pub(super) fn footprint(&self) -> usize {
        self.bytes
    }

    fn weight(&self) -> usize {
        self.sets.len + self.names.len
    }

    fn set(&self, number: u32) -> Option<&Set> {
        let at = (number as usize).checked_sub(1)?;
        self.by_number.get(at / CHUNK)?.get(at % CHUNK)
    }

    /// The number of a set of sorted names; or where it would stand among the sets.
    fn number_of(&self, names: &[&str]) -> Result<u32, Place> {
        let found = self.sets.find(|(set, _)| set.iter().map(|name| &**name).cmp(names.iter().copied()));
        found.map(|(_, number)| *number)
    }

    fn add(&mut self, names: &[&str], place: Place) -> u32 {
        if self.sets.len >= KEYWORD_SETS_MAX as usize {
            return 0;
        }
        let set: Set = names.iter().map(|name| self.add_name(name)).collect();
        let number = self.sets.len as u32 + 1;
        self.bytes +=
            2 * size_of::<usize>() + size_of_val(&*set) + size_of::<Set>() + size_of::<(Set, u32)>();
        self.sets.insert(place, (Arc::clone(&set), number));
        match self.by_number.last_mut() {
            Some(chunk) if chunk.len() < CHUNK => Arc::make_mut(chunk).push(set),
            _ => self.by_number.push(Arc::new(vec![set])),
        }
        number
    }

    fn add_name(&mut self, name: &str) -> Arc<str> {
        match self.names.find(|known| (**known).cmp(name)) {
            Ok(known) => Arc::clone(known),
            Err(place) => {
                let new: Arc<str> = Arc::from(name);
                self.bytes += 2 * size_of::<usize>() + name.len() + size_of::<Arc<str>>();
                self.names.insert(place, Arc::clone(&new));
                new
            }
        }
    }
}

/// The number of the set of these names, in any order, in a table that is copied only if it must grow.
pub(super) fn intern<S: AsRef<str>>(table: &mut Arc<Keywords>, names: &[S]) -> u32 {
    if names.is_empty() {
        return 0;
    }
    let mut sorted: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    sorted.sort_unstable();
    sorted.dedup();
    match table.number_of(&sorted) {
        Ok(number) => number,
        Err(place) => Arc::make_mut(table).add(&sorted, place),
    }
}

/// The number in `table` of a set that has this number in another table.
pub(super) fn carry(table: &mut Arc<Keywords>, from: &Keywords, number: u32) -> u32 {
    match (from.set(number), table.set(number)) {
        (None, _) => 0,
        (Some(theirs), Some(ours)) if Arc::ptr_eq(theirs, ours) => number,
        (Some(theirs), _) => intern(table, theirs),
    }
}

/// Sorted items in shared blocks: to add one copies its block and the list of blocks.
#[derive(Clone, Debug)]
struct Ordered<T> {
    blocks: Vec<Arc<Vec<T>>>,
    len: usize,
}

/// Where an item belongs.
#[derive(Clone, Copy, Debug)]
struct Place {
    block: usize,
    at: usize,
}

impl<T> Default for Ordered<T> {
    fn default() -> Ordered<T> {
        Ordered { blocks: Vec::new(), len: 0 }
    }
}

impl<T: Clone> Ordered<T> {
    fn iter(&self) -> impl Iterator<Item = &T> {
        self.blocks.iter().flat_map(|block| block.iter())
    }

    /// The item that `order` finds equal, or its place.
    fn find(&self, order: impl Fn(&T) -> Ordering) -> Result<&T, Place> {
        let is_before = |block: &Arc<Vec<T>>| block.last().is_some_and(|last| order(last).is_lt());
        let last = self.blocks.len().saturating_sub(1);
        let block = self.blocks.partition_point(is_before).min(last);
        let Some(items) = self.blocks.get(block) else { return Err(Place { block, at: 0 }) };
        match items.binary_search_by(&order) {
            Ok(at) => items.get(at).ok_or(Place { block, at }),
            Err(at) => Err(Place { block, at }),
        }
    }

    fn insert(&mut self, place: Place, item: T) {
        self.len += 1;
        let Some(block) = self.blocks.get_mut(place.block) else {
            self.blocks.push(Arc::new(vec![item]));
            return;
        };
        let block = Arc::make_mut(block);
        block.insert(place.at, item);
        if block.len() > CHUNK {
            let upper = block.split_off(CHUNK / 2);
            self.blocks.insert(place.block + 1, Arc::new(upper));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn admits_no_more_names_than_the_limit() {
        let mut table = Arc::new(Keywords::default());
        for number in 0..KEYWORD_NAMES_MAX {
            assert!(table.admits(&format!("k{number}")));
            intern(&mut table, &[format!("k{number}")]);
        }
        assert!(!table.admits("one-more"));
        assert!(table.admits("k77"), "a name in use stays usable");
    }

    #[test]
    fn a_number_never_given_out_has_no_names() {
        let mut table = Arc::new(Keywords::default());
        intern(&mut table, &["$Junk"]);
        for number in [0, 2, 257, u32::MAX] {
            assert!(table.names_of(number).is_empty());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Numbers keep their meaning in every table they were ever given out in, in branches too, and
        /// carry translates between branches.
        #[test]
        fn numbers_keep_their_meaning(sets in prop::collection::vec(prop::collection::vec(0u16..900, 0..4), 1..900)) {
            let mut table = Arc::new(Keywords::default());
            let mut model: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
            let mut branch = None;
            for (at, set) in sets.iter().enumerate() {
                if at == sets.len() / 2 {
                    branch = Some((Arc::clone(&table), model.clone()));
                }
                let names: Vec<String> = set.iter().map(|name| format!("k{name}")).collect();
                let number = intern(&mut table, &names);
                let wanted: BTreeSet<String> = names.into_iter().collect();
                prop_assert_eq!(model.entry(number).or_insert_with(|| wanted.clone()), &wanted);
            }
            let distinct: BTreeSet<&BTreeSet<String>> = model.values().collect();
            prop_assert_eq!(distinct.len(), model.len(), "one number for a set");
            let all: BTreeSet<&str> = model.values().flatten().map(String::as_str).collect();
            prop_assert!(table.names().map(|name| &**name).eq(all.iter().copied()), "sorted, each once");
            let Some((mut old, old_model)) = branch else { return Ok(()) };
            for (number, wanted) in &old_model {
                prop_assert!(old.names_of(*number).iter().map(|name| &**name).eq(wanted));
            }
            intern(&mut old, &["only in the branch"]);
            for (number, wanted) in &model {
                let carried = carry(&mut old, &table, *number);
                prop_assert!(old.names_of(carried).iter().map(|name| &**name).eq(wanted));
                prop_assert!(old.is_same_set(carried, &table, *number));
            }
        }
    }
}
