//! Mail addresses (RFC 5321 §4.1.2; UTF-8 by RFC 6531 §3.3).
//!
//! The local part is kept as it is meant, without the quotes and backslashes it may have been written with, and in the
//! case and normalisation it came in: only its own host may interpret it (RFC 5321 §2.3.11). The domain is canonical
//! (see [`domain_to_ascii`](super::domain_to_ascii)). To find out whether two addresses mean the same mailbox *here*,
//! compare [`Address::key`].
//!
//! Stricter than the grammar: `""@example.org`, an empty local part, is refused.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use super::domain::{DomainError, domain_to_ascii, domain_to_unicode};

/// RFC 5321 §4.5.3.1.1; counted without quotes and backslashes.
const MAX_LOCAL: usize = 64;
/// RFC 5321 §4.5.3.1.3: a path has 256 octets, its angle brackets included.
const MAX_ADDRESS: usize = 254;

/// A mailbox address: `local@domain`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    local: String,
    domain: String,
}

/// Why a text is no address. The words fit after "501 5.1.3" as well as beside a form field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Nothing before the `@`, or `""`.
    #[error("the part before the @ is missing")]
    EmptyLocal,
    /// More than 64 octets before the `@`.
    #[error("the part before the @ is longer than 64 characters")]
    LocalTooLong,
    /// A character that isn't allowed before the `@`, two dots in a row, or a dot at either end.
    #[error(
        "the part before the @ is not valid; unusual characters need quotes, as in \"john doe\"@example.org"
    )]
    Local,
    /// A quoted local part that doesn't end.
    #[error("the closing quote is missing")]
    OpenQuote,
    /// Not valid UTF-8.
    #[error("the address is not valid UTF-8")]
    Utf8,
    /// No `@` where it should be.
    #[error("the @ is missing")]
    NoAt,
    /// The domain is wrong.
    #[error(transparent)]
    Domain(#[from] DomainError),
    /// More than 254 octets in all.
    #[error("the address is longer than 254 characters")]
    TooLong,
    /// Something follows the address.
    #[error("there is something after the address")]
    Trailing,
    /// A path without its `<` or `>`.
    #[error("the address must stand between < and >")]
    Brackets,
    /// A source route that isn't one.
    #[error("the source route before the address is not valid")]
    Route,
}

impl Address {
    /// Reads an address that fills the whole text.
    pub fn parse(text: &[u8]) -> Result<Address, AddressError> {
        match parse_front(text)? {
            (address, []) => Ok(address),
            (_, _) => Err(AddressError::Trailing),
        }
    }

    /// Puts an address together: `local` is meant, not quoted; `domain` is in any form.
    pub fn from_parts(local: &str, domain: &str) -> Result<Address, AddressError> {
        if local.is_empty() {
            return Err(AddressError::EmptyLocal);
        }
        if local.len() > MAX_LOCAL {
            return Err(AddressError::LocalTooLong);
        }
        if local.chars().any(char::is_control) {
            return Err(AddressError::Local);
        }
        let address = Address { local: local.to_owned(), domain: domain_to_ascii(domain.as_bytes())? };
        let quotes = if is_dot_string(local) { 0 } else { 2 + local.bytes().filter(|&b| escaped(b)).count() };
        if address.local.len() + quotes + 1 + address.domain.len() > MAX_ADDRESS {
            return Err(AddressError::TooLong);
        }
        Ok(address)
    }

    /// The local part as it is meant: without quotes and backslashes.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The domain for lookups: A-labels in lower case, or an address literal in brackets.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The domain as people read it.
    pub fn domain_unicode(&self) -> String {
        domain_to_unicode(&self.domain)
    }

    /// The whole address as people read it. Parses back to an equal address.
    pub fn to_unicode(&self) -> String {
        format!("{}@{}", Written(&self.local), self.domain_unicode())
    }

    /// Whether a host without SMTPUTF8 (RFC 6531) can't be given this address. The domain never is the reason: it is
    /// in ASCII.
    pub fn needs_smtputf8(&self) -> bool {
        !self.local.is_ascii()
    }

