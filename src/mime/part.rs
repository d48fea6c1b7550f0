//! The tree of a message's parts and how IMAP numbers it (RFC 9051 §6.4.5).

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::content::{self, Params};
use super::envelope::Envelope;
use super::header::{Field, fields, unfold};

/// One part: what its header says and where its bytes are. Offsets count from the start of the outermost message.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Part {
    /// Media type as written, such as `text`; never empty in a built tree.
    pub media_type: Vec<u8>,
    /// Media subtype as written.
    pub subtype: Vec<u8>,
    /// Parameters of Content-Type.
    pub params: Params,
    /// Content-ID.
    pub id: Option<Vec<u8>>,
    /// Content-Description.
    pub description: Option<Vec<u8>>,
    /// Content-Transfer-Encoding; none means 7bit.
    pub encoding: Option<Vec<u8>>,
    /// Content-MD5 (RFC 1864).
    pub md5: Option<Vec<u8>>,
    /// Content-Disposition (RFC 2183).
    pub disposition: Option<Disposition>,
    /// Content-Language (RFC 3282).
    pub languages: Vec<Vec<u8>>,
    /// Content-Location (RFC 2557).
    pub location: Option<Vec<u8>>,
    /// First byte of the header.
    pub header_start: u64,
    /// First byte of the body; the header, with its blank line, ends before it.
    pub body_start: u64,
    /// First byte behind the body. The line end before a boundary belongs to the boundary (RFC 2046 §5.1.1).
    pub body_end: u64,
    /// Lines of the body, in its transfer encoding; a last line without line end counts.
    pub lines: u64,
    /// What the body holds.
    pub body: Body,
}

/// What Content-Disposition says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Disposition {
    /// `inline`, `attachment` or another, as written.
    pub kind: Vec<u8>,
    /// Its parameters.
    pub params: Params,
}

/// What a body holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Body {
    /// Bytes with no structure that matters here.
    #[default]
    Leaf,
    /// The parts of a multipart, at least one.
    Multipart(Vec<Part>),
    /// An encapsulated message (message/rfc822, message/global).
    Message(Box<Message>),
}

/// An encapsulated message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Its envelope.
    pub envelope: Envelope,
    /// Its own root; `part.header_start` is where the message begins.
    pub part: Part,
}

/// Which bytes of a section (RFC 9051 §6.4.5, `section-spec`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SectionText {
    /// `BODY[]` or `BODY[1.2]`: the whole message, or a part's body.
    All,
    /// `HEADER`: the header of the message or of an encapsulated message.
    Header,
    /// `TEXT`: the body of the message or of an encapsulated message.
    Text,
    /// `MIME`: the header of a part.
    Mime,
}

impl Part {
    /// Reads the fields of a part's header; none of them need be there. The type falls back to `fallback`.
    pub(super) fn from_header(header: &[u8], fallback: Fallback) -> Part {
        let mut part = Part::default();
        for field in
            fields(header).filter(|f| f.name.len() > 8 && f.name[..8].eq_ignore_ascii_case(b"content-"))
        {
            part.take(&field);
        }
        if part.media_type.is_empty() {
            part.become_type(fallback);
        }
        part
    }

    /// The first field of each name counts.
    fn take(&mut self, field: &Field<'_>) {
        let text = |slot: &mut Option<Vec<u8>>| {
            if slot.is_none() {
                *slot = Some(unfold(field.value));
            }
        };
        match field.name.to_ascii_lowercase().as_slice() {
            b"content-type" if self.media_type.is_empty() => {
                if let Some((kind, subtype, params)) = content::media_type(field.value) {
                    (self.media_type, self.subtype, self.params) = (kind, subtype, params);
                }
            }
            b"content-disposition" if self.disposition.is_none() => {
                let found = content::token_and_params(field.value);
                self.disposition = found.map(|(kind, params)| Disposition { kind, params });
            }
            b"content-transfer-encoding" if self.encoding.is_none() => {
                self.encoding = content::token(field.value)
            }
            b"content-language" if self.languages.is_empty() => self.languages = content::tokens(field.value),
            b"content-id" => text(&mut self.id),
            b"content-description" => text(&mut self.description),
            b"content-md5" => text(&mut self.md5),
            b"content-location" => text(&mut self.location),
            _ => {}
        }
    }

