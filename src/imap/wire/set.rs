//! Sequence sets (RFC 3501 §9, `sequence-set`), checked and kept as the client wrote them.

use super::bad::Bad;
use super::parser::Parser;

/// Which numbers a command uses for messages, in its arguments and in its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbering {
    /// Message sequence numbers.
    Sequence,
    /// Unique identifiers: the command came with `UID` in front.
    Uid,
}

/// What stands for the saved result of a search (RFC 5182 §3, `seq-last-command`).
const SAVED: u8 = b'$';

/// A well-formed sequence set: numbers from 1 to 2^32 - 1 and `*`, ranges of them, commas between; or `$` alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawSet(Vec<u8>);

impl RawSet {
    /// Checks `bytes`; `None` when they are no set.
    pub fn new(bytes: &[u8]) -> Option<RawSet> {
        bytes.split(|&b| b == b',').all(is_range).then(|| RawSet(bytes.to_vec()))
    }

    /// `$`: the messages that a search has found and saved, whatever numbers the command uses.
    pub fn saved() -> RawSet {
        RawSet(vec![SAVED])
    }

    /// Whether it is `$`.
    pub fn is_saved(&self) -> bool {
        self.0 == [SAVED]
    }

    /// The set in the client's words: ASCII.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Parser<'_> {
    /// `sequence-set`.
    pub fn sequence_set(&mut self) -> Result<RawSet, Bad> {
        let at = self.at();
        if self.skip(SAVED) {
            return Ok(RawSet::saved());
        }
        let bytes = self.take_while(|b| b.is_ascii_digit() || matches!(b, b'*' | b':' | b','));
        RawSet::new(bytes).ok_or(Bad::new("expected a sequence set", at))
    }
}

fn is_range(range: &[u8]) -> bool {
    let mut ends = range.splitn(2, |&b| b == b':');
    ends.all(is_number)
}

fn is_number(end: &[u8]) -> bool {
    if end == b"*" {
        return true;
    }
    let number = end.iter().try_fold(0u32, |n, b| {
        let digit = b.is_ascii_digit().then(|| u32::from(b - b'0'))?;
        n.checked_mul(10)?.checked_add(digit)
    });
    !end.is_empty() && number.is_some_and(|n| n > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::wire::parser::tests::{refused, taken};

    #[test]
    fn sets() {
        for refused in [
            "",
            "0",
            "1,",
            ",1",
            "1::2",
            "1:2:3",
            ":",
            "1:",
            ":1",
            "a",
            "4294967296",
            "1,0",
            "**",
            "$",
            "1 ",
            "-1",
        ] {
            assert_eq!(RawSet::new(refused.as_bytes()), None, "{refused}");
        }
        for taken in ["1", "*", "1:*", "*:1", "2,4:7,9,12:*", "4294967295", "007"] {
            assert_eq!(RawSet::new(taken.as_bytes()).unwrap().as_bytes(), taken.as_bytes());
        }
    }

    #[test]
    fn saved() {
        assert!(taken("$", Parser::sequence_set).is_saved());
        assert!(!taken("1:*", Parser::sequence_set).is_saved());
        for text in ["$1", "$,1", "1,$", "$:*", "$$"] {
            refused(text, Parser::sequence_set);
        }
    }
}