    /// The local part cut at the first `separator`: `bob+lists` is `bob` and `lists`, `bob+` is `bob` and an empty
    /// detail. Without separator, or with nothing before it, all of it is the base.
    pub fn split_subaddress(&self, separator: char) -> (&str, Option<&str>) {
        match self.local.split_once(separator) {
            Some((base, detail)) if !base.is_empty() => (base, Some(detail)),
            _ => (&self.local, None),
        }
    }

    /// What two addresses of one mailbox here have in common: the local part in lower case and NFC, `@`, the domain.
    ///
    /// Case is folded letter by letter, without regard to language or position. Not for addresses of other hosts,
    /// which may tell `Bob` from `bob`.
    pub fn key(&self) -> String {
        let lower = self.local.nfc().flat_map(char::to_lowercase);
        let mut key: String = lower.nfc().collect();
        key.push('@');
        key.push_str(&self.domain);
        key
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", Written(&self.local), self.domain)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Address, AddressError> {
        Address::parse(text.as_bytes())
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Address, AddressError> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> String {
        address.to_string()
    }
}

/// A local part as it is written: quoted if it must be.
struct Written<'a>(&'a str);

impl fmt::Display for Written<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        if is_dot_string(self.0) {
            return f.write_str(self.0);
        }
        f.write_char('"')?;
        for c in self.0.chars() {
            if matches!(c, '"' | '\\') {
                f.write_char('\\')?;
            }
            f.write_char(c)?;
        }
        f.write_char('"')
    }
}

fn escaped(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\')
}

fn is_dot_string(local: &str) -> bool {
    local.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(is_atext))
}

/// RFC 5322 §3.2.3, and the bytes of UTF8-non-ascii (RFC 6531 §3.3).
fn is_atext(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || !byte.is_ascii() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte)
}

/// Reads an address at the front of `text`; what follows it is left to the caller.
pub(super) fn parse_front(text: &[u8]) -> Result<(Address, &[u8]), AddressError> {
    let (local, rest) = if text.first() == Some(&b'"') { quoted(&text[1..])? } else { dot_string(text)? };
    let local = std::str::from_utf8(&local).map_err(|_| AddressError::Utf8)?;
    let rest = rest.strip_prefix(b"@").ok_or(AddressError::NoAt)?;
    let (domain, rest) = rest.split_at(domain_end(rest));
    let domain = std::str::from_utf8(domain).map_err(|_| AddressError::Utf8)?;
    Ok((Address::from_parts(local, domain)?, rest))
}

/// How far a domain or address literal reaches.
pub(super) fn domain_end(text: &[u8]) -> usize {
    let end = if text.first() == Some(&b'[') {
        text.iter().position(|&b| b == b']').map(|bracket| bracket + 1)
    } else {
        text.iter().position(|&b| b.is_ascii() && !b.is_ascii_alphanumeric() && !b".-_".contains(&b))
    };
    end.unwrap_or(text.len())
}

type Local<'a> = (Vec<u8>, &'a [u8]);

fn dot_string(text: &[u8]) -> Result<Local<'_>, AddressError> {
    let end = text.iter().position(|&b| b != b'.' && !is_atext(b)).unwrap_or(text.len());
    let (local, rest) = text.split_at(end);
    if local.is_empty() && matches!(rest.first(), None | Some(b'@')) {
        return Err(AddressError::EmptyLocal);
    }
    if local.len() > MAX_LOCAL {
        return Err(AddressError::LocalTooLong);
    }
    if !matches!(rest.first(), None | Some(b'@' | b'>')) || local.split(|&b| b == b'.').any(<[u8]>::is_empty)
    {
        return Err(AddressError::Local);
    }
    Ok((local.to_vec(), rest))
}

