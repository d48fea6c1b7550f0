//! Which bytes of a message a section is (RFC 3501 §6.4.5).
//!
//! The message a client sees is the prefix of its copy and then the content. Offsets here count from the start of the
//! prefix; the tree of parts counts from the start of the content.

use std::ops::Range;

use crate::imap::wire::section::{Partial, Section, SectionText};
use crate::mime::header::Choice;
use crate::mime::part::{self, Body, Part};
use crate::mime::transfer::Encoding;

/// Fields are chosen among this much of a header, bytes: they are looked at in memory. What is beyond is left out.
const HEADER_MAX: u64 = 1 << 20;

/// What answers a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Slice<'s> {
    /// The message has no such part.
    Missing,
    /// These bytes.
    Bytes(Range<u64>),
    /// Some fields of the header in these bytes.
    Fields(Range<u64>, &'s [String], Choice),
}

/// What answers a section that is to be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Coded {
    /// The message has no such part.
    Missing,
    /// Its transfer encoding has a name that nobody here knows.
    Unknown,
    /// These bytes, encoded so.
    Bytes(Range<u64>, Encoding),
}

/// Where the parts of a message are.
#[derive(Debug, Clone, Copy)]
pub struct Shape<'p> {
    /// Bytes of the prefix.
    pub prefix: u64,
    /// Bytes of the content's header.
    pub header: u64,
    /// Bytes of the content.
    pub content: u64,
    /// The tree of parts; needed for sections with part numbers only.
    pub root: Option<&'p Part>,
}

impl Shape<'_> {
    /// The bytes of a section.
    pub fn slice<'s>(&self, section: &'s Section) -> Slice<'s> {
        let header = |text: &'s SectionText| match text {
            SectionText::HeaderFields(names) => Some((names.as_slice(), Choice::Named)),
            SectionText::HeaderFieldsNot(names) => Some((names.as_slice(), Choice::Others)),
            SectionText::Header | SectionText::Text | SectionText::Mime => None,
        };
        match (self.range(section), section.text.as_ref().and_then(header)) {
            (None, _) => Slice::Missing,
            (Some(range), None) => Slice::Bytes(range),
            (Some(range), Some((names, choice))) => {
                let end = range.end.min(range.start.saturating_add(HEADER_MAX));
                Slice::Fields(range.start..end, names, choice)
            }
        }
    }

    /// The bytes of a section, and how they are encoded. RFC 2045 §6.4: what has parts of its own is not encoded, and so
    /// is the message as a whole.
    pub fn coded(&self, section: &Section) -> Coded {
        let Slice::Bytes(range) = self.slice(section) else { return Coded::Missing };
        let part = self.root.filter(|_| !section.part.is_empty()).and_then(|root| root.find(&section.part));
        let leaf = part.filter(|part| section.text.is_none() && part.body == Body::Leaf);
        match leaf.map(|part| Encoding::known(part.encoding.as_deref())) {
            None => Coded::Bytes(range, Encoding::Identity),
            Some(Some(encoding)) => Coded::Bytes(range, encoding),
            Some(None) => Coded::Unknown,
        }
    }

    fn range(&self, section: &Section) -> Option<Range<u64>> {
        let (body, end) = (self.prefix + self.header, self.prefix + self.content);
        if section.part.is_empty() {
            return match section.text {
                None => Some(0..end),
                Some(SectionText::Text) => Some(body..end),
                Some(SectionText::Mime) => None,
                Some(_) => Some(0..body),
            };
        }
        let text = match section.text {
            None => part::SectionText::All,
            Some(SectionText::Text) => part::SectionText::Text,
            Some(SectionText::Mime) => part::SectionText::Mime,
            Some(_) => part::SectionText::Header,
        };
        let range = self.root?.section_range(&section.part, text)?;
        // Part 1 of a message without parts has the message's header, and the prefix is part of that.
        let start =
            if range.start == 0 && text == part::SectionText::Mime { 0 } else { self.prefix + range.start };
        Some(start.min(end)..(self.prefix + range.end).min(end))
    }
}

