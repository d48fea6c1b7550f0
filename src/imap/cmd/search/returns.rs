//! What an extended search answers: RETURN (RFC 4731 §3.1; SAVE: RFC 5182; PARTIAL: RFC 9394 §3.1; UPDATE, CONTEXT:
//! RFC 5267 §4; RELEVANCY: RFC 6203 §4).

use std::ops::Range;

use crate::imap::wire::bad::Bad;
use crate::imap::wire::parser::Parser;

/// `search-return-opt`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReturnOption {
    /// The lowest number; of a SORT, the first.
    Min,
    /// The highest; of a SORT, the last.
    Max,
    /// All, as a set.
    All,
    /// How many.
    Count,
    /// Some of them, as a set.
    Partial(Partial),
    /// How well each of them fits.
    Relevancy,
    /// The result is kept as `$`.
    Save,
    /// The client is told when the result changes.
    Update,
    /// The client is going to ask again. A hint; an answer is worked out afresh each time, and is the same.
    Context,
}

/// `partial-range`: places in the result, the first of which is 1, as the client wrote them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partial {
    /// Counted from the beginning.
    First(u32, u32),
    /// Counted from the end, with a `-` before each.
    Last(u32, u32),
}

impl Partial {
    fn parse(parser: &mut Parser<'_>) -> Result<Self, Bad> {
        let last = parser.skip(b'-');
        let one = parser.nz_number()?;
        parser.expect(b':', "expected a range")?;
        if last {
            parser.expect(b'-', "expected a range with two ends of a kind")?;
        }
        let other = parser.nz_number()?;
        Ok(if last { Partial::Last(one, other) } else { Partial::First(one, other) })
    }

    /// Which of `count` results are meant.
    pub fn range(self, count: usize) -> Range<usize> {
        let ends = |one: u32, other: u32| {
            let (near, far) = (one.min(other) as usize, one.max(other) as usize);
            (near.saturating_sub(1).min(count), far.min(count))
        };
        match self {
            Partial::First(one, other) => {
                let (near, far) = ends(one, other);
                near..far
            }
            Partial::Last(one, other) => {
                let (near, far) = ends(one, other);
                count - far..count - near
            }
        }
    }
}

/// `search-return-opts`: each once, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Returns(pub Vec<ReturnOption>);

impl Returns {
    /// Everything that is found.
    pub fn all() -> Self {
        Returns(vec![ReturnOption::All])
    }

    /// Reads `RETURN (…)` and the space behind it, if that comes next.
    pub(in crate::imap::cmd) fn parse(parser: &mut Parser<'_>) -> Result<Option<Self>, Bad> {
        if !parser.skip_word("RETURN") {
            return Ok(None);
        }
        parser.space()?;
        let at = parser.at();
        let mut options = Vec::new();
        for option in parser.list_of(return_option)? {
            if !options.contains(&option) {
                options.push(option);
            }
        }
        // RFC 9394 §3.1: one PARTIAL, or ALL, or neither.
        let sets =
            options.iter().filter(|option| matches!(option, ReturnOption::All | ReturnOption::Partial(_)));
        if sets.count() > 1 {
            return Err(Bad::new("PARTIAL excludes ALL, and other PARTIALs", at));
        }
        // RFC 4731 §3.1: an empty list means ALL.
        if options.is_empty() {
            options.push(ReturnOption::All);
        }
        parser.space()?;
        Ok(Some(Returns(options)))
    }

    /// Whether this is asked for.
    pub fn has(&self, option: &ReturnOption) -> bool {
        self.0.contains(option)
    }

    /// Whether the client gets an answer. RFC 5182 §1: not to SAVE, where no data are asked for.
    pub(super) fn is_answered(&self) -> bool {
        let silent = |option: &ReturnOption| {
            matches!(option, ReturnOption::Save | ReturnOption::Update | ReturnOption::Context)
        };
        !self.has(&ReturnOption::Save) || !self.0.iter().all(silent)
    }

    /// What of a result SAVE keeps (RFC 5182 §2.4, RFC 9394 §3.2): what MIN, MAX and PARTIAL name if nothing but these is
    /// asked for, all of it otherwise.
    pub fn saved(&self, uids: &[u32]) -> Vec<u32> {
        let mut some = Vec::new();
        let mut named = false;
        for option in &self.0 {
            match option {
                ReturnOption::All | ReturnOption::Count => return uids.to_vec(),
                ReturnOption::Min => some.extend(uids.first()),
                ReturnOption::Max => some.extend(uids.last()),
                ReturnOption::Partial(partial) => {
                    some.extend(uids.get(partial.range(uids.len())).unwrap_or_default());
                }
                ReturnOption::Relevancy
                | ReturnOption::Save
                | ReturnOption::Update
                | ReturnOption::Context => continue,
            }
            named = true;
        }
        if named { some } else { uids.to_vec() }
    }
}

