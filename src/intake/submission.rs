//! What a submission server may change in a message (RFC 6409 §8): Date and Message-ID are added where they are missing,
//! Bcc goes.
//!
//! So the header is gathered before anything of the message is handed on, up to the limit that headers have. What is
//! added stands in the message's prefix and not in its content; what follows the header is never touched.

use std::io::Write;

use memchr::memchr;

use crate::mail::DateTime;
use crate::mime::fixup;

/// A header that is coming in.
#[derive(Debug)]
pub struct Head {
    bytes: Vec<u8>,
    /// Start of the first line that was not looked at.
    line: usize,
    limit: usize,
}

/// How far the header has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gathered {
    /// More of it must follow.
    More,
    /// It is whole; the beginning of the body may be there too.
    Whole,
    /// It is longer than allowed.
    TooLong,
}

/// A header as it may go on.
#[derive(Debug, PartialEq, Eq)]
pub struct Fixed {
    /// All that was gathered, without Bcc.
    pub content: Vec<u8>,
    /// Fields that were missing, to stand before it.
    pub added: Vec<u8>,
}

impl Head {
    /// Nothing yet, of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), line: 0, limit }
    }

    /// Takes the next bytes of the message. Not to be called again once it is whole or too long.
    pub fn push(&mut self, bytes: &[u8]) -> Gathered {
        self.bytes.extend_from_slice(bytes);
        loop {
            let rest = self.bytes.get(self.line..).unwrap_or_default();
            if rest.starts_with(b"\r\n") || rest.starts_with(b"\n") {
                return if self.line > self.limit { Gathered::TooLong } else { Gathered::Whole };
            }
            match memchr(b'\n', rest) {
                Some(end) => self.line += end + 1,
                None if self.bytes.len() > self.limit => return Gathered::TooLong,
                None => return Gathered::More,
            }
        }
    }

    /// All that was gathered, as it came.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The header as it may go on: with a Message-ID made of `id` and `host` and the date `at` where it has none.
    pub fn fix(self, id: &str, host: &str, at: DateTime) -> Fixed {
        let mut content = self.bytes;
        for name in ["Bcc", "Resent-Bcc"] {
            if fixup::has(&content, name) {
                content = fixup::remove(&content, name);
            }
        }
        let mut added = Vec::new();
        // Writing to memory does not fail.
        if !fixup::has(&content, "Message-ID") {
            write!(added, "Message-ID: <{}.{id}@{host}>\r\n", at.at().as_second()).ok();
        }
        if !fixup::has(&content, "Date") {
            write!(added, "Date: {}\r\n", at.to_rfc5322()).ok();
        }
        Fixed { content, added }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fix(message: &[u8]) -> (String, String) {
        let mut head = Head::new(1000);
        head.push(message);
        let fixed = head.fix("7-1", "mail.example.test", DateTime::new(jiff::Timestamp::UNIX_EPOCH, 0));
        (String::from_utf8(fixed.content).unwrap(), String::from_utf8(fixed.added).unwrap())
    }

    #[test]
    fn a_header_has_a_limit() {
        let mut head = Head::new(10);
        assert_eq!(head.push(b"A: 3456789"), Gathered::More);
        assert_eq!(head.push(b"0"), Gathered::TooLong);
        assert_eq!(Head::new(10).push(b"A: 45678\r\nB: 2\r\n\r\n"), Gathered::TooLong);
        assert_eq!(Head::new(10).push(b"A: 45678\r\n\r\nbody and more of it"), Gathered::Whole);
    }

    #[test]
    fn adds_what_is_missing() {
        let (content, added) = fix(b"Subject: x\r\n\r\nDate: body\r\n");
        assert_eq!(content, "Subject: x\r\n\r\nDate: body\r\n");
        assert_eq!(
            added,
            "Message-ID: <0.7-1@mail.example.test>\r\nDate: Thu, 1 Jan 1970 00:00:00 +0000\r\n"
        );
        assert_eq!(fix(b"\r\nbody").0, "\r\nbody");
        assert_eq!(fix(b"DATE: x\r\nmessage-id: <y>\r\n\r\n").1, "");
    }

    #[test]
    fn takes_bcc_out() {
        let (content, _) = fix(b"To: a\r\nBcc: b,\r\n c\r\nResent-BCC: d\r\nDate: x\r\n\r\nBcc: body");
        assert_eq!(content, "To: a\r\nDate: x\r\n\r\nBcc: body");
    }

    proptest! {
        #[test]
        fn how_it_is_cut_changes_nothing(message in "[a:\r\n]{0,40}", cut in 1usize..8) {
            let mut whole = Head::new(1000);
            let expected = whole.push(message.as_bytes());
            let mut head = Head::new(1000);
            let mut got = Gathered::More;
            for piece in message.as_bytes().chunks(cut) {
                if got == Gathered::More {
                    got = head.push(piece);
                }
            }
            prop_assert_eq!(got, expected);
        }
    }
}