    /// Takes the type a part has when its header gives none that can be used.
    pub(super) fn become_type(&mut self, fallback: Fallback) {
        let (kind, subtype, params): (&str, &str, Params) = match fallback {
            // RFC 2045 §5.2.
            Fallback::Text => ("text", "plain", vec![(b"charset".to_vec(), b"us-ascii".to_vec())]),
            // RFC 2046 §5.1.5: what a multipart/digest holds.
            Fallback::Message => ("message", "rfc822", Vec::new()),
            Fallback::Opaque => ("application", "octet-stream", Vec::new()),
        };
        (self.media_type, self.subtype, self.params) = (kind.into(), subtype.into(), params);
    }

    /// Whether this is of that type and subtype, in any case.
    #[must_use]
    pub fn is(&self, media_type: &str, subtype: &str) -> bool {
        self.is_type(media_type) && self.subtype.eq_ignore_ascii_case(subtype.as_bytes())
    }

    /// Whether this is of that type with any subtype.
    #[must_use]
    pub fn is_type(&self, media_type: &str) -> bool {
        self.media_type.eq_ignore_ascii_case(media_type.as_bytes())
    }

    /// Size of the body in octets, in its transfer encoding.
    #[must_use]
    pub fn octets(&self) -> u64 {
        self.body_end.saturating_sub(self.body_start)
    }

    /// The part of that number, with `self` as the message's root; `[]` is the root.
    ///
    /// Part 1 of a message that is not multipart is its body. Numbers after an encapsulated message count its parts.
    #[must_use]
    pub fn find(&self, path: &[u32]) -> Option<&Part> {
        let mut part = self;
        // Whether `part` is a message's root that no number has named yet.
        let mut root = true;
        for &number in path {
            let inner = match &part.body {
                Body::Message(message) if !root => {
                    root = true;
                    &message.part
                }
                _ => part,
            };
            part = match &inner.body {
                Body::Multipart(parts) => parts.get(usize::try_from(number.checked_sub(1)?).ok()?)?,
                _ if root && number == 1 => inner,
                _ => return None,
            };
            root = false;
        }
        Some(part)
    }

    /// The bytes of a section, with `self` as the message's root; none if the message has no such section.
    ///
    /// With an empty path there is no MIME; with another, HEADER and TEXT exist only for encapsulated messages.
    #[must_use]
    pub fn section_range(&self, path: &[u32], text: SectionText) -> Option<Range<u64>> {
        let part = self.find(path)?;
        let message = match &part.body {
            _ if path.is_empty() => Some(part),
            Body::Message(message) => Some(&message.part),
            _ => None,
        };
        match text {
            SectionText::All if path.is_empty() => Some(part.header_start..part.body_end),
            SectionText::All => Some(part.body_start..part.body_end),
            SectionText::Header => message.map(|m| m.header_start..m.body_start),
            SectionText::Text => message.map(|m| m.body_start..m.body_end),
            SectionText::Mime if path.is_empty() => None,
            SectionText::Mime => Some(part.header_start..part.body_start),
        }
    }

    /// All parts with their children, this one first, in the order they stand in the message.
    pub fn walk(&self) -> impl Iterator<Item = &Part> {
        let mut open = vec![self];
        std::iter::from_fn(move || {
            let part = open.pop()?;
            match &part.body {
                Body::Leaf => {}
                Body::Multipart(parts) => open.extend(parts.iter().rev()),
                Body::Message(message) => open.push(&message.part),
            }
            Some(part)
        })
    }
}

