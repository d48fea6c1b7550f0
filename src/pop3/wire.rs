//! Bytes of POP3, without any I/O: lines in, replies out. Messages are written by
//! [`crate::smtp::DotEncoder`]: the dots of RFC 1939 §3 are those of SMTP.
//!
//! A line ends with CRLF; a bare LF is tolerated. A command has at most 255 octets (RFC 2449 §4), only AUTH may be as
//! long as SASL needs, and the client's lines within an exchange, too (RFC 5034 §4). What is longer is read to its end
//! and reported once; a line that never ends runs into the session loop's bound on its input.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use memchr::memchr;

use crate::db::Error;
use crate::net::out::Out;
use crate::sasl;

/// The longest command, its line end included (RFC 2449 §4).
const MAX_COMMAND: usize = 255;
/// The longest AUTH command: name, mechanism and an initial response of full length.
const MAX_AUTH: usize = MAX_COMMAND + sasl::MAX_LINE;
/// The longest line within a SASL exchange, its line end included.
const MAX_RESPONSE: usize = sasl::MAX_LINE + 2;

/// What kind of line is awaited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// A command.
    Command,
    /// An answer to a SASL challenge.
    Response,
}

/// A line of the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// Its text, without the line end.
    Text(Bytes),
    /// It was longer than it may be.
    TooLong,
}

/// Cuts the input into lines.
#[derive(Debug, Default)]
pub struct Framer {
    /// How much of the input is known to hold no line end.
    seen: usize,
}

impl Framer {
    /// Takes the next line off the input; `None` when its end has not come yet.
    pub fn next(&mut self, input: &mut BytesMut, awaited: Awaited) -> Option<Line> {
        let seen = self.seen.min(input.len());
        let Some(found) = memchr(b'\n', input.get(seen..)?) else {
            self.seen = input.len();
            return None;
        };
        self.seen = 0;
        let line = input.split_to(seen + found + 1);
        let max = match awaited {
            Awaited::Response => MAX_RESPONSE,
            Awaited::Command if begins_auth(&line) => MAX_AUTH,
            Awaited::Command => MAX_COMMAND,
        };
        if line.len() > max {
            return Some(Line::TooLong);
        }
        let line = line.freeze();
        let text = line.strip_suffix(b"\r\n").or_else(|| line.strip_suffix(b"\n")).unwrap_or(&line);
        Some(Line::Text(line.slice_ref(text)))
    }
}

fn begins_auth(line: &[u8]) -> bool {
    line.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"AUTH "))
}

/// The name of a command and what follows the space behind it.
pub fn split(line: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr(b' ', line) {
        Some(at) => (line.get(..at).unwrap_or_default(), line.get(at + 1..)),
        None => (line, None),
    }
}

/// A message number (RFC 1939 §3), as far as the digits go: whether there is such a message is another question.
///
/// # Errors
/// Anything else than 1 to 10 digits.
pub fn number(word: &[u8]) -> Result<u32, Refusal> {
    let digits = !word.is_empty() && word.len() <= 10 && word.iter().all(u8::is_ascii_digit);
    // Of ten digits at most, so that the sum stays in bounds.
    let value = word.iter().take(10).fold(0u64, |sum, digit| sum * 10 + u64::from(digit & 0x0f));
    match u32::try_from(value) {
        Ok(number) if digits => Ok(number),
        _ => Err(Refusal::plain("a number is expected, in digits")),
    }
}

/// A number of lines (RFC 1939 §7), which has no upper bound: what is beyond ours is more than any message has.
///
/// # Errors
/// Anything else than digits.
pub fn lines(word: &[u8]) -> Result<u32, Refusal> {
    if word.is_empty() || !word.iter().all(u8::is_ascii_digit) {
        return Err(Refusal::plain("a number of lines is expected, in digits"));
    }
    Ok(word.iter().fold(0u32, |sum, digit| sum.saturating_mul(10).saturating_add(u32::from(digit & 0x0f))))
}

/// Extended response codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// RFC 3206 §4: the credentials, or the way they were presented.
    Auth,
    /// RFC 3206 §4: ours, and it passes by itself.
    SysTemp,
    /// RFC 3206 §4: ours, and somebody must see to it.
    SysPerm,
    /// RFC 2449 §8.1.2.
    InUse,
    /// RFC 2449 §8.1.1.
    LoginDelay,
}

impl Code {
    const fn text(self) -> &'static str {
        match self {
            Code::Auth => "[AUTH] ",
            Code::SysTemp => "[SYS/TEMP] ",
            Code::SysPerm => "[SYS/PERM] ",
            Code::InUse => "[IN-USE] ",
            Code::LoginDelay => "[LOGIN-DELAY] ",
        }
    }
}

/// A command that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its response code.
    pub code: Option<Code>,
    /// Why, for people.
    pub text: Cow<'static, str>,
}

