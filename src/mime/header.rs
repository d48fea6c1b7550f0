//! Header fields as bytes (RFC 5322 §2.2): walking over them, unfolding, choosing some of them.
//!
//! A header block is the bytes from the start of a message or part up to and including the blank line, if there is one.
//! A line that is no field (no colon, or a name with bytes RFC 5322 §3.6.8 forbids) is still handed out, with an empty
//! name, so that concatenating every `raw` gives the block back up to its blank line.

use std::collections::HashSet;

use memchr::memchr;

/// One header field, borrowed from its block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name as written, without white space before the colon; empty if the line is not a field.
    pub name: &'a [u8],
    /// The whole field with its continuation lines and line ends.
    pub raw: &'a [u8],
    /// What follows the colon, folding and line end included; the whole line if it is not a field.
    pub value: &'a [u8],
}

impl Field<'_> {
    /// Whether this is the field of that name, in any case.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        !self.name.is_empty() && self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// Walks over the fields of a header block and stops at its blank line.
#[must_use]
pub fn fields(header: &[u8]) -> Fields<'_> {
    Fields { rest: header }
}

/// The iterator of [`fields`].
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        if self.rest.is_empty() || blank_line(self.rest).is_some() {
            return None;
        }
        let mut end = line_len(self.rest);
        while matches!(self.rest.get(end), Some(b' ' | b'\t')) {
            end += line_len(self.rest.get(end..).unwrap_or_default());
        }
        let (raw, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(split(raw))
    }
}

fn line_len(bytes: &[u8]) -> usize {
    memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1)
}

/// The blank line these bytes begin with, as it is written.
fn blank_line(bytes: &[u8]) -> Option<&[u8]> {
    if bytes.starts_with(b"\r\n") {
        bytes.get(..2)
    } else if bytes.starts_with(b"\n") {
        bytes.get(..1)
    } else {
        None
    }
}

fn split(raw: &[u8]) -> Field<'_> {
    if let Some(colon) = memchr(b':', raw) {
        let (before, after) = raw.split_at(colon);
        // RFC 5322 §4.5: obsolete fields may have white space before the colon.
        let name = before.trim_ascii_end();
        if !name.is_empty() && name.iter().all(|b| (33..=126).contains(b)) {
            return Field { name, raw, value: after.get(1..).unwrap_or_default() };
        }
    }
    Field { name: b"", raw, value: raw }
}

/// The value on one line: line ends that fold are removed (RFC 5322 §2.2.3), white space at both ends is trimmed.
#[must_use]
pub fn unfold(value: &[u8]) -> Vec<u8> {
    let value = value.trim_ascii();
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = memchr(b'\n', rest) {
        let (line, after) = rest.split_at(at);
        out.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        rest = after.get(1..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out
}

/// The first field of that name.
#[must_use]
pub fn first<'a>(header: &'a [u8], name: &str) -> Option<Field<'a>> {
    fields(header).find(|field| field.is(name))
}

/// Which fields [`select`] returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Those named: `HEADER.FIELDS`.
    Named,
    /// All others: `HEADER.FIELDS.NOT`.
    Others,
}

/// The chosen fields in their order, raw, and a blank line (RFC 9051 §6.4.5, `HEADER.FIELDS` and `HEADER.FIELDS.NOT`).
///
/// Names are compared in any case. The blank line is the block's own, or CRLF where it has none.
#[must_use]
pub fn select(header: &[u8], names: &[&[u8]], choice: Choice) -> Vec<u8> {
    let wanted: HashSet<Vec<u8>> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
    let longest = names.iter().map(|name| name.len()).max().unwrap_or(0);
    let mut out = Vec::new();
    let mut walk = fields(header);
    for field in walk.by_ref() {
        let named = !field.name.is_empty()
            && field.name.len() <= longest
            && wanted.contains(&field.name.to_ascii_lowercase());
        if named == (choice == Choice::Named) {
            out.extend_from_slice(field.raw);
        }
    }
    if !out.is_empty() && !out.ends_with(b"\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(blank_line(walk.rest).unwrap_or(b"\r\n"));
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADER: &[u8] =
        b"From: a@b\r\nSUBJECT : one\r\n two\r\n\tthree\r\njunk line\r\nTo:\r\n\r\nBody: no\r\n";

    #[test]
    fn walks_over_fields_and_stops_at_the_blank_line() {
        let names: Vec<&[u8]> = fields(HEADER).map(|f| f.name).collect();
        assert_eq!(names, [b"From".as_slice(), b"SUBJECT", b"", b"To"]);
        let subject = first(HEADER, "subject").unwrap();
        assert_eq!(subject.raw, b"SUBJECT : one\r\n two\r\n\tthree\r\n");
        assert_eq!(unfold(subject.value), b"one two\tthree");
        assert!(first(HEADER, "body").is_none());
        assert!(first(HEADER, "").is_none());
    }

    #[test]
    fn first_line_may_be_a_continuation_and_lf_alone_ends_lines() {
        let all: Vec<Field<'_>> = fields(b" x\nA: 1\n 2\n\nB: 3\n").collect();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].name, b"");
        assert_eq!(unfold(all[1].value), b"1 2");
    }

    #[test]
    fn selects_named_and_other_fields() {
        assert_eq!(
            select(HEADER, &[b"subject", b"to"], Choice::Named),
            b"SUBJECT : one\r\n two\r\n\tthree\r\nTo:\r\n\r\n"
        );
        assert_eq!(select(HEADER, &[b"Subject", b"tO"], Choice::Others), b"From: a@b\r\njunk line\r\n\r\n");
        assert_eq!(select(HEADER, &[b"x"], Choice::Named), b"\r\n");
        assert_eq!(select(b"A: 1", &[b"a"], Choice::Named), b"A: 1\r\n\r\n");
        assert_eq!(select(b"A: 1\n\nx", &[b"a"], Choice::Named), b"A: 1\n\n");
    }

    proptest! {
        #[test]
        fn the_raw_fields_are_the_block(header in "[A-c:\r\n ]{0,60}") {
            let raw: Vec<u8> = fields(header.as_bytes()).flat_map(|f| f.raw.to_vec()).collect();
            prop_assert!(header.as_bytes().starts_with(&raw));
            let rest = header.as_bytes().get(raw.len()..).unwrap();
            prop_assert!(rest.is_empty() || blank_line(rest).is_some());
        }
    }
}