fn return_option(parser: &mut Parser<'_>) -> Result<ReturnOption, Bad> {
    let at = parser.at();
    match parser.atom()?.to_ascii_uppercase().as_slice() {
        b"MIN" => Ok(ReturnOption::Min),
        b"MAX" => Ok(ReturnOption::Max),
        b"ALL" => Ok(ReturnOption::All),
        b"COUNT" => Ok(ReturnOption::Count),
        b"SAVE" => Ok(ReturnOption::Save),
        b"UPDATE" => Ok(ReturnOption::Update),
        b"CONTEXT" => Ok(ReturnOption::Context),
        b"RELEVANCY" => Ok(ReturnOption::Relevancy),
        b"PARTIAL" => {
            parser.space()?;
            Partial::parse(parser).map(ReturnOption::Partial)
        }
        _ => Err(Bad::new("unknown SEARCH return option", at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::wire::parser::tests::{refused, taken};

    fn returns(text: &str) -> Returns {
        taken(format!("RETURN ({text}) "), Returns::parse).unwrap()
    }

    #[test]
    fn grammar() {
        for text in [
            "FOO",
            "PARTIAL",
            "PARTIAL 1",
            "PARTIAL 0:1",
            "PARTIAL 1:0",
            "PARTIAL 1:*",
            "PARTIAL -1:2",
            "PARTIAL 1:-2",
            "PARTIAL 1:2:3",
            "PARTIAL 1,2",
            "PARTIAL 1:4294967296",
            "PARTIAL 1:2 PARTIAL 3:4",
            "PARTIAL 1:2 ALL",
        ] {
            refused(format!("RETURN ({text}) "), Returns::parse);
        }
        assert_eq!(taken("", Returns::parse), None);
        assert_eq!(returns(""), Returns::all());
        assert_eq!(
            returns("min Max COUNT save partial -1:-100 UPDATE context RELEVANCY MIN").0,
            [
                ReturnOption::Min,
                ReturnOption::Max,
                ReturnOption::Count,
                ReturnOption::Save,
                ReturnOption::Partial(Partial::Last(1, 100)),
                ReturnOption::Update,
                ReturnOption::Context,
                ReturnOption::Relevancy,
            ]
        );
    }

    #[test]
    fn parts_of_a_result() {
        for (partial, count, range) in [
            (Partial::First(1, 500), 1000, 0..500),
            (Partial::First(500, 1), 1000, 0..500),
            (Partial::First(501, 1000), 700, 500..700),
            (Partial::First(701, 800), 700, 700..700),
            (Partial::First(1, u32::MAX), 0, 0..0),
            (Partial::Last(1, 100), 1000, 900..1000),
            (Partial::Last(100, 1), 1000, 900..1000),
            (Partial::Last(101, 200), 150, 0..50),
            (Partial::Last(151, 200), 150, 0..0),
            (Partial::Last(1, 1), 1, 0..1),
        ] {
            assert_eq!(partial.range(count), range, "{partial:?} of {count}");
        }
    }

    #[test]
    fn what_is_saved() {
        // RFC 5182 §2.4, RFC 9394 §3.2.
        for (text, saved) in [
            ("SAVE", &[2, 4, 6, 8][..]),
            ("SAVE MIN", &[2]),
            ("SAVE MAX", &[8]),
            ("SAVE MIN MAX", &[2, 8]),
            ("SAVE ALL MIN", &[2, 4, 6, 8]),
            ("SAVE COUNT MAX", &[2, 4, 6, 8]),
            ("SAVE PARTIAL 2:3", &[4, 6]),
            ("SAVE MIN PARTIAL -2:-2", &[2, 6]),
            ("SAVE PARTIAL 9:10", &[]),
            ("SAVE PARTIAL 2:3 COUNT", &[2, 4, 6, 8]),
            ("SAVE UPDATE", &[2, 4, 6, 8]),
        ] {
            assert_eq!(returns(text).saved(&[2, 4, 6, 8]), saved, "{text}");
        }
        assert!(!returns("SAVE").is_answered() && !returns("SAVE CONTEXT").is_answered());
        assert!(returns("SAVE MIN").is_answered() && returns("UPDATE").is_answered());
    }
}
