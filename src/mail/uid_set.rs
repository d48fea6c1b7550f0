//! A set of uids, as stored and as answered (COPYUID, ESEARCH, VANISHED): ranges in order, as few as possible.
//!
//! What must hold: ranges ascend, neither overlap nor touch, and never hold 0, which is no uid. So equal sets have equal
//! ranges, and the text is the shortest.

use std::{fmt, ops::RangeInclusive};

use super::sequence_set::{SequenceSet, SequenceSetError};

/// A set of numbers from 1 to 4,294,967,295.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct UidSet {
    /// First and last of each range.
    ranges: Vec<(u32, u32)>,
}

impl UidSet {
    /// The empty set.
    pub fn new() -> UidSet {
        UidSet::default()
    }

    /// Reads a `uid-set` (RFC 4315 §4, RFC 7162 §7): a sequence set without `*`.
    pub fn parse(text: &[u8]) -> Result<UidSet, SequenceSetError> {
        let set = SequenceSet::parse(text)?;
        if set.has_star() { Err(SequenceSetError::Star) } else { Ok(set.resolve(u32::MAX)) }
    }

    /// Adds one uid; 0 is not added. Cheap at the end of the set; elsewhere the ranges after it may have to move.
    pub fn insert(&mut self, uid: u32) {
        self.insert_range(uid..=uid);
    }

    /// Adds all uids of a range; 0 and a range that ends before it begins add nothing. To add many ranges in no order,
    /// collect them instead.
    pub fn insert_range(&mut self, range: RangeInclusive<u32>) {
        let (first, last) = (*range.start().max(&1), *range.end());
        if first > last {
            return;
        }
        // The ranges that overlap or touch the new one: they become one with it.
        let from = self.ranges.partition_point(|&(_, end)| end < first - 1);
        let to = self.ranges.partition_point(|&(start, _)| start <= last.saturating_add(1));
        let merged = match self.ranges.get(from..to) {
            Some([one]) => (first.min(one.0), last.max(one.1)),
            Some([low, .., high]) => (first.min(low.0), last.max(high.1)),
            _ => (first, last),
        };
        self.ranges.splice(from..to, [merged]);
    }

    /// Whether the uid is in the set.
    pub fn contains(&self, uid: u32) -> bool {
        let at = self.ranges.partition_point(|&(_, end)| end < uid);
        self.ranges.get(at).is_some_and(|&(start, _)| start <= uid)
    }

    /// All uids, ascending. There may be four thousand million: to walk a set from outside, walk
    /// [`ranges`](UidSet::ranges) against what exists.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = u32> {
        self.ranges().flatten()
    }

    /// The ranges, ascending, with gaps between them.
    pub fn ranges(&self) -> impl DoubleEndedIterator<Item = RangeInclusive<u32>> + ExactSizeIterator {
        self.ranges.iter().map(|&(start, end)| start..=end)
    }

    /// How many uids are in the set.
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(|&(start, end)| u64::from(end - start) + 1).sum()
    }

    /// Whether no uid is in the set.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The least uid.
    pub fn first(&self) -> Option<u32> {
        self.ranges.first().map(|&(start, _)| start)
    }

    /// The greatest uid.
    pub fn last(&self) -> Option<u32> {
        self.ranges.last().map(|&(_, end)| end)
    }

    /// The uids of either set.
    pub fn union(&self, other: &UidSet) -> UidSet {
        self.ranges().chain(other.ranges()).collect()
    }
}

/// Sorts and joins: for n ranges in any order, n log n steps.
impl FromIterator<RangeInclusive<u32>> for UidSet {
    fn from_iter<I: IntoIterator<Item = RangeInclusive<u32>>>(ranges: I) -> UidSet {
        let mut sorted: Vec<(u32, u32)> =
            ranges.into_iter().map(|range| (*range.start(), *range.end())).collect();
        sorted.sort_unstable();
        let mut set = UidSet::new();
        for (start, end) in sorted {
            // Never before the last range: at the end of the vector, where adding is cheap.
            set.insert_range(start..=end);
        }
        set
    }
}

impl FromIterator<u32> for UidSet {
    fn from_iter<I: IntoIterator<Item = u32>>(uids: I) -> UidSet {
        uids.into_iter().map(|uid| uid..=uid).collect()
    }
}

/// The IMAP form, `1:3,7`. The empty set has none there and is shown as nothing.
impl fmt::Display for UidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, &(start, end)) in self.ranges.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            if start == end {
                write!(f, "{comma}{start}")?;
            } else {
                write!(f, "{comma}{start}:{end}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_uid_is_not_added() {
        let mut set = UidSet::new();
        set.insert(0);
        #[allow(clippy::reversed_empty_ranges)]
        set.insert_range(5..=4);
        assert!(set.is_empty());
        set.insert_range(0..=2);
        assert_eq!(set.to_string(), "1:2");
        assert!(!set.contains(0));
    }

    #[test]
    fn a_uid_set_has_no_star() {
        assert_eq!(UidSet::parse(b"1:*"), Err(SequenceSetError::Star));
        assert_eq!(UidSet::parse(b""), Err(SequenceSetError::Number));
        assert_eq!(UidSet::parse(b"7,3:1,2").unwrap().to_string(), "1:3,7");
    }

    #[test]
    fn up_to_the_last_number() {
        let mut set: UidSet = [u32::MAX].into_iter().collect();
        set.insert(u32::MAX - 1);
        set.insert_range(1..=u32::MAX);
        assert_eq!((set.len(), set.first(), set.last()), (u64::from(u32::MAX), Some(1), Some(u32::MAX)));
        assert_eq!(set.to_string(), "1:4294967295");
        assert_eq!(UidSet::new().to_string(), "");
    }

    #[test]
    fn a_million_uids_in_falling_order() {
        let set: UidSet = (1..=1_000_000).rev().map(|n| n * 2).collect();
        assert_eq!((set.len(), set.ranges().len()), (1_000_000, 1_000_000));
    }

    fn ranges() -> impl Strategy<Value = Vec<RangeInclusive<u32>>> {
        prop::collection::vec((1u32..60, 0u32..6).prop_map(|(start, more)| start..=start + more), 0..20)
    }

    proptest! {
        #[test]
        fn as_a_tree_set(ranges in ranges(), others in ranges()) {
            let mut set = UidSet::new();
            let mut model = BTreeSet::new();
            for range in &ranges {
                set.insert_range(range.clone());
                model.extend(range.clone());
                prop_assert!(set.iter().eq(model.iter().copied()));
            }
            prop_assert_eq!(&set, &ranges.iter().cloned().collect::<UidSet>());
            prop_assert!(set.ranges.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0), "{:?}", set.ranges);
            prop_assert_eq!(set.len(), model.len() as u64);
            prop_assert_eq!((set.first(), set.last()), (model.first().copied(), model.last().copied()));
            prop_assert!((0..70).all(|uid| set.contains(uid) == model.contains(&uid)));
            if !set.is_empty() {
                prop_assert_eq!(&UidSet::parse(set.to_string().as_bytes()).unwrap(), &set);
            }
            let other: UidSet = others.iter().cloned().collect();
            model.extend(others.into_iter().flatten());
            prop_assert!(set.union(&other).iter().eq(model));
        }
    }
}
