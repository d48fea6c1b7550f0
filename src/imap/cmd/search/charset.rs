//! The charset of SEARCH's strings (RFC 3501 §6.4.4).

use encoding_rs::{Encoding, REPLACEMENT, UTF_8, X_USER_DEFINED};

use crate::imap::wire::bad::{Answer, Bad};
use crate::imap::wire::parser::Parser;

/// How the strings of a SEARCH are to be read. Without CHARSET it is US-ASCII in RFC 3501 and UTF-8 in RFC 9051
/// §6.4.4, of which the former is a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charset(&'static Encoding);

impl Default for Charset {
    fn default() -> Self {
        Charset(UTF_8)
    }
}

impl Charset {
    /// Reads a charset's name.
    pub fn parse(parser: &mut Parser<'_>) -> Result<Self, Bad> {
        let at = parser.at();
        let label = parser.astring()?;
        // As a web label, US-ASCII would be windows-1252.
        if label.eq_ignore_ascii_case(b"US-ASCII") || label.eq_ignore_ascii_case(b"ASCII") {
            return Ok(Charset::default());
        }
        let known =
            Encoding::for_label(&label).filter(|known| *known != REPLACEMENT && *known != X_USER_DEFINED);
        known.map(Charset).ok_or(Bad { what: "unknown charset", at, answer: Answer::BadCharset })
    }

    /// Reads a string in this charset. What is malformed in it, or contains NUL, can't be found anywhere.
    pub fn text(self, parser: &mut Parser<'_>) -> Result<String, Bad> {
        let at = parser.at();
        let bytes = parser.astring()?;
        let decoded = self.0.decode_without_bom_handling_and_without_replacement(&bytes);
        let text = decoded.filter(|text| !text.contains('\0'));
        text.map(|text| text.into_owned()).ok_or(Bad::new("string is not valid in its charset", at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::wire::parser::tests::{refused, taken};

    #[test]
    fn charsets() {
        for label in ["X-FOO", "UTF-7", "ISO-2022-CN", "x-user-defined", "\"\"", "replacement"] {
            assert_eq!(refused(label, Charset::parse).answer, Answer::BadCharset, "{label}");
        }
        assert_eq!(taken("us-ascii", Charset::parse), Charset::default());
        for (label, bytes, text) in [
            ("utf-8", &b"\"\xc3\xa9\""[..], "é"),
            ("iso-8859-1", b"\"\xe9\"", "é"),
            ("{6}\r\nKOI8-R", b"{1}\r\n\xc1", "а"),
            ("ISO-2022-JP", b"{8}\r\n\x1b$BF|\x1b(B", "日"),
        ] {
            let charset = taken(label, Charset::parse);
            assert_eq!(taken(bytes, |p| charset.text(p)), text, "{label}");
        }
        refused(b"\"\xe9\"", |p| Charset::default().text(p));
        refused(b"{1}\r\n\0", |p| Charset::default().text(p));
    }
}
