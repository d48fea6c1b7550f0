//! Flags of a message (RFC 9051 §2.3.2): the five of the system as a bitset, and keywords.
//!
//! `\Recent` isn't one of them: it is a fact of a session, never stored.

use std::{
    fmt,
    hash::{Hash, Hasher},
    ops::{BitOr, BitOrAssign},
};

/// A set of system flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(u8);

/// The bits are stored in the database: never change one.
const NAMES: [(Flags, &str); 5] = [
    (Flags::SEEN, "\\Seen"),
    (Flags::ANSWERED, "\\Answered"),
    (Flags::FLAGGED, "\\Flagged"),
    (Flags::DELETED, "\\Deleted"),
    (Flags::DRAFT, "\\Draft"),
];

impl Flags {
    /// No flag.
    pub const NONE: Flags = Flags(0);
    /// `\Seen`: has been read.
    pub const SEEN: Flags = Flags(1);
    /// `\Answered`: has been replied to.
    pub const ANSWERED: Flags = Flags(2);
    /// `\Flagged`: marked for attention.
    pub const FLAGGED: Flags = Flags(4);
    /// `\Deleted`: to be removed by the next EXPUNGE.
    pub const DELETED: Flags = Flags(8);
    /// `\Draft`: not finished.
    pub const DRAFT: Flags = Flags(16);
    /// All five.
    pub const ALL: Flags = Flags(31);

    /// The flag of this IMAP name, in any case; `None` for every other atom, `\Recent` included.
    pub fn parse(atom: &[u8]) -> Option<Flags> {
        NAMES.iter().find(|(_, name)| name.as_bytes().eq_ignore_ascii_case(atom)).map(|(flag, _)| *flag)
    }

    /// The stored form.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// The flags of a stored form; bits that mean nothing are left out.
    pub fn from_bits_truncate(bits: u8) -> Flags {
        Flags(bits & Flags::ALL.0)
    }

    /// Whether no flag is set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all of `other` are set.
    pub fn contains(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Sets all of `other`.
    pub fn insert(&mut self, other: Flags) {
        self.0 |= other.0;
    }

    /// Clears all of `other`.
    pub fn remove(&mut self, other: Flags) {
        self.0 &= !other.0;
    }

    /// Those that are set, one at a time.
    pub fn iter(self) -> impl Iterator<Item = Flags> {
        NAMES.into_iter().map(|(flag, _)| flag).filter(move |flag| self.contains(*flag))
    }
}

impl BitOr for Flags {
    type Output = Flags;

    fn bitor(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

impl BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Flags) {
        self.insert(other);
    }
}

/// The IMAP names with spaces between: `\Seen \Draft`.
impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = NAMES.iter().filter(|(flag, _)| self.contains(*flag));
        for (i, (_, name)) in set.enumerate() {
            write!(f, "{}{name}", if i > 0 { " " } else { "" })?;
        }
        Ok(())
    }
}

/// A flag that users or programs made up (`flag-keyword` of RFC 9051 §9): `$Forwarded`, `work`.
///
/// Keeps the case it was written in; two that differ only in the case of ASCII letters are equal.
#[derive(Clone, Debug)]
pub struct Keyword(String);

/// A text that is no keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeywordError {
    /// Nothing was written.
    #[error("a keyword can't be empty")]
    Empty,
    /// Longer than [`Keyword::MAX_LEN`].
    #[error("a keyword can't be longer than {} characters", Keyword::MAX_LEN)]
    TooLong,
    /// No atom.
    #[error("a keyword consists of ASCII letters, digits and signs other than ( ) {{ % * \" \\ ]")]
    Character,
}

impl Keyword {
    /// The longest keyword, in bytes. RFC 9051 sets no limit; this one bounds what a client can store.
    pub const MAX_LEN: usize = 255;

    /// Takes a keyword from a client.
    pub fn parse(text: &[u8]) -> Result<Keyword, KeywordError> {
        if text.is_empty() {
            return Err(KeywordError::Empty);
        }
        if text.len() > Keyword::MAX_LEN {
            return Err(KeywordError::TooLong);
        }
        if !text.iter().all(|&b| is_atom_char(b)) {
            return Err(KeywordError::Character);
        }
        Ok(Keyword(text.iter().map(|&b| char::from(b)).collect()))
    }

