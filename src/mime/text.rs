//! The text of a message for SEARCH (RFC 9051 §6.4.4): parts and headers as strings, and matching without case.
//!
//! # Case folding
//!
//! [`fold`] is what IMAP calls the comparator `i;unicode-casemap` (RFC 5051; I18NLEVEL=1 of RFC 5255 asks for it), and a
//! little more: what is equal there is equal here. Each character is mapped to upper case and decomposed, and the result
//! mapped to lower, upper and lower case, by Unicode's full mappings. So case does not matter (`ß`, `ẞ` and `SS` fold to
//! `ss`, all three sigmas to `σ`); a letter with an accent is that letter and a combining accent, so that `cafe` is found in
//! `café`; and what is compatible is equal: a ligature is its letters, a full-width digit the digit. Syllables of Hangul
//! stay whole, as they do in RFC 5051. It is applied character by character, so text may be folded in pieces.

use jiff::civil::Date;
use memchr::{memchr, memmem};
use unicode_normalization::char::decompose_compatible;

use super::charset;
use super::content::param;
use super::decode::decode_header;
use super::header::{Field, fields};
use super::part::{Body, Part};
use super::transfer::{self, Encoding};
use crate::mail::DateTime;

/// The text of a part of type text/*, transfer encoding and charset undone; none for other types.
///
/// `raw_body` is the part's body as in the message. HTML is returned as it is: see [`html_text`]. A charset that is
/// missing, unknown or us-ascii is read as UTF-8 or else windows-1252.
#[must_use]
pub fn decode_part(part: &Part, raw_body: &[u8]) -> Option<String> {
    if !part.is_type("text") || part.body != Body::Leaf {
        return None;
    }
    let bytes = transfer::decode(Encoding::of(part.encoding.as_deref()), raw_body);
    let label = param(&part.params, "charset").unwrap_or(b"us-ascii");
    Some(charset::decode(label, &bytes).unwrap_or_else(|| charset::guess(&bytes)))
}

/// A header block with every field on one line and its text decoded.
#[must_use]
pub fn decoded_header_text(header: &[u8]) -> String {
    let mut out = String::with_capacity(header.len());
    for field in fields(header) {
        if !field.name.is_empty() {
            out.push_str(&charset::guess(field.name));
            out.push_str(": ");
        }
        out.push_str(&decode_header(field.value));
        out.push('\n');
    }
    out
}

/// The fields of a header block with name and value decoded and folded; the name is empty where a line is no field.
#[must_use]
pub fn folded_fields(header: &[u8]) -> Vec<(String, String)> {
    let folded = |field: Field<'_>| (fold(&charset::guess(field.name)), fold(&decode_header(field.value)));
    fields(header).map(folded).collect()
}

/// What [`fold`] makes of [`decoded_header_text`], from the fields that [`folded_fields`] has found.
#[must_use]
pub fn folded_header_text<'f>(fields: impl IntoIterator<Item = (&'f str, &'f str)>) -> String {
    let mut out = String::new();
    for (name, value) in fields {
        if !name.is_empty() {
            out.push_str(name);
            out.push_str(": ");
        }
        out.push_str(value);
        out.push('\n');
    }
    out
}

/// The day that a header says the message was sent on, as in its own time zone: of the first Date field that can be read.
#[must_use]
pub fn sent_day(header: &[u8]) -> Option<Date> {
    let dates = fields(header).filter(|field| field.is("date"));
    let mut dates = dates.filter_map(|field| DateTime::parse_rfc5322(field.value.trim_ascii()));
    dates.next().map(DateTime::date)
}

/// Folds the case of a text; see the head of this module.
#[must_use]
pub fn fold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        // Most of most texts is ASCII, and that goes ten times as fast in one piece.
        let ascii = rest.bytes().position(|byte| !byte.is_ascii()).unwrap_or(rest.len());
        let (plain, other) = rest.split_at(ascii);
        let start = out.len();
        out.push_str(plain);
        if let Some(plain) = out.get_mut(start..) {
            plain.make_ascii_lowercase();
        }
        let mut chars = other.chars();
        if let Some(c) = chars.next() {
            fold_char(c, |c| out.push(c));
        }
        rest = chars.as_str();
    }
    out
}

