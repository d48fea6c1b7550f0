//! A part of a list of messages (RFC 9394): what PARTIAL asks for.

use super::bad::Bad;
use super::parser::Parser;

/// `partial-range` (RFC 9394 §4): places in the list of messages, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartialRange {
    /// Counted from the first message.
    First(u32, u32),
    /// Counted back from the last.
    Last(u32, u32),
}

impl PartialRange {
    /// Those in these places; places beyond the end are nothing.
    pub fn of<T>(self, list: &[T]) -> &[T] {
        // A list in memory has fewer members than a usize can count.
        let (start, end) = match self {
            PartialRange::First(low, high) => ((low as usize).saturating_sub(1), high as usize),
            PartialRange::Last(low, high) => {
                (list.len().saturating_sub(high as usize), (list.len() + 1).saturating_sub(low as usize))
            }
        };
        list.get(start.min(list.len())..end.min(list.len())).unwrap_or_default()
    }
}

impl Parser<'_> {
    /// `partial-range`: two places of the same sign, in any order.
    pub fn partial_range(&mut self) -> Result<PartialRange, Bad> {
        let from_the_end = self.peek() == Some(b'-');
        let end = |parser: &mut Parser<'_>| {
            if from_the_end {
                parser.expect(b'-', "both ends of a range must have the same sign")?;
            }
            parser.nz_number()
        };
        let one = end(self)?;
        self.expect(b':', "expected a colon")?;
        let other = end(self)?;
        let (low, high) = (one.min(other), one.max(other));
        Ok(if from_the_end { PartialRange::Last(low, high) } else { PartialRange::First(low, high) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::wire::parser::tests::{refused, taken};

    #[test]
    fn ranges() {
        for text in
            ["", "1", "0:1", "1:0", "1:*", "*:1", "-1:2", "1:-2", "-0:-1", "1:4294967296", "1:2:3", "--1:-2"]
        {
            refused(text, Parser::partial_range);
        }
        for (text, range) in [
            ("1:100", PartialRange::First(1, 100)),
            ("500:400", PartialRange::First(400, 500)),
            ("-1:-100", PartialRange::Last(1, 100)),
            ("-500:-400", PartialRange::Last(400, 500)),
        ] {
            assert_eq!(taken(text, Parser::partial_range), range);
        }
    }

    #[test]
    fn places_in_a_list() {
        let list: Vec<u32> = (1..=5).collect();
        for (range, expected) in [
            (PartialRange::First(1, 2), &list[..2]),
            (PartialRange::First(4, 9), &list[3..]),
            (PartialRange::First(6, u32::MAX), &[]),
            (PartialRange::Last(1, 2), &list[3..]),
            (PartialRange::Last(2, 2), &list[3..4]),
            (PartialRange::Last(4, 9), &list[..2]),
            (PartialRange::Last(6, 9), &[]),
        ] {
            assert_eq!(range.of(&list), expected, "{range:?}");
        }
    }
}