/// The type of a part whose header gives none that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fallback {
    Text,
    Message,
    Opaque,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mime::structure::{Builder, Limits};

    fn tree(message: &[u8]) -> Part {
        let mut builder = Builder::new(Limits::default());
        builder.feed(message);
        builder.finish().root
    }

    fn section(message: &str, path: &[u32], text: SectionText) -> Option<String> {
        let range = tree(message.as_bytes()).section_range(path, text)?;
        let bytes = &message.as_bytes()[range.start as usize..range.end as usize];
        Some(String::from_utf8_lossy(bytes).into_owned())
    }

    const NESTED: &str = "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nX: 1\r\n\r\none\r\n--a\r\n\
        Content-Type: message/rfc822\r\n\r\nSubject: in\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n\
        two\r\n--b--\r\n--a\r\nContent-Type: message/rfc822\r\n\r\nSubject: plain\r\n\r\nthree\r\n--a--\r\n";

    #[test]
    fn sections_that_are_not_there() {
        use SectionText::{All, Header, Mime, Text};
        for (path, text) in [
            (&[0][..], All),
            (&[4], All),
            (&[1, 1], All),
            (&[2, 2], All),
            (&[2, 1, 1], All),
            (&[3, 2], All),
            (&[3, 1, 1], All),
            (&[], Mime),
            (&[1], Header),
            (&[1], Text),
            (&[u32::MAX], All),
        ] {
            assert_eq!(section(NESTED, path, text), None, "{path:?} {text:?}");
        }
        assert_eq!(section("A: b\r\n\r\nx", &[2], All), None);
        assert_eq!(section("A: b\r\n\r\nx", &[1, 1], All), None);
        assert_eq!(section("A: b\r\n\r\nx", &[1], Header), None);
    }

    #[test]
    fn sections_as_imap_numbers_them() {
        use SectionText::{All, Header, Mime, Text};
        let inner = "Subject: in\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n";
        for (path, text, want) in [
            (&[][..], All, NESTED),
            (&[], Header, "Content-Type: multipart/mixed; boundary=a\r\n\r\n"),
            (&[1], All, "one"),
            (&[1], Mime, "X: 1\r\n\r\n"),
            (&[2], Mime, "Content-Type: message/rfc822\r\n\r\n"),
            (&[2], Header, inner),
            (&[2], Text, "--b\r\n\r\ntwo\r\n--b--"),
            (&[2, 1], All, "two"),
            (&[2, 1], Mime, "\r\n"),
            (&[3, 1], All, "three"),
            (&[3, 1], Mime, "Subject: plain\r\n\r\n"),
        ] {
            assert_eq!(section(NESTED, path, text).as_deref(), Some(want), "{path:?} {text:?}");
        }
        assert_eq!(section("A: b\r\n\r\nx", &[1], All).as_deref(), Some("x"));
        assert_eq!(section("A: b\r\n\r\nx", &[1], Mime).as_deref(), Some("A: b\r\n\r\n"));
        let forwarded = "Content-Type: message/rfc822\r\n\r\nA: b\r\n\r\nx";
        assert_eq!(section(forwarded, &[1], All).as_deref(), Some("A: b\r\n\r\nx"));
        assert_eq!(section(forwarded, &[1], Header).as_deref(), Some("A: b\r\n\r\n"));
        assert_eq!(section(forwarded, &[1, 1], All).as_deref(), Some("x"));
    }

    #[test]
    fn walks_in_order() {
        let types = tree(NESTED.as_bytes());
        let types: Vec<_> =
            types.walk().map(|p| String::from_utf8_lossy(&p.media_type).into_owned()).collect();
        assert_eq!(types, ["multipart", "text", "message", "multipart", "text", "message", "text"]);
    }

    #[test]
    fn a_tree_survives_postcard() {
        let tree = tree(NESTED.as_bytes());
        let bytes = postcard::to_stdvec(&tree).unwrap();
        assert_eq!(postcard::from_bytes::<Part>(&bytes).unwrap(), tree);
    }
}
