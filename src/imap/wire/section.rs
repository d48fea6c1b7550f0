//! The part of a message that BODY[…]<…> names (RFC 3501 §6.4.5, §9 `section`).

use super::bad::Bad;
use super::parser::Parser;

/// `section`: an empty one is the whole message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Section {
    /// `section-part`: the way down the MIME tree, counted from 1; empty for the message itself.
    pub part: Vec<u32>,
    /// What of it; `None` for all.
    pub text: Option<SectionText>,
}

/// `section-text`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SectionText {
    /// `HEADER`
    Header,
    /// `HEADER.FIELDS (…)`: these fields, named as the client named them.
    HeaderFields(Vec<String>),
    /// `HEADER.FIELDS.NOT (…)`: all but these.
    HeaderFieldsNot(Vec<String>),
    /// `TEXT`
    Text,
    /// `MIME`: the header of a part; never without a part number.
    Mime,
}

/// `<offset.count>`: octets of the section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partial {
    /// First octet, counted from 0; past the end gives an empty string.
    pub offset: u64,
    /// How many at most; not 0.
    pub count: u64,
}

impl Parser<'_> {
    /// `section`, brackets included.
    pub fn section(&mut self) -> Result<Section, Bad> {
        self.expect(b'[', "expected a section")?;
        let mut part = Vec::new();
        let mut text = None;
        if self.peek() != Some(b']') {
            loop {
                if !self.peek().is_some_and(|b| b.is_ascii_digit()) {
                    text = Some(self.section_text(!part.is_empty())?);
                    break;
                }
                part.push(self.nz_number()?);
                if !self.skip(b'.') {
                    break;
                }
            }
        }
        self.expect(b']', "expected the end of a section")?;
        Ok(Section { part, text })
    }

    /// `section-binary`, brackets included (RFC 3516 §7): part numbers or nothing.
    pub fn section_binary(&mut self) -> Result<Vec<u32>, Bad> {
        let at = self.at();
        let section = self.section()?;
        if section.text.is_some() { Err(Bad::new("expected part numbers", at)) } else { Ok(section.part) }
    }

    /// `"<" number "." nz-number ">"`, if there is one.
    pub fn partial(&mut self) -> Result<Option<Partial>, Bad> {
        if !self.skip(b'<') {
            return Ok(None);
        }
        let offset = self.number64()?;
        self.expect(b'.', "expected a dot")?;
        let at = self.at();
        let count = self.number64()?;
        if count == 0 {
            return Err(Bad::new("a partial fetch of nothing", at));
        }
        self.expect(b'>', "expected the end of a partial")?;
        Ok(Some(Partial { offset, count }))
    }

    fn section_text(&mut self, below_part: bool) -> Result<SectionText, Bad> {
        let at = self.at();
        let name = self.take_while(|b| b.is_ascii_alphabetic() || b == b'.').to_ascii_uppercase();
        match name.as_slice() {
            b"HEADER" => Ok(SectionText::Header),
            b"HEADER.FIELDS" => self.header_list().map(SectionText::HeaderFields),
            b"HEADER.FIELDS.NOT" => self.header_list().map(SectionText::HeaderFieldsNot),
            b"TEXT" => Ok(SectionText::Text),
            b"MIME" if below_part => Ok(SectionText::Mime),
            _ => Err(Bad::new("unknown section", at)),
        }
    }

    fn header_list(&mut self) -> Result<Vec<String>, Bad> {
        self.space()?;
        let at = self.at();
        let names = self.list_of(Parser::header_name)?;
        if names.is_empty() { Err(Bad::new("expected a header name", at)) } else { Ok(names) }
    }

    /// `header-fld-name`: printable ASCII, as RFC 5322 §2.2 has field names.
    pub fn header_name(&mut self) -> Result<String, Bad> {
        let at = self.at();
        let name = self.astring()?;
        let valid = !name.is_empty() && name.iter().all(|b| matches!(b, b'!'..=b'~'));
        let name = if valid { String::from_utf8(name.into_owned()).ok() } else { None };
        name.ok_or(Bad::new("expected a header name", at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::wire::parser::tests::{refused, taken};

    #[test]
    fn sections() {
        for text in [
            "",
            "[",
            "[1",
            "[0]",
            "[1.]",
            "[.1]",
            "[1..2]",
            "[MIME]",
            "[FOO]",
            "[HEADER.FIELDS]",
            "[HEADER.FIELDS ()]",
            "[HEADER.FIELDS (a b]",
            "[HEADER.FIELDS (\"a b\")]",
            "[TEXT.1]",
            "[HEADER.]",
            "[4294967296]",
            "[ 1]",
        ] {
            refused(text, Parser::section);
        }
        let section = |part: &[u32], text| Section { part: part.to_vec(), text };
        let fields = || vec!["From".to_owned(), "To".to_owned()];
        for (text, expected) in [
            ("[]", section(&[], None)),
            ("[1]", section(&[1], None)),
            ("[4.2.1]", section(&[4, 2, 1], None)),
            ("[header]", section(&[], Some(SectionText::Header))),
            ("[4.2.MIME]", section(&[4, 2], Some(SectionText::Mime))),
            ("[TEXT]", section(&[], Some(SectionText::Text))),
            ("[HEADER.FIELDS (From \"To\")]", section(&[], Some(SectionText::HeaderFields(fields())))),
            ("[1.HEADER.FIELDS.NOT (From To)]", section(&[1], Some(SectionText::HeaderFieldsNot(fields())))),
        ] {
            assert_eq!(taken(text, Parser::section), expected);
        }
    }

    #[test]
    fn partials() {
        for text in ["<", "<0>", "<0.0>", "<0.1", "<.1>", "<9223372036854775808.1>", "<-1.1>"] {
            refused(text, Parser::partial);
        }
        assert_eq!(taken("", Parser::partial), None);
        assert_eq!(taken("<0.2048>", Parser::partial), Some(Partial { offset: 0, count: 2048 }));
    }
}