    /// The keyword in the case it was written in.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// ATOM-CHAR of RFC 9051 §9.
fn is_atom_char(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e) && !b"(){%*\"\\]".contains(&byte)
}

impl PartialEq for Keyword {
    fn eq(&self, other: &Keyword) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Keyword {}

impl PartialOrd for Keyword {
    fn partial_cmp(&self, other: &Keyword) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Keyword {
    fn cmp(&self, other: &Keyword) -> std::cmp::Ordering {
        let lower =
            |keyword: &Keyword| keyword.0.bytes().map(|b| b.to_ascii_lowercase()).collect::<Vec<u8>>();
        lower(self).cmp(&lower(other))
    }
}

impl Hash for Keyword {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_ascii_lowercase().hash(state);
    }
}

impl fmt::Display for Keyword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use super::*;

    #[test]
    fn atoms_that_are_no_stored_flag() {
        for atom in ["", "\\", "Seen", "\\Recent", "\\Seen ", "\\*", "\\Unknown"] {
            assert_eq!(Flags::parse(atom.as_bytes()), None, "{atom}");
        }
    }

    #[test]
    fn names_in_any_case() {
        assert_eq!(Flags::parse(b"\\sEEN"), Some(Flags::SEEN));
        for (flag, name) in NAMES {
            assert_eq!(Flags::parse(name.as_bytes()), Some(flag));
            assert_eq!(flag.to_string(), name);
        }
        assert_eq!(Flags::NONE.to_string(), "");
        assert_eq!((Flags::DRAFT | Flags::SEEN).to_string(), "\\Seen \\Draft");
    }

    #[test]
    fn as_a_set() {
        let mut flags = Flags::SEEN | Flags::DELETED;
        assert!(flags.contains(Flags::SEEN) && !flags.contains(Flags::SEEN | Flags::DRAFT));
        flags.remove(Flags::SEEN);
        flags |= Flags::DRAFT;
        assert_eq!(flags.iter().collect::<Vec<_>>(), [Flags::DELETED, Flags::DRAFT]);
        assert_eq!(Flags::from_bits_truncate(0xff), Flags::ALL);
        assert_eq!(Flags::from_bits_truncate(flags.bits()), flags);
        assert!(Flags::NONE.is_empty() && !flags.is_empty());
    }

    #[test]
    fn the_stored_bits_never_change() {
        let bits =
            [Flags::SEEN, Flags::ANSWERED, Flags::FLAGGED, Flags::DELETED, Flags::DRAFT].map(Flags::bits);
        assert_eq!(bits, [1, 2, 4, 8, 16]);
    }

    #[test]
    fn keyword_refusals() {
        assert_eq!(Keyword::parse(b""), Err(KeywordError::Empty));
        assert_eq!(Keyword::parse(&[b'a'; 256]), Err(KeywordError::TooLong));
        for byte in b"(){%*\"\\] \r\n\0\x7f\x80\xff" {
            assert_eq!(Keyword::parse(&[b'a', *byte]), Err(KeywordError::Character), "{byte:#x}");
        }
        let message = KeywordError::Character.to_string();
        assert!(message.ends_with("( ) { % * \" \\ ]"), "{message}");
    }

    #[test]
    fn keywords_keep_their_case_and_ignore_it() {
        let [one, other] = [b"$Forwarded", b"$forwardeD"].map(|text| Keyword::parse(text).unwrap());
        assert_eq!(one.to_string(), "$Forwarded");
        assert_eq!(other.as_str(), "$forwardeD");
        assert_eq!(one, other);
        assert_eq!(HashSet::from([one.clone(), other.clone()]).len(), 1);
        assert_eq!(BTreeSet::from([one, other]).len(), 1);
        assert!(Keyword::parse(&[b'a'; 255]).is_ok());
        assert!(Keyword::parse(b"}[~!#&'+,-./:;<=>?@^_`|").is_ok());
    }
}
