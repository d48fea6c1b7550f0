//! The name a client gives with HELO, EHLO and LHLO (RFC 5321 §4.1.1.1, §4.1.3).

use std::net::{Ipv4Addr, Ipv6Addr};

/// The argument of HELO, EHLO or LHLO. Never empty.
///
/// Plenty of honest clients send names that no grammar knows, so a bad one isn't an error here: the server decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Helo<'a> {
    /// What the client said, without the spaces around it. ASCII without control characters.
    pub raw: &'a str,
    /// Is it a domain or an address literal?
    pub well_formed: bool,
}

impl<'a> Helo<'a> {
    /// Judges a name; `raw` has no spaces around it.
    pub fn new(raw: &'a str) -> Helo<'a> {
        let well_formed = match raw.strip_prefix('[').and_then(|r| r.strip_suffix(']')) {
            Some(literal) => is_address_literal(literal),
            None => is_domain(raw),
        };
        Helo { raw, well_formed }
    }
}

/// `Domain`: labels of letters, digits and inner hyphens, within the limits of RFC 1035 §2.3.4.
fn is_domain(name: &str) -> bool {
    name.len() <= 255
        && name.split('.').all(|label| {
            let label = label.as_bytes();
            (1..=63).contains(&label.len())
                && label.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
                && !label.starts_with(b"-")
                && !label.ends_with(b"-")
        })
}

/// What stands between the brackets of an address literal: IPv4, `IPv6:` and an address, or `tag:content`.
fn is_address_literal(literal: &str) -> bool {
    let Some((tag, content)) = literal.split_once(':') else { return literal.parse::<Ipv4Addr>().is_ok() };
    if tag.eq_ignore_ascii_case("IPv6") {
        return content.parse::<Ipv6Addr>().is_ok();
    }
    is_domain(tag)
        && !tag.contains('.')
        && !content.is_empty()
        && content.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'[' | b'\\' | b']'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn judged() {
        let long_label = "a".repeat(64);
        let long_name = ["a".repeat(63).as_str(); 5].join(".");
        for raw in [
            "a b",
            "-a",
            "a-",
            "a..b",
            "a.",
            ".a",
            "a_b",
            "localhost!",
            "[",
            "[]",
            "[1.2.3]",
            "[1.2.3.4",
            "1.2.3.4]",
            "[::1]",
            "[IPv6:]",
            "[IPv6:1.2.3.4]",
            "[x:]",
            "[-x:y]",
            "[x:a b]",
            "[x:[]",
            &long_label,
            &long_name,
        ] {
            assert!(!Helo::new(raw).well_formed, "{raw}");
        }
        for raw in [
            "a",
            "localhost",
            "mx-1.example.test",
            "1.2.3.4",
            "[1.2.3.4]",
            "[IPv6:::1]",
            "[ipv6:fe80::1]",
            "[x400:y]",
        ] {
            assert!(Helo::new(raw).well_formed, "{raw}");
        }
    }
}
