//! xtext (RFC 3461 §4) and the two encodings of an internationalised address in ORCPT (RFC 6533 §3).
//!
//! xtext writes any octet as `+HH`, so that a value survives as one ESMTP parameter. The `utf-8` address type has encodings of
//! its own, which write a code point as `\x{HEX}`: `utf-8-addr-xtext` is pure ASCII, `utf-8-addr-unitext` keeps UTF-8 as it is.
//! Decoders take hexadecimal digits in either case (the grammar wants upper case, and no other reading is possible).

use std::fmt::Write;

/// Why a value isn't xtext or not the encoded address it claims to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadXtext {
    /// A character that has to be encoded stands there as itself.
    #[error("a character stands there that must be encoded")]
    Unencoded,
    /// `+` isn't followed by two hexadecimal digits, or `\` not by `x{HEX}`.
    #[error("an escape is malformed")]
    Escape,
    /// The decoded value holds control characters, or characters that its type doesn't allow.
    #[error("the decoded value has characters that are not allowed in it")]
    Decoded,
}

/// Is this octet written as itself in xtext? `xchar`: printable ASCII but `+` and `=`.
const fn is_xchar(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~') && byte != b'+' && byte != b'='
}

/// Encodes any octets as xtext.
#[must_use]
pub fn encode(raw: &[u8]) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(raw.len());
    for &byte in raw {
        if is_xchar(byte) {
            out.push(char::from(byte));
        } else {
            out.push('+');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    out
}

/// Decodes xtext to the octets it stands for, whatever they are.
///
/// # Errors
/// [`BadXtext`] when the text isn't xtext.
pub fn decode(text: &[u8]) -> Result<Vec<u8>, BadXtext> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'+' {
            let [high, low, tail @ ..] = rest else { return Err(BadXtext::Escape) };
            out.push(hex(*high)? << 4 | hex(*low)?);
            rest = tail;
        } else if is_xchar(byte) {
            out.push(byte);
        } else {
            return Err(BadXtext::Unencoded);
        }
    }
    Ok(out)
}

/// Decodes xtext that must stand for printable ASCII, as ENVID and ORCPT must (RFC 3461 §4.2, §4.4).
///
/// # Errors
/// [`BadXtext`] when the text isn't xtext or stands for something else than printable ASCII.
pub fn decode_printable(text: &[u8]) -> Result<String, BadXtext> {
    let raw = decode(text)?;
    if !raw.iter().all(|b| matches!(b, b' '..=b'~')) {
        return Err(BadXtext::Decoded);
    }
    String::from_utf8(raw).map_err(|_| BadXtext::Decoded)
}

/// Decodes xtext that must stand for text: UTF-8 without control characters.
///
/// # Errors
/// [`BadXtext`] when the text isn't xtext or stands for something else.
pub fn decode_text(text: &[u8]) -> Result<String, BadXtext> {
    let text = String::from_utf8(decode(text)?).map_err(|_| BadXtext::Decoded)?;
    if text.chars().any(char::is_control) { Err(BadXtext::Decoded) } else { Ok(text) }
}

/// Encodes an address as `utf-8-addr-xtext`: ASCII only, for a hop without SMTPUTF8.
#[must_use]
pub fn encode_utf8_xtext(address: &str) -> String {
    encode_points(address, char::is_ascii)
}

/// Encodes an address as `utf-8-addr-unitext`: UTF-8 stays, for a hop with SMTPUTF8.
#[must_use]
pub fn encode_unitext(address: &str) -> String {
    encode_points(address, |_| true)
}

fn encode_points(address: &str, keep: impl Fn(&char) -> bool) -> String {
    let mut out = String::with_capacity(address.len());
    for c in address.chars() {
        if keep(&c) && !needs_escape(c) {
            out.push(c);
        } else {
            // Writing to a String can't fail.
            let _ = write!(out, "\\x{{{:02X}}}", u32::from(c));
        }
    }
    out
}

/// The ASCII characters outside `QCHAR`: controls, space, `\`, `+`, `=`; and the controls beyond ASCII.
fn needs_escape(c: char) -> bool {
    c.is_control() || matches!(c, ' ' | '\\' | '+' | '=')
}

/// Decodes `utf-8-addr-xtext`, `utf-8-addr-unitext` or a plain UTF-8 address (RFC 6533 §3, `utf-8-enc-addr`).
///
/// Control characters are refused even when escaped: the result is written into delivery reports.
///
/// # Errors
/// [`BadXtext`] when the value follows none of the three.
pub fn decode_utf8_address(value: &str) -> Result<String, BadXtext> {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        if c == '\\' {
            out.push(escaped_point(&mut chars)?);
        } else if needs_escape(c) {
            return Err(BadXtext::Unencoded);
        } else {
            out.push(c);
        }
    }
    Ok(out)
}