/// Folds one character into any number of them.
fn fold_char(c: char, mut push: impl FnMut(char)) {
    if c.is_ascii() {
        return push(c.to_ascii_lowercase());
    }
    for upper in c.to_uppercase() {
        // RFC 5051 §2: by the decompositions of UnicodeData.txt, which has none for Hangul.
        if matches!(upper, '\u{ac00}'..='\u{d7a3}') {
            push(upper);
            continue;
        }
        let to_fold =
            |part: char| part.to_lowercase().flat_map(char::to_uppercase).flat_map(char::to_lowercase);
        decompose_compatible(upper, |part| to_fold(part).for_each(&mut push));
    }
}

/// How much of a haystack is folded at once.
const WINDOW: usize = 64 << 10;

/// Whether the haystack, folded, contains the needle, which the caller has folded by [`fold`].
///
/// Linear in both, with a fixed window of folded text in memory.
#[must_use]
pub fn contains_ignore_case(haystack: &str, needle_folded: &str) -> bool {
    let finder = memmem::Finder::new(needle_folded.as_bytes());
    let overlap = needle_folded.len().saturating_sub(1);
    let full = WINDOW.max(4 * needle_folded.len());
    let mut window: Vec<u8> = Vec::with_capacity(full.min(haystack.len() + 4));
    for c in haystack.chars() {
        fold_char(c, |c| window.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()));
        if window.len() >= full {
            if finder.find(&window).is_some() {
                return true;
            }
            window.drain(..window.len() - overlap);
        }
    }
    finder.find(&window).is_some()
}

/// Elements whose content is not text for a reader.
const HIDDEN: [&str; 4] = ["style", "script", "template", "title"];

/// Elements within a line: no space is put in their place, so that `<b>W</b>ord` is one word.
const INLINE: [&str; 16] = [
    "a", "abbr", "b", "big", "code", "em", "font", "i", "mark", "s", "small", "span", "strong", "sub", "sup",
    "u",
];

/// The text of an HTML document: tags, comments, styles and scripts left out, character references decoded.
///
/// For searching, not for display: it builds no tree and keeps white space as it is.
#[must_use]
pub fn html_text(html: &str) -> String {
    let mut out = String::with_capacity(html.len() / 2);
    let mut rest = html.as_bytes();
    while let Some(at) = rest.iter().position(|b| matches!(b, b'<' | b'&')) {
        let (before, from) = rest.split_at(at);
        out.push_str(&String::from_utf8_lossy(before));
        rest = match from {
            [b'&', ..] => reference(from, &mut out),
            [b'<', b'!', b'-', b'-', ..] => past(from, b"-->"),
            [b'<', b'a'..=b'z' | b'A'..=b'Z' | b'/' | b'!' | b'?', ..] => tag(from, &mut out),
            _ => {
                out.push('<');
                from.get(1..).unwrap_or_default()
            }
        };
    }
    out.push_str(&String::from_utf8_lossy(rest));
    out
}

/// What follows the first `end`, or nothing.
fn past<'a>(from: &'a [u8], end: &[u8]) -> &'a [u8] {
    memmem::find(from, end).and_then(|at| from.get(at + end.len()..)).unwrap_or_default()
}

/// Reads a tag, and the whole element if it is hidden.
fn tag<'a>(from: &'a [u8], out: &mut String) -> &'a [u8] {
    let after = memchr(b'>', from).and_then(|at| from.get(at + 1..)).unwrap_or_default();
    let name = from.get(1..).unwrap_or_default();
    let closing = name.starts_with(b"/");
    let name = name.strip_prefix(b"/").unwrap_or(name);
    let name = name.split(|b| !b.is_ascii_alphanumeric()).next().unwrap_or_default();
    if !INLINE.iter().any(|inline| name.eq_ignore_ascii_case(inline.as_bytes())) {
        out.push(' ');
    }
    match HIDDEN.iter().find(|hidden| name.eq_ignore_ascii_case(hidden.as_bytes())) {
        Some(hidden) if !closing => past_element(after, hidden),
        _ => after,
    }
}

