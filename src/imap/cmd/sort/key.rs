//! What SORT orders by (RFC 5256 §4; DISPLAYFROM, DISPLAYTO: RFC 5957; RELEVANCY: RFC 6203 §6).

use crate::imap::wire::bad::Bad;
use crate::imap::wire::parser::Parser;

/// `sort-key`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortKey {
    /// When a message arrived.
    Arrival,
    /// The local part of its first Cc address.
    Cc,
    /// When it was sent.
    Date,
    /// The display name of its first From address, or the address.
    DisplayFrom,
    /// The display name of its first To address, or the address.
    DisplayTo,
    /// The local part of its first From address.
    From,
    /// How well it fits what was looked for by FUZZY; the best first.
    Relevancy,
    /// Its size.
    Size,
    /// Its base subject.
    Subject,
    /// The local part of its first To address.
    To,
}

/// `sort-criterion`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Criterion {
    /// By what.
    pub key: SortKey,
    /// Whether the last come first.
    pub reverse: bool,
}

/// `sort-criteria`: each key once. One that is named again can decide nothing that it has not decided already.
pub(super) fn sort_criteria(parser: &mut Parser<'_>) -> Result<Vec<Criterion>, Bad> {
    let at = parser.at();
    let mut criteria: Vec<Criterion> = Vec::new();
    for criterion in parser.list_of(criterion)? {
        if !criteria.iter().any(|known| known.key == criterion.key) {
            criteria.push(criterion);
        }
    }
    if criteria.is_empty() { Err(Bad::new("expected a sort key", at)) } else { Ok(criteria) }
}

fn criterion(parser: &mut Parser<'_>) -> Result<Criterion, Bad> {
    let reverse = parser.skip_word("REVERSE");
    if reverse {
        parser.space()?;
    }
    let at = parser.at();
    let key = match parser.atom()?.to_ascii_uppercase().as_slice() {
        b"ARRIVAL" => SortKey::Arrival,
        b"CC" => SortKey::Cc,
        b"DATE" => SortKey::Date,
        b"DISPLAYFROM" => SortKey::DisplayFrom,
        b"DISPLAYTO" => SortKey::DisplayTo,
        b"FROM" => SortKey::From,
        b"RELEVANCY" => SortKey::Relevancy,
        b"SIZE" => SortKey::Size,
        b"SUBJECT" => SortKey::Subject,
        b"TO" => SortKey::To,
        _ => return Err(Bad::new("unknown sort key", at)),
    };
    Ok(Criterion { key, reverse })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::wire::parser::tests::{refused, taken};

    #[test]
    fn criteria() {
        let thousands = format!("({}DATE)", "DATE ".repeat(5000));
        for text in [
            "",
            "()",
            "DATE",
            "(DATE",
            "(REVERSE)",
            "(REVERSE REVERSE DATE)",
            "(FOO)",
            "(DATE  TO)",
            &thousands,
        ] {
            refused(text, sort_criteria);
        }
        for (text, expected) in [
            ("(date)", &[(SortKey::Date, false)][..]),
            ("(SUBJECT REVERSE DATE)", &[(SortKey::Subject, false), (SortKey::Date, true)]),
            ("(DATE SIZE REVERSE DATE)", &[(SortKey::Date, false), (SortKey::Size, false)]),
            (
                "(ARRIVAL CC DISPLAYFROM DISPLAYTO FROM RELEVANCY TO)",
                &[
                    (SortKey::Arrival, false),
                    (SortKey::Cc, false),
                    (SortKey::DisplayFrom, false),
                    (SortKey::DisplayTo, false),
                    (SortKey::From, false),
                    (SortKey::Relevancy, false),
                    (SortKey::To, false),
                ],
            ),
        ] {
            let found: Vec<_> = taken(text, sort_criteria).iter().map(|c| (c.key, c.reverse)).collect();
            assert_eq!(found, expected, "{text}");
        }
        let many = format!("({})", ["REVERSE DATE"; 900].join(" "));
        assert_eq!(taken(many, sort_criteria).len(), 1);
    }
}
