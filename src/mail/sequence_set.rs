//! A `sequence-set` as a client wrote it (RFC 9051 §9): numbers, `*`, ranges with their ends in either order.
//!
//! What it means depends on the mailbox: [`SequenceSet::resolve`] says it. `$` (the saved search result) is the
//! command's to recognise.

use std::fmt;

use super::uid_set::UidSet;

/// The most elements that are accepted. A client that names every second message of a large mailbox stays below;
/// 8 bytes are kept for each.
const MAX_ELEMENTS: usize = 1_000_000;

/// `*` as an end of a range; 0 is never written.
const STAR: u32 = 0;

/// A sequence set that was parsed; it has at least one element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SequenceSet {
    /// Both ends as written.
    elements: Vec<(u32, u32)>,
}

/// Why a text is no sequence set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SequenceSetError {
    /// Something other than a number from 1 to 4294967295, or `*`.
    #[error("a sequence set consists of numbers from 1 to 4294967295, *, : and commas")]
    Number,
    /// More than a million elements.
    #[error("the sequence set has more than {MAX_ELEMENTS} elements")]
    TooMany,
    /// `*` in a set of uids that exist.
    #[error("* has no meaning in a set of uids")]
    Star,
}

impl SequenceSet {
    /// Reads a set that fills the whole text, in one pass.
    pub fn parse(text: &[u8]) -> Result<SequenceSet, SequenceSetError> {
        let mut elements = Vec::new();
        for element in text.split(|&b| b == b',') {
            if elements.len() == MAX_ELEMENTS {
                return Err(SequenceSetError::TooMany);
            }
            let colon = element.iter().position(|&b| b == b':');
            elements.push(match colon {
                Some(colon) => (number(&element[..colon])?, number(&element[colon + 1..])?),
                None => {
                    let number = number(element)?;
                    (number, number)
                }
            });
        }
        Ok(SequenceSet { elements })
    }

    /// The numbers that are meant when `max` is the greatest in use: the uid of the last message, or how many there are.
    ///
    /// `*` is `max`, also where it comes first in order: `10:*` with three messages names the third (RFC 9051 §9, seq-range).
    /// Numbers above `max` name no message and are left out, so the result is never larger than the mailbox allows;
    /// where naming one is an error (sequence numbers), look at [`greatest`](SequenceSet::greatest). In an empty
    /// mailbox, `max` 0, nothing is meant.
    pub fn resolve(&self, max: u32) -> UidSet {
        let known = |end: u32| if end == STAR { max } else { end };
        let ranges = self.elements.iter().map(|&(one, other)| {
            let (one, other) = (known(one), known(other));
            one.min(other)..=one.max(other).min(max)
        });
        ranges.collect()
    }

    /// The greatest number that is written out; `None` when there is only `*`.
    pub fn greatest(&self) -> Option<u32> {
        self.elements.iter().map(|&(one, other)| one.max(other)).max().filter(|&number| number != STAR)
    }

    /// Whether `*` occurs.
    pub fn has_star(&self) -> bool {
        self.elements.iter().any(|&(one, other)| one == STAR || other == STAR)
    }
}

/// As it was written, but for `7:7`, which is `7`.
impl fmt::Display for SequenceSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |number: u32, f: &mut fmt::Formatter<'_>| match number {
            STAR => f.write_str("*"),
            number => write!(f, "{number}"),
        };
        for (i, &(one, other)) in self.elements.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            show(one, f)?;
            if one != other {
                f.write_str(":")?;
                show(other, f)?;
            }
        }
        Ok(())
    }
}

/// seq-number: `nz-number / "*"`.
fn number(text: &[u8]) -> Result<u32, SequenceSetError> {
    match text {
        b"*" => Ok(STAR),
        [b'1'..=b'9', ..] if text.len() <= 10 => text
            .iter()
            .try_fold(0u32, |sum, &b| match b {
                b'0'..=b'9' => sum.checked_mul(10)?.checked_add(u32::from(b - b'0')),
                _ => None,
            })
            .ok_or(SequenceSetError::Number),
        _ => Err(SequenceSetError::Number),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refusals() {
        for text in [
            "",
            ",",
            "1,",
            ",1",
            "1,,2",
            "0",
            "01",
            "1:0",
            "1:",
            ":1",
            ":",
            "1:2:3",
            "a",
            "-1",
            "+1",
            " 1",
            "1 ",
            "$",
            "**",
            "4294967296",
            "10000000000",
            "99999999999999999999",
            "1:4294967296",
            "1.2",
            "\u{663}",
        ] {
            assert_eq!(SequenceSet::parse(text.as_bytes()), Err(SequenceSetError::Number), "{text:?}");
        }
    }

    #[test]
    fn many_elements_are_accepted_and_absurdly_many_are_not() {
        let text = |n: u32| (1..=n).map(|i| (i * 2).to_string()).collect::<Vec<_>>().join(",");
        let set = SequenceSet::parse(text(1_000_000).as_bytes()).unwrap();
        assert_eq!(set.resolve(u32::MAX).len(), 1_000_000);
        assert_eq!(SequenceSet::parse(text(1_000_001).as_bytes()), Err(SequenceSetError::TooMany));
    }

    #[test]
    fn meaning() {
        for (text, max, meaning) in [
            ("1", 3, "1"),
            ("*", 3, "3"),
            ("*", 0, ""),
            ("1:*", 0, ""),
            ("1:*", 3, "1:3"),
            ("*:1", 3, "1:3"),
            ("10:*", 3, "3"),
            ("*:10", 3, "3"),
            ("*:*", 3, "3"),
            ("4:2", 9, "2:4"),
            ("2:4", 3, "2:3"),
            ("4:5", 3, ""),
            ("5,1:2,2:3,*", 9, "1:3,5,9"),
            ("1:4294967295", 2, "1:2"),
        ] {
            let set = SequenceSet::parse(text.as_bytes()).unwrap();
            assert_eq!(set.resolve(max).to_string(), meaning, "{text} of {max}");
        }
    }

    #[test]
    fn what_was_written() {
        for (text, greatest, star) in [("3:1,7", Some(7), false), ("*", None, true), ("2:*", Some(2), true)] {
            let set = SequenceSet::parse(text.as_bytes()).unwrap();
            assert_eq!((set.greatest(), set.has_star(), set.to_string()), (greatest, star, text.into()));
        }
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused_and_comes_back(text in "[0-9:,*]{0,30}") {
            if let Ok(set) = SequenceSet::parse(text.as_bytes()) {
                prop_assert_eq!(SequenceSet::parse(set.to_string().as_bytes()).unwrap(), set);
            }
        }

        #[test]
        fn as_the_definition_says(elements in prop::collection::vec((0u32..30, 0u32..30), 1..10), max in 0u32..40) {
            let show = |n: u32| if n == 0 { "*".to_owned() } else { n.to_string() };
            let text = elements.iter().map(|&(a, b)| format!("{}:{}", show(a), show(b))).collect::<Vec<_>>().join(",");
            let mut model = BTreeSet::new();
            for (a, b) in elements {
                let [a, b] = [a, b].map(|n| if n == 0 { max } else { n });
                model.extend((1..=max).filter(|n| (a.min(b)..=a.max(b)).contains(n)));
            }
            let set = SequenceSet::parse(text.as_bytes()).unwrap().resolve(max);
            prop_assert!(set.iter().eq(model));
        }
    }
}
