//! Mailbox names: modified UTF-7 on the wire (RFC 3501 §5.1.3), one canonical form inside.
//!
//! What must hold: two names that a person takes for the same are the same bytes (NFC, `INBOX` in capitals), and
//! `encode` followed by `decode` gives the name back. Decoding accepts what another encoder wrote less than
//! perfectly (a letter in base64, two shifts in a row), since the result is made canonical anyway; what does not
//! decode to Unicode is refused.

use std::fmt;

use unicode_normalization::{UnicodeNormalization, is_nfc};

/// Bytes of UTF-8 in one level of the hierarchy.
pub const LEVEL_MAX: usize = 255;
/// Bytes of UTF-8 in a whole name.
pub const NAME_MAX: usize = 1000;
/// Levels in a name. A subscription needs no mailboxes above it: without a limit a few thousand of them would make a
/// tree of millions of levels for every LIST.
pub const LEVELS_MAX: usize = 64;
/// What stands between the levels.
pub const SEPARATOR: char = '/';

/// How this connection writes mailbox names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NameCoding {
    /// As RFC 3501 has it, until the client enables something better.
    #[default]
    ModifiedUtf7,
    /// As they are, after ENABLE UTF8=ACCEPT (RFC 6855 §3) or IMAP4rev2 (RFC 9051 §5.1).
    Utf8,
}

/// Why bytes are no mailbox name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not what the connection's coding allows: the client broke the protocol.
    #[error("mailbox name is not valid modified UTF-7")]
    Utf7,
    /// As [`NameError::Utf7`], on a connection that speaks UTF-8.
    #[error("mailbox name is not valid UTF-8")]
    Utf8,
    /// Nothing at all.
    #[error("mailbox name is empty")]
    Empty,
    /// `/a`, `a/` or `a//b`.
    #[error("mailbox name has an empty level")]
    EmptyLevel,
    /// Longer than [`LEVEL_MAX`] or [`NAME_MAX`].
    #[error("mailbox name is too long")]
    TooLong,
    /// More than [`LEVELS_MAX`] levels.
    #[error("mailbox name has too many levels")]
    TooDeep,
    /// RFC 9051 §5.1: no control characters, no line or paragraph separators.
    #[error("mailbox name contains a control character")]
    Control,
}

impl NameError {
    /// The phrase for the client.
    pub fn what(self) -> &'static str {
        match self {
            NameError::Utf7 => "mailbox name is not valid modified UTF-7",
            NameError::Utf8 => "mailbox name is not valid UTF-8",
            NameError::Empty => "mailbox name is empty",
            NameError::EmptyLevel => "mailbox name has an empty level",
            NameError::TooLong => "mailbox name is too long",
            NameError::TooDeep => "mailbox name has too many levels",
            NameError::Control => "mailbox name contains a control character",
        }
    }

    /// Whether the bytes broke the protocol, as opposed to naming something that can't exist.
    pub fn is_syntax(self) -> bool {
        matches!(self, NameError::Utf7 | NameError::Utf8)
    }
}

/// A mailbox name that may exist: see the module's invariants.
#[derive(Debug, Clone)]
pub struct MailboxName {
    name: String,
    /// As the client wrote it, where that is not NFC. It makes no other name of it.
    written: Option<Box<str>>,
}

impl PartialEq for MailboxName {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for MailboxName {}

impl std::hash::Hash for MailboxName {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl PartialOrd for MailboxName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for MailboxName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.name.cmp(&other.name)
    }
}

impl MailboxName {
    /// Takes a name as the client wrote it.
    pub fn parse(wire: &[u8], coding: NameCoding) -> Result<Self, NameError> {
        Self::new(&text(wire, coding)?)
    }

    /// Takes a name in Unicode.
    pub fn new(name: &str) -> Result<Self, NameError> {
        // NFC never makes a name shorter than a third, so this bounds the work without refusing a valid name.
        if name.len() > 3 * NAME_MAX {
            return Err(NameError::TooLong);
        }
        let written = (!is_nfc(name)).then(|| Box::from(name));
        let mut name: String = if written.is_none() { name.to_owned() } else { name.nfc().collect() };
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if name.chars().any(is_forbidden) {
            return Err(NameError::Control);
        }
        if name.split(SEPARATOR).any(str::is_empty) {
            return Err(NameError::EmptyLevel);
        }
        if name.len() > NAME_MAX || name.split(SEPARATOR).any(|level| level.len() > LEVEL_MAX) {
            return Err(NameError::TooLong);
        }
        if name.split(SEPARATOR).count() > LEVELS_MAX {
            return Err(NameError::TooDeep);
        }
        // RFC 3501 §5.1: INBOX in any case is INBOX; so are its children's parents.
        let inbox = name.split(SEPARATOR).next().filter(|first| first.eq_ignore_ascii_case("INBOX"));
        if let Some(first) = inbox {
            let level = first.len();
            name.replace_range(..level, "INBOX");
        }
        Ok(MailboxName { name, written })
    }