impl Refusal {
    /// Without a code.
    pub fn plain(text: impl Into<Cow<'static, str>>) -> Self {
        Self { code: None, text: text.into() }
    }

    /// With a code.
    pub fn coded(code: Code, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code: Some(code), text: text.into() }
    }

    /// Whether the client is to blame, so that it counts towards `max_errors`.
    pub fn counts(&self) -> bool {
        !matches!(self.code, Some(Code::SysTemp | Code::SysPerm))
    }

    /// Writes the reply.
    pub fn put(&self, out: &mut Out<'_>) {
        out.put(b"-ERR ");
        out.put(self.code.map_or("", Code::text).as_bytes());
        out.put(self.text.as_bytes());
        out.put(b"\r\n");
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::Unavailable(_) | Error::Overdue(_) | Error::Retry(_) => {
                tracing::debug!(%error, "pop3");
                Refusal::coded(Code::SysTemp, "the mail store cannot be reached now, try again later")
            }
            Error::Refused { .. } | Error::Fault(_) => {
                tracing::error!(%error, "pop3");
                Refusal::coded(Code::SysPerm, "the mail store failed; its administrator finds why in the log")
            }
        }
    }
}

/// Writes a positive reply.
pub fn ok(out: &mut Out<'_>, text: &str) {
    for part in ["+OK ", text, "\r\n"] {
        out.put(part.as_bytes());
    }
}

/// Ends an answer of several lines.
pub fn end(out: &mut Out<'_>) {
    out.put(b".\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut(pieces: &[&[u8]], awaited: Awaited) -> (Vec<Line>, Vec<u8>) {
        let (mut framer, mut input, mut lines) = (Framer::default(), BytesMut::new(), Vec::new());
        for piece in pieces {
            input.extend_from_slice(piece);
            while let Some(line) = framer.next(&mut input, awaited) {
                lines.push(line);
            }
        }
        (lines, input.to_vec())
    }

    fn text(bytes: &'static [u8]) -> Line {
        Line::Text(Bytes::from_static(bytes))
    }

    #[test]
    fn too_long_lines_are_reported_once() {
        let long = [vec![b'x'; 254], b"\r\nNOOP\r\n".to_vec()].concat();
        assert_eq!(cut(&[&long], Awaited::Command).0, [Line::TooLong, text(b"NOOP")]);
        let fits = [vec![b'x'; 253], b"\r\n".to_vec()].concat();
        assert!(matches!(cut(&[&fits], Awaited::Command).0.as_slice(), [Line::Text(t)] if t.len() == 253));
        let auth = [b"auth PLAIN ".to_vec(), vec![b'A'; sasl::MAX_LINE], b"\r\n".to_vec()].concat();
        assert!(matches!(cut(&[&auth], Awaited::Command).0.as_slice(), [Line::Text(_)]));
        let response = [vec![b'A'; sasl::MAX_LINE], b"\r\n".to_vec()].concat();
        assert!(matches!(cut(&[&response], Awaited::Response).0.as_slice(), [Line::Text(_)]));
        assert_eq!(cut(&[&[b"A".as_slice(), &response].concat()], Awaited::Response).0, [Line::TooLong]);
    }

    #[test]
    fn lines_end_with_crlf_or_lf() {
        let (lines, rest) = cut(&[b"STAT\r\nLIST 1\n\r\n\nRE", b"TR 1\r", b"\nhalf"], Awaited::Command);
        assert_eq!(lines, [text(b"STAT"), text(b"LIST 1"), text(b""), text(b""), text(b"RETR 1")]);
        assert_eq!(rest, b"half");
    }

    #[test]
    fn numbers() {
        for word in
            ["", "-1", "+1", "1x", "4294967296", "00000000001", "99999999999999999999999", " 1", "\u{661}"]
        {
            assert!(number(word.as_bytes()).is_err(), "{word}");
        }
        assert_eq!((number(b"0"), number(b"012"), number(b"4294967295")), (Ok(0), Ok(12), Ok(u32::MAX)));
    }

    #[test]
    fn numbers_of_lines() {
        for word in ["", "-1", "+1", "1x", " 1", "\u{661}"] {
            assert!(super::lines(word.as_bytes()).is_err(), "{word}");
        }
        for (word, expected) in
            [("0", 0), ("012", 12), ("4294967296", u32::MAX), ("99999999999999999999", u32::MAX)]
        {
            assert_eq!(super::lines(word.as_bytes()), Ok(expected), "{word}");
        }
    }

    fn spicy() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'.'), Just(b' '), any::<u8>()];
        proptest::collection::vec(byte, 0..400)
    }

    proptest! {
        #[test]
        fn cutting_changes_no_line(bytes in spicy(), cuts in proptest::collection::vec(0usize..400, 0..6)) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(cut(&pieces, Awaited::Command), cut(&[&bytes], Awaited::Command));
        }
    }
}
