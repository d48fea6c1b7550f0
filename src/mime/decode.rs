//! Header text made readable: encoded words (RFC 2047), parameters with charset and continuations (RFC 2231), raw 8-bit.

use memchr::{memchr, memmem};

use super::charset;
use super::content::{Params, param};
use super::header::unfold;
use super::part::Part;
use super::transfer::{self, Encoding};

/// RFC 2047 §2 allows 75 bytes for a whole word; charset names stay below this.
const CHARSET_MAX: usize = 60;

/// The text of a header value: unfolded, encoded words decoded, raw 8-bit bytes read as UTF-8 or else windows-1252.
///
/// Words with nothing but white space between them are joined (RFC 2047 §6.2), and so are their bytes where the charset
/// is the same, because many senders cut a character in two. A word in an unknown charset stays as it is written.
/// Lenient: words may touch other text or stand in quoted strings, and Q text may hold spaces.
#[must_use]
pub fn decode_header(value: &[u8]) -> String {
    decode_words(&unfold(value))
}

/// [`decode_header`] for bytes that are unfolded already.
#[must_use]
pub fn decode_words(line: &[u8]) -> String {
    let mut out = Words::default();
    let mut rest = line;
    while let Some(at) = memmem::find(rest, b"=?") {
        let (before, from) = rest.split_at(at);
        let Some((word, len)) = Word::parse(from) else {
            let end = at + 2;
            out.plain(rest.get(..end).unwrap_or_default());
            rest = rest.get(end..).unwrap_or_default();
            continue;
        };
        out.plain(before);
        out.word(&word, from.get(..len).unwrap_or_default());
        rest = from.get(len..).unwrap_or_default();
    }
    out.plain(rest);
    out.finish()
}

/// An encoded word taken apart.
struct Word<'a> {
    charset: &'a [u8],
    bytes: Vec<u8>,
}

impl<'a> Word<'a> {
    /// Reads `=?charset?encoding?text?=` at the start of these bytes, and its length.
    fn parse(from: &'a [u8]) -> Option<(Word<'a>, usize)> {
        let after = from.get(2..)?;
        let charset_len = memchr(b'?', after.get(..CHARSET_MAX).unwrap_or(after))?;
        let (charset, after) = after.split_at(charset_len);
        let (&[_, encoding, mark], text) = after.split_first_chunk::<3>()?;
        if charset.is_empty() || mark != b'?' {
            return None;
        }
        // Encoded text holds no question mark (RFC 2047 §2), so that a search from each `=?` never overlaps another.
        let (text, tail) = text.split_at(memchr(b'?', text)?);
        if !tail.starts_with(b"?=") {
            return None;
        }
        let bytes = match encoding {
            b'B' | b'b' => transfer::decode(Encoding::Base64, text),
            b'Q' | b'q' => q_decode(text),
            _ => return None,
        };
        // RFC 2231 §5: a language may follow the charset.
        let charset = charset.split(|b| *b == b'*').next().unwrap_or_default();
        Some((Word { charset, bytes }, from.len() - tail.len() + 2))
    }
}

/// RFC 2047 §4.2: hexadecimal escapes, and the underscore for a space.
fn q_decode(text: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = text.iter().map(|b| if *b == b'_' { b' ' } else { *b }).collect();
    percent_like(&spaced, b'=')
}