/// Reads `x{HEXPOINT}`, the backslash being read: two to six digits.
fn escaped_point(chars: &mut std::str::Chars<'_>) -> Result<char, BadXtext> {
    if chars.next() != Some('x') || chars.next() != Some('{') {
        return Err(BadXtext::Escape);
    }
    let mut point = 0u32;
    for digits in 0..=6 {
        let c = chars.next().ok_or(BadXtext::Escape)?;
        if c == '}' && digits >= 2 {
            let decoded = char::from_u32(point).ok_or(BadXtext::Decoded)?;
            // HEXPOINT has of ASCII only what can't stand for itself.
            let allowed = !decoded.is_control() && (!decoded.is_ascii() || needs_escape(decoded));
            return if allowed { Ok(decoded) } else { Err(BadXtext::Decoded) };
        }
        point = point << 4 | c.to_digit(16).ok_or(BadXtext::Escape)?;
    }
    Err(BadXtext::Escape)
}

fn hex(digit: u8) -> Result<u8, BadXtext> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(BadXtext::Escape),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn xtext_is_refused() {
        for (text, why) in [
            ("+", BadXtext::Escape),
            ("a+2", BadXtext::Escape),
            ("a+2G", BadXtext::Escape),
            ("a=b", BadXtext::Unencoded),
            ("a b", BadXtext::Unencoded),
            ("\u{e9}", BadXtext::Unencoded),
        ] {
            assert_eq!(decode(text.as_bytes()), Err(why), "{text}");
        }
        assert_eq!(decode_printable(b"a+0D+0Ab"), Err(BadXtext::Decoded));
        assert_eq!(decode_printable(b"+C3+A9"), Err(BadXtext::Decoded));
        assert_eq!(decode_text(b"+C3"), Err(BadXtext::Decoded));
        assert_eq!(decode_text(b"+00"), Err(BadXtext::Decoded));
    }

    #[test]
    fn utf8_address_is_refused() {
        for (text, why) in [
            ("a\\", BadXtext::Escape),
            ("\\x{}", BadXtext::Escape),
            ("\\x{5}", BadXtext::Escape),
            ("\\x{5C", BadXtext::Escape),
            ("\\x{0010FFFF}", BadXtext::Escape),
            ("\\x{D800}", BadXtext::Decoded),
            ("\\x{110000}", BadXtext::Decoded),
            ("\\x{0A}", BadXtext::Decoded),
            ("\\x{85}", BadXtext::Decoded),
            ("\\x{41}", BadXtext::Decoded),
            ("a+b@c", BadXtext::Unencoded),
            ("a b@c", BadXtext::Unencoded),
        ] {
            assert_eq!(decode_utf8_address(text), Err(why), "{text}");
        }
    }

    #[test]
    fn known_forms() {
        assert_eq!(encode(b"a b+c=d@e"), "a+20b+2Bc+3Dd@e");
        assert_eq!(decode(b"a+20b+2bc").as_deref(), Ok(&b"a b+c"[..]));
        assert_eq!(encode_utf8_xtext("a+\u{e9}\u{1f600}"), "a\\x{2B}\\x{E9}\\x{1F600}");
        assert_eq!(encode_unitext("a+\u{e9}"), "a\\x{2B}\u{e9}");
        assert_eq!(
            decode_utf8_address("a\\x{5C}\\x{e9}@\u{e9}.example").as_deref(),
            Ok("a\\\u{e9}@\u{e9}.example")
        );
    }

    proptest! {
        #[test]
        fn octets_survive(raw in proptest::collection::vec(any::<u8>(), 0..64)) {
            let text = encode(&raw);
            prop_assert!(text.bytes().all(|b| is_xchar(b) || b == b'+'));
            prop_assert_eq!(decode(text.as_bytes()), Ok(raw));
        }

        #[test]
        fn addresses_survive(address in "\\PC{0,40}") {
            prop_assume!(!address.chars().any(char::is_control));
            let ascii = encode_utf8_xtext(&address);
            prop_assert!(ascii.bytes().all(|b| b.is_ascii_graphic() && b != b'+' && b != b'='));
            prop_assert_eq!(decode_utf8_address(&ascii), Ok(address.clone()));
            prop_assert_eq!(decode_utf8_address(&encode_unitext(&address)), Ok(address));
        }

        #[test]
        fn anything_is_answered(raw in proptest::collection::vec(any::<u8>(), 0..64), text in "(\\\\|x|\\{|\\}|[0-9A-F]|\\PC){0,30}") {
            let _ = decode_text(&raw);
            if let Ok(decoded) = decode_utf8_address(&text) {
                prop_assert!(!decoded.chars().any(char::is_control));
            }
        }
    }
}
