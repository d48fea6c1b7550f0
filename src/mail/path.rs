//! The path of MAIL and RCPT (RFC 5321 §4.1.2): an address, or one of the two that aren't, between angle brackets.

use super::address::{Address, AddressError, domain_end, parse_front};

/// Where mail comes from or goes to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Path {
    /// `<>`: the reverse path of notifications, to which none is sent (RFC 5321 §4.5.5).
    Null,
    /// `<Postmaster>` without a domain, in any case, as recipient (RFC 5321 §4.5.1).
    Postmaster,
    /// An address; a source route before it was dropped (RFC 5321 Appendix C).
    Address(Address),
}

/// Reads the path at the front of `text`, from `<` to `>`, and returns what follows it.
///
/// Which of the three is allowed where, the caller knows: null only as reverse path, bare Postmaster only as
/// forward path.
pub fn parse_path(text: &[u8]) -> Result<(Path, &[u8]), AddressError> {
    let inner = text.strip_prefix(b"<").ok_or(AddressError::Brackets)?;
    if let Some(rest) = inner.strip_prefix(b">") {
        return Ok((Path::Null, rest));
    }
    const POSTMASTER: &[u8] = b"postmaster>";
    if let Some((name, rest)) = inner.split_at_checked(POSTMASTER.len())
        && name.eq_ignore_ascii_case(POSTMASTER)
    {
        return Ok((Path::Postmaster, rest));
    }
    let (address, rest) = parse_front(after_route(inner)?)?;
    let rest = rest.strip_prefix(b">").ok_or(AddressError::Brackets)?;
    Ok((Path::Address(address), rest))
}

/// Leaves out `@a,@b:`. The hosts are only looked over: nobody will be asked to relay by them.
fn after_route(text: &[u8]) -> Result<&[u8], AddressError> {
    let mut text = text;
    if text.first() != Some(&b'@') {
        return Ok(text);
    }
    loop {
        let host = text.strip_prefix(b"@").ok_or(AddressError::Route)?;
        let (host, rest) = host.split_at(domain_end(host));
        match rest.split_first() {
            _ if host.is_empty() => return Err(AddressError::Route),
            Some((b',', rest)) => text = rest,
            Some((b':', rest)) => return Ok(rest),
            _ => return Err(AddressError::Route),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals() {
        use AddressError::*;
        for (text, error) in [
            ("", Brackets),
            ("alice@example.org", Brackets),
            (" <alice@example.org>", Brackets),
            ("<alice@example.org", Brackets),
            ("<alice@example.org >", Brackets),
            ("<", EmptyLocal),
            ("< >", Local),
            ("<alice>", NoAt),
            ("<postmasters>", NoAt),
            ("<<alice@example.org>>", Local),
            ("<@example.org>", Route),
            ("<@:alice@example.org>", Route),
            ("<@a,b:alice@example.org>", Route),
            ("<@a,:alice@example.org>", Route),
            ("<@a;alice@example.org>", Route),
            ("<@a:>", Local),
            ("<@a:@b:alice@example.org>", EmptyLocal),
        ] {
            assert_eq!(parse_path(text.as_bytes()), Err(error), "{text}");
        }
    }

    #[test]
    fn accepted_forms() {
        let address = |text: &str| Path::Address(text.parse().unwrap());
        for (text, path, rest) in [
            ("<>", Path::Null, ""),
            ("<> BODY=8BITMIME", Path::Null, " BODY=8BITMIME"),
            ("<Postmaster>", Path::Postmaster, ""),
            ("<POSTMASTER> X", Path::Postmaster, " X"),
            ("<postmaster@example.org>", address("postmaster@example.org"), ""),
            ("<alice@example.org> SIZE=1", address("alice@example.org"), " SIZE=1"),
            ("<alice@[IPv6:::1]>", address("alice@[IPv6:::1]"), ""),
            ("<\"a>b\"@example.org>", address("\"a>b\"@example.org"), ""),
            ("<@a.example,@[1.2.3.4]:alice@example.org>", address("alice@example.org"), ""),
        ] {
            assert_eq!(parse_path(text.as_bytes()), Ok((path, rest.as_bytes())), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_parse_or_are_refused(text in "<?[a@,:.<>\"\\[\\]1 ]{0,30}>?") {
            if let Ok((path, rest)) = parse_path(text.as_bytes()) {
                proptest::prop_assert!(text.as_bytes().ends_with(rest));
                if let Path::Address(address) = path {
                    let again = format!("<{address}>");
                    proptest::prop_assert_eq!(parse_path(again.as_bytes()), Ok((Path::Address(address), &b""[..])));
                }
            }
        }
    }
}
