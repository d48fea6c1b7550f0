//! A unit: one command as the framer hands it over, its text and its literals in one buffer.
//!
//! The buffer holds each literal directly behind its header, without the CRLF between: `a LOGIN {5}alice …`. The
//! list of spans says which headers are real; a `{5}` that the framer did not see at the end of a line is just
//! text, and the parser refuses it.

use std::fmt;

/// The longest tag taken. Clients use four to eight bytes; it is echoed with every answer.
pub(super) const TAG_MAX: usize = 128;

/// What a client announced with `{n}`, `{n+}` or `~{n}` (RFC 3501 §4.3, RFC 7888, RFC 3516 §4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiteralHeader {
    /// Bytes announced. A claim, not a measurement: never allocate by it.
    pub size: u64,
    /// The client waits for a continuation request before it sends the bytes.
    pub synchronizing: bool,
    /// `~{n}`: a literal8, which may contain NUL.
    pub binary: bool,
}

/// Where a collected literal lies in a unit's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// Offset of the header's first byte, `{` or `~`.
    pub(super) at: usize,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// One command, or the part of an APPEND before or behind a streamed message.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Unit {
    pub(super) bytes: Vec<u8>,
    pub(super) literals: Vec<Span>,
    pub(super) pending: Option<(usize, LiteralHeader)>,
}

impl Unit {
    /// Text without literals that did not come from the wire: what is stored to be read as part of a command.
    pub fn of_text(text: &[u8]) -> Unit {
        Unit { bytes: text.to_vec(), ..Unit::default() }
    }

    /// The header that ends this unit when its literal is streamed instead of collected.
    pub fn pending(&self) -> Option<LiteralHeader> {
        self.pending.map(|(_, header)| header)
    }

    /// The tag it begins with, whatever follows.
    pub fn leading_tag(&self) -> Option<Tag> {
        Tag::leading(&self.bytes)
    }

    /// Text and literals together.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether the unit is an empty line.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// Shows sizes only: the bytes may be a password.
impl fmt::Debug for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unit")
            .field("bytes", &self.bytes.len())
            .field("literals", &self.literals.len())
            .field("pending", &self.pending)
            .finish()
    }
}

/// A command's tag: printable ASCII that can be echoed as it is (RFC 3501 §9, `tag`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tag(String);

impl Tag {
    /// Takes all of `bytes` as a tag; `None` when it is none.
    pub fn new(bytes: &[u8]) -> Option<Tag> {
        let fits = (1..=TAG_MAX).contains(&bytes.len()) && bytes.iter().all(|&b| is_tag_char(b));
        if !fits {
            return None;
        }
        String::from_utf8(bytes.to_vec()).ok().map(Tag)
    }

    /// The tag at the start of a command that may be cut off or nonsense behind it.
    pub fn leading(bytes: &[u8]) -> Option<Tag> {
        Tag::new(bytes.split(|&b| b == b' ').next()?)
    }

    /// The tag's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// RFC 3501 §9 `ATOM-CHAR`: any CHAR except the atom-specials.
pub(super) fn is_atom_char(b: u8) -> bool {
    matches!(b, 0x21..=0x7e) && !matches!(b, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b']')
}

/// RFC 3501 §9 `ASTRING-CHAR`.
pub(super) fn is_astring_char(b: u8) -> bool {
    is_atom_char(b) || b == b']'
}

fn is_tag_char(b: u8) -> bool {
    is_astring_char(b) && b != b'+'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags() {
        for refused in [&b""[..], b"+", b"a+", b"a b", b"a*", b"a\r", b"\xc3\xa9", &[b'x'; 129]] {
            assert_eq!(Tag::new(refused), None, "{refused:?}");
        }
        for taken in ["a", "A001", "]", "a.b-c", "1"] {
            assert_eq!(Tag::new(taken.as_bytes()).unwrap().as_str(), taken);
        }
        assert_eq!(Tag::leading(b"a1 \0").unwrap().as_str(), "a1");
        assert_eq!(Tag::leading(b" x"), None);
    }

    #[test]
    fn debug_does_not_show_what_was_sent() {
        let unit = Unit { bytes: b"a LOGIN alice secret".to_vec(), ..Unit::default() };
        assert!(!format!("{unit:?}").contains("secret"));
    }
}