    /// The name as the client wrote it, where that was another one: not normalized (RFC 9051 §6.3.9.7).
    pub fn written(&self) -> Option<&str> {
        self.written.as_deref()
    }

    /// The name in Unicode.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// Whether this is the INBOX itself.
    pub fn is_inbox(&self) -> bool {
        self.name == "INBOX"
    }

    /// The names above this one, nearest first: `a/b/c` gives `a/b`, `a`.
    pub fn ancestors(&self) -> impl Iterator<Item = &str> {
        let mut rest = self.as_str();
        std::iter::from_fn(move || {
            rest = rest.rsplit_once(SEPARATOR)?.0;
            Some(rest)
        })
    }
}

impl fmt::Display for MailboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// What `wire` says in Unicode, as a name or a pattern of names: not yet checked, not yet normal.
pub fn text(wire: &[u8], coding: NameCoding) -> Result<String, NameError> {
    match coding {
        NameCoding::ModifiedUtf7 => decode(wire).ok_or(NameError::Utf7),
        NameCoding::Utf8 => std::str::from_utf8(wire).map(str::to_owned).map_err(|_| NameError::Utf8),
    }
}

fn is_forbidden(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

/// Writes `name` in modified UTF-7.
pub fn encode(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut shifted = Shifted::default();
    for c in name.chars() {
        if !matches!(c, ' '..='~') {
            shifted.push(&mut out, c);
            continue;
        }
        shifted.finish(&mut out);
        out.push(c);
        if c == '&' {
            out.push('-');
        }
    }
    shifted.finish(&mut out);
    out
}

/// A run of base64 being written.
#[derive(Default)]
struct Shifted {
    open: bool,
    bits: u32,
    held: u32,
}

impl Shifted {
    fn push(&mut self, out: &mut String, c: char) {
        if !self.open {
            out.push('&');
            self.open = true;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            self.bits = (self.bits << 16) | u32::from(*unit);
            self.held += 16;
            while self.held >= 6 {
                self.held -= 6;
                self.sextet(out, self.bits >> self.held);
            }
        }
    }

    fn finish(&mut self, out: &mut String) {
        if self.held > 0 {
            self.sextet(out, self.bits << (6 - self.held));
        }
        if self.open {
            out.push('-');
        }
        *self = Shifted::default();
    }

    fn sextet(&self, out: &mut String, bits: u32) {
        out.extend(ALPHABET.get((bits & 63) as usize).map(|&b| char::from(b)));
    }
}

/// Reads modified UTF-7; `None` when it isn't.
pub fn decode(wire: &[u8]) -> Option<String> {
    let mut out = String::with_capacity(wire.len());
    let mut rest = wire.iter().copied();
    while let Some(b) = rest.next() {
        match b {
            b'&' => {
                let run: Vec<u8> = rest.by_ref().take_while(|&b| b != b'-').collect();
                // `take_while` also ends where the name does: a run without its `-` must not pass.
                let closed = wire.len() - rest.len();
                if wire.get(closed.checked_sub(1)?) != Some(&b'-') {
                    return None;
                }
                if run.is_empty() { out.push('&') } else { decode_run(&run, &mut out)? }
            }
            // Control characters decode here, to be refused for what they are.
            0..=0x7f => out.push(char::from(b)),
            _ => return None,
        }
    }
    Some(out)
}

fn decode_run(run: &[u8], out: &mut String) -> Option<()> {
    let (mut bits, mut held) = (0u32, 0u32);
    let mut units = Vec::with_capacity(run.len() * 3 / 8);
    for b in run {
        let value = ALPHABET.iter().position(|a| a == b)?;
        bits = (bits << 6) | u32::try_from(value).ok()?;
        held += 6;
        if held >= 16 {
            held -= 16;
            units.push(u16::try_from((bits >> held) & 0xffff).ok()?);
        }
    }
    // What is left is padding: fewer than six bits, all zero.
    if held >= 6 || bits & ((1 << held) - 1) != 0 {
        return None;
    }
    for c in char::decode_utf16(units) {
        out.push(c.ok()?);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refuses_what_is_not_modified_utf7() {
        for wire in [
            &b"&"[..],
            b"a&",
            b"&AOk",
            b"&A-",
            b"&AO-",
            b"&AOl-",    // padding bits not zero
            b"&AOkA-",   // six bits too many
            b"&2D0-",    // half a surrogate pair
            b"&3gDYPQ-", // the halves in the wrong order
            b"&AO/-",    // the slash of ordinary base64
            b"R&D",      // a bare ampersand
            b"\xc3\xa9",
        ] {
            assert_eq!(decode(wire), None, "{:?}", wire.escape_ascii().to_string());
        }
    }

    #[test]
    fn decodes_and_encodes() {
        for (wire, name) in [
            ("INBOX", "INBOX"),
            ("~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/台北/日本語"),
            ("Entw&APw-rfe", "Entwürfe"),
            ("R&-D", "R&D"),
            ("&2D3eAA-", "😀"),
            ("a&2D3eAADp-b", "a😀éb"),
            ("", ""),
        ] {
            assert_eq!(decode(wire.as_bytes()).unwrap(), name);
            assert_eq!(encode(name), wire);
        }
        // What a careless encoder writes.
        for (wire, name) in [("&AGE-", "a"), ("&AOk-&AOk-", "éé"), ("&ACY-", "&")] {
            assert_eq!(decode(wire.as_bytes()).unwrap(), name);
        }
    }

    #[test]
    fn refuses_names_that_can_not_exist() {
        let level = "x".repeat(LEVEL_MAX);
        let long = ["x".repeat(200).as_str(); 5].join("/");
        let deep = ["a"; LEVELS_MAX + 1].join("/");
        for (name, error) in [
            ("", NameError::Empty),
            ("/", NameError::EmptyLevel),
            ("/a", NameError::EmptyLevel),
            ("a/", NameError::EmptyLevel),
            ("a//b", NameError::EmptyLevel),
            ("a\tb", NameError::Control),
            ("a\u{7f}", NameError::Control),
            ("a\u{85}", NameError::Control),
            ("a\u{2028}b", NameError::Control),
            (&format!("{level}y"), NameError::TooLong),
            (&format!("a/{level}é"), NameError::TooLong),
            (&long, NameError::TooLong),
            (&deep, NameError::TooDeep),
        ] {
            assert_eq!(MailboxName::new(name), Err(error), "{name:?}");
        }
        assert_eq!(MailboxName::parse(b"&AAA-", NameCoding::ModifiedUtf7), Err(NameError::Control));
        assert_eq!(MailboxName::parse(b"a\0", NameCoding::ModifiedUtf7), Err(NameError::Control));
        assert_eq!(MailboxName::parse(b"&AC8-a", NameCoding::ModifiedUtf7), Err(NameError::EmptyLevel));
        assert_eq!(MailboxName::parse(b"\xff", NameCoding::Utf8), Err(NameError::Utf8));
    }

    #[test]
    fn one_form_for_one_name() {
        for (given, canonical) in [
            ("inBox", "INBOX"),
            ("inbox/Sub", "INBOX/Sub"),
            ("inboxes", "inboxes"),
            ("a/inbox", "a/inbox"),
            ("Cafe\u{301}", "Caf\u{e9}"),
        ] {
            assert_eq!(MailboxName::new(given).unwrap().as_str(), canonical);
        }
        let utf8 = MailboxName::parse("R&D é".as_bytes(), NameCoding::Utf8).unwrap();
        assert_eq!(utf8.as_str(), "R&D é");
        let name = MailboxName::new("a/b/c").unwrap();
        assert_eq!(name.ancestors().collect::<Vec<_>>(), ["a/b", "a"]);
    }

    proptest! {
        #[test]
        fn round_trip(name in any::<String>()) {
            let wire = encode(&name);
            prop_assert!(wire.bytes().all(|b| matches!(b, b' '..=b'~')));
            prop_assert_eq!(decode(wire.as_bytes()), Some(name));
        }

        #[test]
        fn canonical_names_stay(name in "[\\PC/]{0,20}") {
            if let Ok(first) = MailboxName::new(&name) {
                prop_assert_eq!(MailboxName::new(first.as_str()), Ok(first.clone()));
            }
        }

        #[test]
        fn any_bytes(wire in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Some(name) = decode(&wire) {
                prop_assert_eq!(decode(encode(&name).as_bytes()), Some(name));
            }
        }
    }
}
