//! Mail domains: names and address literals in their one canonical form.
//!
//! A name is kept as A-labels in lower case (RFC 5890 §2.3.2.1), which is what the DNS, the directory and hosts without
//! SMTPUTF8 understand; [`domain_to_unicode`] shows it to people. An address literal (RFC 5321 §4.1.3) is kept in its
//! brackets, its address as RFC 5952 writes it.
//!
//! More liberal than the grammar in one thing: `_` is allowed in a label, because hosts with such names exist and send
//! mail. Stricter in one: a name that looks like an IPv4 address without brackets is refused; it can't be delivered to.

use std::net::{Ipv4Addr, Ipv6Addr};

use idna::{
    AsciiDenyList,
    uts46::{Hyphens, Uts46},
};

/// RFC 5321 §4.5.3.1.2.
const MAX_OCTETS: usize = 255;
/// Before normalisation: room for a name whose UTF-8 is longer than its A-labels.
const MAX_INPUT: usize = 4 * MAX_OCTETS;

/// A text that is no mail domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DomainError {
    /// Nothing is there.
    #[error("the domain is missing")]
    Empty,
    /// Longer than RFC 5321 allows.
    #[error("the domain is longer than 255 characters")]
    TooLong,
    /// An empty label, one of more than 63 characters, one with a character that is not allowed, or bad UTF-8.
    #[error("the domain is not a valid name")]
    Name,
    /// Brackets without an IPv4 address, or `IPv6:` and an IPv6 address.
    #[error("in brackets must stand an IPv4 address, or IPv6: and an IPv6 address")]
    Literal,
    /// Only numbers.
    #[error("an IP address as domain is written in brackets")]
    BareAddress,
}

/// The canonical form of a domain or address literal.
pub fn domain_to_ascii(domain: &[u8]) -> Result<String, DomainError> {
    if domain.is_empty() {
        return Err(DomainError::Empty);
    }
    if domain.len() > MAX_INPUT {
        return Err(DomainError::TooLong);
    }
    if let Some(inner) = domain.strip_prefix(b"[") {
        return inner.strip_suffix(b"]").and_then(literal).ok_or(DomainError::Literal);
    }
    let ascii =
        Uts46::new().to_ascii(domain, AsciiDenyList::EMPTY, Hyphens::Allow, idna::uts46::DnsLength::Ignore);
    let ascii = ascii.map_err(|_| DomainError::Name)?;
    if ascii.len() > MAX_OCTETS {
        return Err(DomainError::TooLong);
    }
    if !ascii.split('.').all(is_label) {
        return Err(DomainError::Name);
    }
    if ascii.parse::<Ipv4Addr>().is_ok() {
        return Err(DomainError::BareAddress);
    }
    Ok(ascii.into_owned())
}

/// The domain as people read it: U-labels for A-labels. What can't be shown is left in ASCII.
pub fn domain_to_unicode(domain: &str) -> String {
    if domain.starts_with('[') {
        return domain.to_owned();
    }
    match idna::domain_to_unicode(domain) {
        (unicode, Ok(())) => unicode,
        (_, Err(_)) => domain.to_owned(),
    }
}

fn is_label(label: &str) -> bool {
    let bytes = label.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    bytes.len() <= 63
        && ends.iter().all(|end| end.is_some_and(|b| *b != b'-'))
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

fn literal(inner: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(inner).ok()?;
    if let Some((tag, v6)) = text.split_at_checked(5)
        && tag.eq_ignore_ascii_case("IPv6:")
    {
        return v6.parse::<Ipv6Addr>().ok().map(|v6| format!("[IPv6:{v6}]"));
    }
    text.parse::<Ipv4Addr>().ok().map(|v4| format!("[{v4}]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals() {
        let label = "a".repeat(64);
        let long = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(63), "e".into()].join(".");
        let huge = "é".repeat(511);
        for (text, error) in [
            ("", DomainError::Empty),
            (".", DomainError::Name),
            ("example..org", DomainError::Name),
            (".example.org", DomainError::Name),
            ("example.org.", DomainError::Name),
            ("-example.org", DomainError::Name),
            ("example-.org", DomainError::Name),
            ("exa mple.org", DomainError::Name),
            ("exa\0mple.org", DomainError::Name),
            ("a@b", DomainError::Name),
            ("ａ＠ｂ", DomainError::Name), // full-width letters become ASCII ones
            ("xn--a", DomainError::Name),
            ("xn--\u{e9}", DomainError::Name),
            (label.as_str(), DomainError::Name),
            (long.as_str(), DomainError::TooLong),
            (huge.as_str(), DomainError::TooLong),
            ("1.2.3.4", DomainError::BareAddress),
            ("１.２.３.４", DomainError::BareAddress),
            ("[", DomainError::Literal),
            ("[]", DomainError::Literal),
            ("[1.2.3]", DomainError::Literal),
            ("[1.2.3.256]", DomainError::Literal),
            ("[::1]", DomainError::Literal),
            ("[IPv6:1.2.3.4]", DomainError::Literal),
            ("[IPv6:::1", DomainError::Literal),
            ("[IPv6:fe80::1%eth0]", DomainError::Literal),
            ("[x400:c=de]", DomainError::Literal),
        ] {
            assert_eq!(domain_to_ascii(text.as_bytes()), Err(error), "{text}");
        }
        assert_eq!(domain_to_ascii(b"ex\xff.org"), Err(DomainError::Name));
    }

    #[test]
    fn one_form_for_lookups_and_one_for_people() {
        for (text, ascii, unicode) in [
            ("Example.ORG", "example.org", "example.org"),
            ("localhost", "localhost", "localhost"),
            ("my_host.example", "my_host.example", "my_host.example"),
            ("3com.example", "3com.example", "3com.example"),
            ("Bücher.example", "xn--bcher-kva.example", "bücher.example"),
            ("bu\u{308}cher.example", "xn--bcher-kva.example", "bücher.example"),
            ("XN--BCHER-KVA.example", "xn--bcher-kva.example", "bücher.example"),
            ("例え。テスト", "xn--r8jz45g.xn--zckzah", "例え.テスト"),
            ("straße.example", "xn--strae-oqa.example", "straße.example"),
            ("[1.2.3.4]", "[1.2.3.4]", "[1.2.3.4]"),
            ("[ipv6:2001:DB8:0::1]", "[IPv6:2001:db8::1]", "[IPv6:2001:db8::1]"),
        ] {
            let canonical = domain_to_ascii(text.as_bytes()).unwrap();
            assert_eq!(canonical, ascii, "{text}");
            assert_eq!(domain_to_unicode(&canonical), unicode, "{text}");
            assert_eq!(domain_to_ascii(unicode.as_bytes()).unwrap(), ascii, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn canonical_is_canonical(text in "\\PC{0,80}|[a-zA-Z0-9.\\-_äßİ。]{0,40}") {
            if let Ok(ascii) = domain_to_ascii(text.as_bytes()) {
                proptest::prop_assert!(ascii.is_ascii());
                proptest::prop_assert_eq!(domain_to_ascii(ascii.as_bytes()), Ok(ascii.clone()));
            }
        }
    }
}