/// The part of a range that a client wants of it; what lies past its end is nothing.
pub fn cut(range: Range<u64>, partial: Option<Partial>) -> Range<u64> {
    let Some(Partial { offset, count }) = partial else { return range };
    let start = range.start.saturating_add(offset).min(range.end);
    start..start.saturating_add(count).min(range.end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::wire::parser::Parser;
    use crate::imap::wire::parser::tests::taken;
    use crate::mime::structure::{Builder, Limits};

    const PREFIX: &str = "Return-Path: <a@b>\r\n";

    /// What `BODY[section]<partial>` is of a message; `-` when it has none.
    fn body(content: &str, section: &str, partial: Option<(u64, u64)>) -> String {
        let mut builder = Builder::new(Limits::default());
        builder.feed(content.as_bytes());
        let parsed = builder.finish();
        let seen = format!("{PREFIX}{content}");
        let shape = Shape {
            prefix: PREFIX.len() as u64,
            header: parsed.header_len,
            content: parsed.size,
            root: Some(&parsed.root),
        };
        let section = taken(format!("[{section}]"), Parser::section);
        match shape.slice(&section) {
            Slice::Missing => "-".to_owned(),
            Slice::Bytes(range) | Slice::Fields(range, ..) => {
                let range = cut(range, partial.map(|(offset, count)| Partial { offset, count }));
                String::from_utf8(seen.as_bytes()[range.start as usize..range.end as usize].to_vec()).unwrap()
            }
        }
    }

    const MIXED: &str = "A: 1\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nB: 2\r\n\r\none\r\n--x\r\n\
        Content-Type: message/rfc822\r\n\r\nC: 3\r\n\r\ninner\r\n--x--\r\n";

    #[test]
    fn missing_parts() {
        for section in ["3", "0001.2", "1.1", "1.HEADER", "2.2", "1.TEXT", "4294967295"] {
            assert_eq!(body(MIXED, section, None), "-", "{section}");
        }
        assert_eq!(body("A: b\r\n\r\nx", "2", None), "-");
    }

    #[test]
    fn the_prefix_is_part_of_the_message() {
        let plain = "A: b\r\n\r\nxyz";
        for (section, want) in [
            ("", "Return-Path: <a@b>\r\nA: b\r\n\r\nxyz"),
            ("HEADER", "Return-Path: <a@b>\r\nA: b\r\n\r\n"),
            ("HEADER.FIELDS (A)", "Return-Path: <a@b>\r\nA: b\r\n\r\n"),
            ("TEXT", "xyz"),
            ("1", "xyz"),
            ("1.MIME", "Return-Path: <a@b>\r\nA: b\r\n\r\n"),
        ] {
            assert_eq!(body(plain, section, None), want, "{section}");
        }
        for (section, want) in [
            ("1", "one"),
            ("1.MIME", "B: 2\r\n\r\n"),
            ("2", "C: 3\r\n\r\ninner"),
            ("2.MIME", "Content-Type: message/rfc822\r\n\r\n"),
            ("2.HEADER", "C: 3\r\n\r\n"),
            ("2.HEADER.FIELDS.NOT (C)", "C: 3\r\n\r\n"),
            ("2.TEXT", "inner"),
            ("2.1", "inner"),
        ] {
            assert_eq!(body(MIXED, section, None), want, "{section}");
        }
    }

    #[test]
    fn partials() {
        for (offset, count, want) in [
            (0, 3, "inn"),
            (3, 100, "er"),
            (5, 1, ""),
            (6, 1, ""),
            (u64::MAX, u64::MAX, ""),
            (1, u64::MAX, "nner"),
        ] {
            assert_eq!(body(MIXED, "2.TEXT", Some((offset, count))), want, "{offset} {count}");
        }
        assert_eq!(body(MIXED, "9", Some((0, 1))), "-");
    }

    #[test]
    fn a_huge_header_is_looked_at_in_part() {
        let shape = Shape { prefix: 10, header: 1 << 40, content: 1 << 41, root: None };
        let fields = taken("[HEADER.FIELDS (A)]", Parser::section);
        assert!(matches!(shape.slice(&fields), Slice::Fields(range, ..) if range == (0..HEADER_MAX)));
        assert_eq!(shape.slice(&taken("[HEADER]", Parser::section)), Slice::Bytes(0..10 + (1 << 40)));
    }
}
