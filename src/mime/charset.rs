//! Charset labels and the text they stand for (RFC 2046 §4.1.2, WHATWG Encoding).
//!
//! `encoding_rs` decodes what browsers know; the few others seen in mail (UTF-7, DOS code pages, UCS-2 spellings) come from
//! `mail-parser`.

use encoding_rs::{Encoding, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// Labels are short; what is longer is no label.
const LABEL_MAX: usize = 45;

/// Bytes in the charset of that label as text; none if the label is not known.
///
/// Labels are read leniently: any case, quotes, white space, and missing or exchanged punctuation (`utf8`, `cp-1252`,
/// `latin-1`, `ISO8859_15`). Bytes that the charset does not define become U+FFFD. `us-ascii` says nothing about bytes
/// above 127: those are read as by [`guess`].
#[must_use]
pub fn decode(label: &[u8], bytes: &[u8]) -> Option<String> {
    let label = label.trim_ascii();
    let label = label.strip_prefix(b"\"").unwrap_or(label);
    let label = label.strip_suffix(b"\"").unwrap_or(label);
    if label.is_empty() || label.len() > LABEL_MAX {
        return None;
    }
    let plain = normal(label);
    if matches!(plain.as_slice(), b"usascii" | b"ascii" | b"ansix341968" | b"7bit" | b"8bit") {
        return Some(guess(bytes));
    }
    if let Some(encoding) = Encoding::for_label_no_replacement(label).or_else(|| respelled(&plain)) {
        return Some(with(encoding, bytes));
    }
    mail_parser::decoders::charsets::map::charset_decoder(label).map(|decoder| decoder(bytes))
}

/// Text of an unnamed charset: UTF-8 if it is that (RFC 6532), else windows-1252, in which every byte is something.
#[must_use]
pub fn guess(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => with(WINDOWS_1252, bytes),
    }
}

fn with(encoding: &'static Encoding, bytes: &[u8]) -> String {
    // RFC 2781 §3.3: without a byte order mark the label decides; with one, the mark does.
    if encoding == UTF_16LE || encoding == UTF_16BE {
        return encoding.decode(bytes).0.into_owned();
    }
    encoding.decode_with_bom_removal(bytes).0.into_owned()
}

/// The letters and digits of a label in lower case.
fn normal(label: &[u8]) -> Vec<u8> {
    label.iter().filter(|b| b.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase).collect()
}

/// Finds an encoding by a label's letters and digits alone.
fn respelled(plain: &[u8]) -> Option<&'static Encoding> {
    let with_prefix = |from: &[u8], to: &[u8]| {
        let rest = plain.strip_prefix(from)?;
        Encoding::for_label_no_replacement(&[to, rest].concat())
    };
    with_prefix(b"windows", b"windows-")
        .or_else(|| with_prefix(b"win", b"windows-"))
        .or_else(|| with_prefix(b"cp", b"windows-"))
        .or_else(|| with_prefix(b"iso8859", b"iso-8859-"))
        .or_else(|| with_prefix(b"iso2022", b"iso-2022-"))
        .or_else(|| with_prefix(b"koi8", b"koi8-"))
        .or_else(|| with_prefix(b"utf", b"utf-"))
        .or_else(|| with_prefix(b"euc", b"euc-"))
        .or_else(|| with_prefix(b"shiftjis", b"shift-jis"))
        .or_else(|| Encoding::for_label_no_replacement(plain))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn unknown_labels_give_nothing() {
        for label in ["", "x-unknown", "\"\"", "iso-8859-99", &"u".repeat(100)] {
            assert_eq!(decode(label.as_bytes(), b"x"), None, "{label}");
        }
    }

    #[test]
    fn labels_are_read_leniently() {
        let table: [(&str, &[u8], &str); 14] = [
            ("utf-8", "grün".as_bytes(), "grün"),
            ("UTF8", "grün".as_bytes(), "grün"),
            ("\"iso-8859-1\"", b"gr\xfcn", "grün"),
            ("ISO8859_15", b"\xa4", "€"),
            ("latin-1", b"gr\xfcn", "grün"),
            ("cp-1252", b"\x80", "€"),
            ("Windows1251", b"\xcf\xf0", "Пр"),
            ("koi8r", b"\xf0", "П"),
            ("iso-2022-jp", b"\x1b$B$3\x1b(B", "こ"),
            ("gb2312", b"\xd6\xd0", "中"),
            ("cp850", b"\x81", "ü"),
            ("utf-16be", b"\0g\0r", "gr"),
            ("us-ascii", "grün".as_bytes(), "grün"),
            ("us-ascii", b"gr\xfcn", "grün"),
        ];
        for (label, bytes, want) in table {
            assert_eq!(decode(label.as_bytes(), bytes).as_deref(), Some(want), "{label}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded(bytes in proptest::collection::vec(any::<u8>(), 0..100),
            label in "utf-7|utf-16|cp850|cp437|iso-2022-kr|hz-gb-2312|big5|[a-z0-9-]{0,12}") {
            let _ = decode(label.as_bytes(), &bytes);
            let _ = guess(&bytes);
        }
    }
}