/// What follows the closing tag of a hidden element, or nothing.
fn past_element<'a>(from: &'a [u8], name: &str) -> &'a [u8] {
    let closes = |at: &usize| {
        let tag = from.get(at + 2..at + 2 + name.len());
        tag.is_some_and(|tag| tag.eq_ignore_ascii_case(name.as_bytes()))
    };
    match memmem::find_iter(from, b"</").find(closes) {
        Some(at) => past(from.get(at..).unwrap_or_default(), b">"),
        None => b"",
    }
}

/// Longest character reference read, such as `&CounterClockwiseContourIntegral;`.
const REFERENCE_MAX: usize = 40;

/// Reads a character reference; an ampersand that begins none is text.
fn reference<'a>(from: &'a [u8], out: &mut String) -> &'a [u8] {
    let near = from.get(..REFERENCE_MAX).unwrap_or(from);
    let is_name = |b: &u8| b.is_ascii_alphanumeric() || *b == b'#';
    let len = near.iter().skip(1).take_while(|b| is_name(b)).count();
    if len == 0 || near.get(len + 1) != Some(&b';') {
        out.push('&');
        return from.get(1..).unwrap_or_default();
    }
    let (entity, rest) = from.split_at(len + 2);
    mail_parser::decoders::html::add_html_token(out, entity, false);
    rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mime::structure::{Builder, Limits};

    fn text_of(message: &[u8]) -> Option<String> {
        let mut builder = Builder::new(Limits::default());
        builder.feed(message);
        let root = builder.finish().root;
        decode_part(&root, &message[root.body_start as usize..])
    }

    #[test]
    fn parts_that_are_no_text() {
        assert_eq!(text_of(b"Content-Type: image/png\r\n\r\nx"), None);
        assert_eq!(text_of(b"Content-Type: message/rfc822\r\n\r\nx"), None);
    }

    #[test]
    fn text_in_its_charset() {
        let table: [(&[u8], &str); 6] = [
            (b"\r\nplain", "plain"),
            (b"\r\ngr\xc3\xbcn", "grün"),
            (b"\r\ngr\xfcn", "grün"),
            (b"Content-Type: text/plain; charset=iso-8859-5\r\n\r\n\xbf", "П"),
            (b"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nPGI+w7w8L2I+", "<b>ü</b>"),
            (b"Content-Type: text/x; charset=x-none\r\nContent-Transfer-Encoding: Quoted-Printable\r\n\r\n=FC", "ü"),
        ];
        for (message, want) in table {
            assert_eq!(text_of(message).as_deref(), Some(want));
        }
    }

    #[test]
    fn header_text() {
        assert_eq!(
            decoded_header_text(b"Subject: =?utf-8?q?gr=C3=BCn?=\r\n x\r\nnoise\r\n\r\nbody"),
            "Subject: grün x\nnoise\n"
        );
    }

    #[test]
    fn the_day_it_was_sent() {
        let table = [
            ("Date: Thu, 29 Feb 2024 23:30:00 -0500\r\n", Some("2024-02-29")),
            ("Date: soon\r\ndate: 1 Jan 70 00:00 GMT\r\nDate: 2 Jan 70 00:00 GMT\r\n", Some("1970-01-01")),
            ("Dated: 1 Jan 70 00:00 GMT\r\n\r\nDate: 1 Jan 70 00:00 GMT\r\n", None),
        ];
        for (header, want) in table {
            assert_eq!(sent_day(header.as_bytes()).map(|day| day.to_string()).as_deref(), want, "{header}");
        }
    }

    #[test]
    fn matching_without_case() {
        let table = [
            ("", "x", false),
            ("abd", "abc", false),
            ("grün", "grun", false),
            ("각", "가", false),
            ("abc", "", true),
            ("xABCx", "aBc", true),
            ("GRÜN", "grün", true),
            ("STRASSE", "straße", true),
            ("ΟΔΟΣ", "οδος", true),
            ("Привет", "ПРИВЕТ", true),
            ("Café", "cafe", true),
            ("cafe\u{301}", "CAFÉ", true),
            ("ǆ Ǆ", "ǅ dž", true),
            ("oﬃce １２", "OFFICE 12", true),
            ("ª", "A", true),
            ("각", "각", true),
        ];
        for (haystack, needle, want) in table {
            assert_eq!(contains_ignore_case(haystack, &fold(needle)), want, "{haystack} {needle}");
        }
    }

    /// RFC 5051 §2 with the simple mapping to title case, but for the few characters whose title case is not their upper
    /// case, which are in the table above.
    fn casemap_of_rfc_5051(c: char) -> String {
        let mut upper = c.to_uppercase();
        let simple = if upper.len() == 1 { upper.next().unwrap_or(c) } else { c };
        let mut mapped = String::new();
        decompose_compatible(simple, |part| mapped.push(part));
        mapped
    }

    #[test]
    fn what_is_equal_by_rfc_5051_is_equal_here() {
        let mut classes: std::collections::HashMap<String, (char, String)> = Default::default();
        for c in (0..0x3_0000).filter_map(char::from_u32).filter(|c| !matches!(c, '\u{ac00}'..='\u{d7a3}')) {
            let folded = fold(&c.to_string());
            let (first, expected) =
                classes.entry(casemap_of_rfc_5051(c)).or_insert_with(|| (c, folded.clone()));
            assert_eq!(*expected, folded, "{first} {c}");
            assert_eq!(fold(&folded), folded, "{c}");
        }
    }

    #[test]
    fn matches_across_windows_and_hostile_needles_in_linear_time() {
        for offset in [WINDOW - 3, WINDOW - 1, WINDOW, 3 * WINDOW - 2] {
            let haystack = format!("{}NEEDLE{}", "x".repeat(offset), "y".repeat(100));
            assert!(contains_ignore_case(&haystack, "needle"), "{offset}");
        }
        let needle = format!("{}b", "a".repeat(200_000));
        assert!(!contains_ignore_case(&"a".repeat(2_000_000), &needle));
    }

    #[test]
    fn html() {
        let table = [
            ("a<b>b</b>c", "abc"),
            ("<p>a</p><p>b</p>", " a  b "),
            ("a<!-- <p>no</p> -->b", "ab"),
            ("<STYLE x>no</p>no</style >a<script>no", " a "),
            ("&lt;b&gt; &amp; &uuml;&#252;&#xFC; &nosuch; &", "<b> & üüü &nosuch; &"),
            ("1 < 2 & 3", "1 < 2 & 3"),
            ("a<br", "a "),
            ("é<i>ü</i>", "éü"),
        ];
        for (given, want) in table {
            assert_eq!(html_text(given), want, "{given}");
        }
        for piece in ["<", "<a", "<!--", "<style>", "</", "&", "&a", "<style></"] {
            let _ = html_text(&piece.repeat(300_000));
        }
    }

    proptest! {
        #[test]
        fn folding_goes_character_by_character(text in "[ -~]{0,8}.{0,20}[ -~]{0,8}.{0,4}") {
            let mut by_character = String::new();
            text.chars().for_each(|c| fold_char(c, |c| by_character.push(c)));
            prop_assert_eq!(fold(&text), by_character);
        }

        #[test]
        fn finds_what_is_there(before in ".{0,20}", needle in ".{1,10}", after in ".{0,20}") {
            let haystack = format!("{before}{needle}{after}");
            prop_assert!(contains_ignore_case(&haystack, &fold(&needle)));
            prop_assert!(contains_ignore_case(&haystack.to_uppercase(), &fold(&needle.to_uppercase())));
        }

        #[test]
        fn a_header_field_by_field_is_the_header(header in "([A-Za-z]{0,3}[: ]{0,2}[ a-\u{df}\u{130}=?]{0,8}(\r\n)? ?){0,6}") {
            let fields = folded_fields(header.as_bytes());
            let text = folded_header_text(fields.iter().map(|(name, value)| (name.as_str(), value.as_str())));
            prop_assert_eq!(text, fold(&decoded_header_text(header.as_bytes())));
        }

        #[test]
        fn any_html_is_text(html in "[<>/!a-cé&;#x0-9 -]{0,60}") {
            let _ = html_text(&html);
        }
    }
}