/// The rest of a quoted local part, its first quote taken off.
fn quoted(text: &[u8]) -> Result<Local<'_>, AddressError> {
    let mut local = Vec::new();
    let mut bytes = text.iter().copied().enumerate();
    while let Some((i, byte)) = bytes.next() {
        let byte = match byte {
            b'"' => return Ok((local, &text[i + 1..])),
            // quoted-pairSMTP: any printable ASCII character after the backslash.
            b'\\' => match bytes.next() {
                Some((_, byte @ 32..=126)) => byte,
                Some(_) => return Err(AddressError::Local),
                None => break,
            },
            0..32 | 127 => return Err(AddressError::Local),
            byte => byte,
        };
        if local.len() == MAX_LOCAL {
            return Err(AddressError::LocalTooLong);
        }
        local.push(byte);
    }
    Err(AddressError::OpenQuote)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    #[test]
    fn refusals() {
        use AddressError::*;
        let local65 = format!("{}@example.org", "a".repeat(65));
        let quoted65 = format!("\"{}\"@example.org", "a".repeat(65));
        let utf8_66 = format!("{}@example.org", "é".repeat(33));
        let label = "b".repeat(63);
        let long = format!("{}@{label}.{label}.{label}", "a".repeat(63));
        let huge = "a".repeat(1 << 20);
        for (text, error) in [
            ("", EmptyLocal),
            ("@example.org", EmptyLocal),
            ("\"\"@example.org", EmptyLocal),
            ("alice", NoAt),
            ("alice@", Domain(DomainError::Empty)),
            ("alice@ example.org", Domain(DomainError::Empty)),
            ("alice@example..org", Domain(DomainError::Name)),
            ("alice@1.2.3.4", Domain(DomainError::BareAddress)),
            ("alice@[1.2.3]", Domain(DomainError::Literal)),
            ("alice@[1.2.3.4", Domain(DomainError::Literal)),
            (".alice@example.org", Local),
            ("alice.@example.org", Local),
            ("al..ice@example.org", Local),
            ("al ice@example.org", Local),
            ("al(x)ice@example.org", Local),
            ("al\\ice@example.org", Local),
            ("<alice@example.org>", Local),
            ("al\0ice@example.org", Local),
            ("al\u{85}ice@example.org", Local),
            ("\"al\0ice\"@example.org", Local),
            ("\"al\rice\"@example.org", Local),
            ("\"al\\é\"@example.org", Local),
            ("\"alice@example.org", OpenQuote),
            ("\"alice\\", OpenQuote),
            ("\"alice\"", NoAt),
            ("\"alice\"x@example.org", NoAt),
            ("alice@example.org>", Trailing),
            ("alice@example.org bob", Trailing),
            ("alice@bob@example.org", Trailing),
            ("alice@[1.2.3.4]x", Trailing),
            (local65.as_str(), LocalTooLong),
            (quoted65.as_str(), LocalTooLong),
            (utf8_66.as_str(), LocalTooLong),
            (long.as_str(), TooLong),
            (huge.as_str(), LocalTooLong),
        ] {
            let shown: String = text.chars().take(80).collect();
            assert_eq!(Address::parse(text.as_bytes()), Err(error), "{shown}");
        }
        assert_eq!(Address::parse(b"al\xffice@example.org"), Err(Utf8));
        assert_eq!(Address::parse(b"alice@ex\xff.org"), Err(Utf8));
    }

    #[test]
    fn the_longest_that_is_allowed() {
        let label = "b".repeat(63);
        let text = format!("{}@{label}.{label}.{}", "a".repeat(64), "b".repeat(61));
        assert_eq!(text.len(), 254);
        assert_eq!(address(&text).to_string(), text);
    }

    #[test]
    fn parts_and_written_form() {
        for (text, local, domain, written) in [
            ("Alice@Example.ORG", "Alice", "example.org", "Alice@example.org"),
            ("a.b!#$%&'*+-/=?^_`{|}~c@x", "a.b!#$%&'*+-/=?^_`{|}~c", "x", "a.b!#$%&'*+-/=?^_`{|}~c@x"),
            ("\"alice\"@example.org", "alice", "example.org", "alice@example.org"),
            ("\"a\\lice\"@example.org", "alice", "example.org", "alice@example.org"),
            ("\"john doe\"@example.org", "john doe", "example.org", "\"john doe\"@example.org"),
            ("\"a@b\"@example.org", "a@b", "example.org", "\"a@b\"@example.org"),
            (r#""a\"b\\c"@example.org"#, r#"a"b\c"#, "example.org", r#""a\"b\\c"@example.org"#),
            ("\".alice.\"@example.org", ".alice.", "example.org", "\".alice.\"@example.org"),
            ("\" \"@example.org", " ", "example.org", "\" \"@example.org"),
            ("alice@[192.168.0.1]", "alice", "[192.168.0.1]", "alice@[192.168.0.1]"),
            ("alice@[IPV6:FE80::1]", "alice", "[IPv6:fe80::1]", "alice@[IPv6:fe80::1]"),
            ("jürgen@bücher.example", "jürgen", "xn--bcher-kva.example", "jürgen@xn--bcher-kva.example"),
        ] {
            let parsed = address(text);
            assert_eq!((parsed.local(), parsed.domain()), (local, domain), "{text}");
            assert_eq!(parsed.to_string(), written, "{text}");
            assert_eq!(address(&parsed.to_unicode()), parsed, "{text}");
        }
        assert_eq!(address("jürgen@xn--bcher-kva.example").to_unicode(), "jürgen@bücher.example");
        assert!(address("jürgen@example.org").needs_smtputf8());
        assert!(!address("alice@bücher.example").needs_smtputf8());
    }

    #[test]
    fn keys_of_one_mailbox_are_equal() {
        for (one, other) in [
            ("Bob@Example.org", "\"bob\"@example.ORG"),
            ("J\u{fc}rgen@x.org", "JU\u{308}RGEN@x.org"),
            ("ΑΣ@x.org", "ασ@x.org"),
        ] {
            assert_eq!(address(one).key(), address(other).key());
        }
        assert_eq!(address("Bob@Bücher.example").key(), "bob@xn--bcher-kva.example");
        assert_ne!(address("bob@example.org").key(), address("rob@example.org").key());
    }

    #[test]
    fn subaddresses() {
        for (text, base, detail) in [
            ("bob@x.org", "bob", None),
            ("bob+lists@x.org", "bob", Some("lists")),
            ("bob+a+b@x.org", "bob", Some("a+b")),
            ("bob+@x.org", "bob", Some("")),
            ("+bob@x.org", "+bob", None),
        ] {
            assert_eq!(address(text).split_subaddress('+'), (base, detail), "{text}");
        }
    }

    #[test]
    fn json_is_the_written_form() {
        let parsed: Address = serde_json::from_str("\"Bob@EXAMPLE.org\"").unwrap();
        assert_eq!(serde_json::to_string(&parsed).unwrap(), "\"Bob@example.org\"");
        assert!(serde_json::from_str::<Address>("\"bob\"").is_err());
    }

    proptest! {
        #[test]
        fn every_local_part_comes_back(local in "[ -~äß]{1,30}", domain in "[a-z]{1,9}\\.(org|b\u{fc}cher)") {
            let made = Address::from_parts(&local, &domain).unwrap();
            prop_assert_eq!(made.local(), &local);
            prop_assert_eq!(&address(&made.to_string()), &made);
            prop_assert_eq!(&address(&made.to_unicode()), &made);
        }

        #[test]
        fn any_bytes_parse_or_are_refused(text in prop::collection::vec(prop::sample::select(b"a.@\"\\[]<>:1 \xc3\xa4\x00".to_vec()), 0..40)) {
            if let Ok(parsed) = Address::parse(&text) {
                prop_assert!(parsed.to_string().len() <= MAX_ADDRESS);
                prop_assert_eq!(address(&parsed.to_string()), parsed);
            }
        }

        #[test]
        fn the_key_of_a_key_is_the_key(local in "\\PC{1,12}") {
            if let Ok(made) = Address::from_parts(&local, "example.org") {
                let key = made.key();
                let base = key.strip_suffix("@example.org").unwrap();
                if let Ok(again) = Address::from_parts(base, "example.org") {
                    prop_assert_eq!(again.key(), key);
                }
            }
        }
    }
}