/// Undoes two-digit escapes that begin with `mark`; what is no escape is kept.
fn percent_like(text: &[u8], mark: u8) -> Vec<u8> {
    let digit =
        |b: Option<&u8>| b.and_then(|b| char::from(*b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        if byte == mark
            && let (Some(high), Some(low)) = (digit(text.get(at + 1)), digit(text.get(at + 2)))
        {
            out.push(high << 4 | low);
            at += 3;
        } else {
            out.push(byte);
            at += 1;
        }
    }
    out
}

/// Collects text and words, holding back the bytes of words that may be continued.
#[derive(Default)]
struct Words {
    text: String,
    plain: Vec<u8>,
    charset: Vec<u8>,
    pending: Vec<u8>,
    /// The words of `pending` as written, for a charset nobody knows.
    written: Vec<u8>,
}

impl Words {
    fn plain(&mut self, bytes: &[u8]) {
        self.plain.extend_from_slice(bytes);
    }

    fn word(&mut self, word: &Word<'_>, written: &[u8]) {
        let adjacent = !self.written.is_empty() && self.plain.trim_ascii().is_empty();
        if adjacent && self.charset.eq_ignore_ascii_case(word.charset) {
            self.written.append(&mut self.plain);
        } else {
            if adjacent {
                self.plain.clear();
            }
            self.flush();
            self.charset = word.charset.to_vec();
        }
        self.pending.extend_from_slice(&word.bytes);
        self.written.extend_from_slice(written);
    }

    /// Writes out the words held back, then the text after them.
    fn flush(&mut self) {
        if !self.written.is_empty() {
            match charset::decode(&self.charset, &self.pending) {
                Some(text) => self.text.push_str(&text),
                None => self.text.push_str(&charset::guess(&self.written)),
            }
            self.pending.clear();
            self.written.clear();
        }
        self.text.push_str(&charset::guess(&self.plain));
        self.plain.clear();
    }

    fn finish(mut self) -> String {
        self.flush();
        self.text
    }
}

/// The text of a parameter: RFC 2231 charset and continuations undone, else encoded words (which RFC 2047 §5 forbids
/// there and senders use all the same), else as written.
#[must_use]
pub fn decode_param(params: &Params, name: &str) -> Option<String> {
    if let Some(text) = continued(params, name) {
        return Some(text);
    }
    param(params, name).map(decode_words)
}

/// RFC 2231 §3 and §4: the sections `name*`, or `name*0`, `name*1*` … in order until one is missing.
fn continued(params: &Params, name: &str) -> Option<String> {
    let mut sections: Vec<(usize, bool, &[u8])> = Vec::new();
    for (key, value) in params {
        let Some((head, tail)) = key.split_at_checked(name.len()) else { continue };
        let Some(tail) = tail.strip_prefix(b"*") else { continue };
        if !head.eq_ignore_ascii_case(name.as_bytes()) {
            continue;
        }
        if tail.is_empty() {
            sections.push((0, true, value));
            continue;
        }
        let (number, extended) = tail.strip_suffix(b"*").map_or((tail, false), |number| (number, true));
        if let Some(number) = std::str::from_utf8(number).ok().and_then(|n| n.parse().ok()) {
            sections.push((number, extended, value));
        }
    }
    sections.sort_by_key(|(number, _, _)| *number);
    sections.dedup_by_key(|(number, _, _)| *number);
    let (mut label, mut bytes): (&[u8], Vec<u8>) = (b"", Vec::new());
    let (_, first_extended, _) = sections.first().filter(|(number, _, _)| *number == 0)?;
    let has_label = *first_extended;
    for (at, (number, extended, value)) in sections.iter().enumerate() {
        if at != *number {
            break;
        }
        let mut value = *value;
        if at == 0 && has_label {
            // charset ' language ' text; without the two quotes it is all text.
            let mut pieces = value.splitn(3, |b| *b == b'\'');
            if let (Some(charset), Some(_), Some(text)) = (pieces.next(), pieces.next(), pieces.next()) {
                (label, value) = (charset, text);
            }
        }
        if *extended {
            bytes.extend(percent_like(value, b'%'));
        } else {
            bytes.extend_from_slice(value);
        }
    }
    if label.is_empty() {
        return Some(decode_words(&bytes));
    }
    Some(charset::decode(label, &bytes).unwrap_or_else(|| charset::guess(&bytes)))
}

/// The file name a part gives itself: `filename` of its disposition (RFC 2183 §2.3), else `name` of its type.
#[must_use]
pub fn filename(part: &Part) -> Option<String> {
    let of_disposition = part.disposition.as_ref().and_then(|d| decode_param(&d.params, "filename"));
    of_disposition.or_else(|| decode_param(&part.params, "name")).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mime::content::media_type;

    #[test]
    fn header_text() {
        let table: [(&[u8], &str); 22] = [
            (b" plain\r\n", "plain"),
            (b"=?utf-8?Q?gr=C3=BCn?=", "grün"),
            (b"=?UTF-8?B?Z3LDvG4=?= x", "grün x"),
            (b"=?iso-8859-1?q?a_b=5F?=", "a b_"),
            (b"=?utf-8?q?a?=  =?utf-8?q?b?=", "ab"),
            (b"=?utf-8?q?a?=\r\n =?iso-8859-1?q?=FC?= c", "aü c"),
            (b"=?utf-8?q?gr=C3?= =?utf-8?b?vG4=?=", "grün"),
            (b"=?utf-8?q?a?= b =?utf-8?q?c?=", "a b c"),
            (b"x=?utf-8?q?a?=y", "xay"),
            (b"=?us-ascii*en?q?hi?=", "hi"),
            (b"=?x-nothing?q?a?= b", "=?x-nothing?q?a?= b"),
            (b"=?x-nothing?q?a?= =?x-nothing?q?b?=", "=?x-nothing?q?a?= =?x-nothing?q?b?="),
            (b"=?utf-8?x?a?=", "=?utf-8?x?a?="),
            (b"=?utf-8?q?open", "=?utf-8?q?open"),
            (b"=?", "=?"),
            (b"=?=?utf-8?q?a?=", "=?a"),
            (b"=?utf-8?q??=", ""),
            (b"=?utf-8?q?=4?=", "=4"),
            (b"gr\xc3\xbcn", "grün"),
            (b"gr\xfcn", "grün"),
            (b"=?iso-2022-jp?B?GyRCJDMbKEI=?=", "こ"),
            (b"=?koi8-r?B?8A==?=", "П"),
        ];
        for (given, want) in table {
            assert_eq!(decode_header(given), want, "{}", String::from_utf8_lossy(given));
        }
    }

    #[test]
    fn parameters() {
        let table = [
            ("a/b; name=plain.txt", Some("plain.txt")),
            ("a/b; name*=utf-8'de'gr%C3%BCn.txt", Some("grün.txt")),
            ("a/b; name*1=n.txt; name*0*=iso-8859-1''gr%FC", Some("grün.txt")),
            ("a/b; NAME*0=\"one \"; name*1=two; name*3=four", Some("one two")),
            ("a/b; name*0*=utf-8''a%20; name*1*=%C3; name*2*=%BC", Some("a ü")),
            ("a/b; name=plain; name*=utf-8''better", Some("better")),
            ("a/b; name*1=two", None),
            ("a/b; name*=nolabel", Some("nolabel")),
            ("a/b; name*=x-nothing''%41%FC", Some("Aü")),
            ("a/b; name=\"=?utf-8?q?gr=C3=BCn?=\"", Some("grün")),
            ("a/b; names=x", None),
        ];
        for (line, want) in table {
            let (_, _, params) = media_type(line.as_bytes()).unwrap();
            assert_eq!(decode_param(&params, "name").as_deref(), want, "{line}");
        }
    }

    #[test]
    fn many_beginnings_of_words_take_linear_time() {
        for piece in ["=?", "=?a?q?", "=?utf-8?q?a?= ", "=?a?q?b?", "=?utf-8?b?"] {
            assert!(!decode_words(piece.repeat(200_000).as_bytes()).is_empty());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_text(bytes in proptest::collection::vec(any::<u8>(), 0..100), words in "[=?a-cqb_ \r\n*']{0,60}") {
            let _ = decode_header(&bytes);
            let _ = decode_header(words.as_bytes());
            let _ = decode_param(&vec![(b"name*0*".to_vec(), bytes)], "name");
        }
    }
}
