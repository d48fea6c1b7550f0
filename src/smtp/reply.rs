//! Replies: code, enhanced code, text (RFC 5321 §4.2, RFC 2034, RFC 3463, RFC 5248).
//!
//! A reply whose text is fixed costs no allocation. Text may come from anywhere, from an administrator's table or from the client
//! itself: what is written never holds a control character, never a line over 512 octets, and never more than
//! [`MAX_LINES`] lines.

use std::borrow::Cow;

use bytes::BufMut;

/// An enhanced status code: class, subject, detail (RFC 3463 §2).
pub type Enhanced = (u8, u16, u16);

/// The longest reply line, with code and CRLF (RFC 5321 §4.5.3.1.5).
pub const MAX_LINE: usize = 512;

/// As many lines are written of one reply; text beyond is left out.
pub const MAX_LINES: usize = 100;

/// A reply to a command, or one read from another server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    enhanced: Option<Enhanced>,
    first: Cow<'static, str>,
    more: Vec<Cow<'static, str>>,
}

/// A code and an enhanced code that can't go together in a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadCode {
    /// The code isn't 200 to 559.
    #[error("{0} is not an SMTP reply code: 2xx, 3xx, 4xx or 5xx, second digit 0 to 5")]
    Code(u16),
    /// The enhanced code isn't of the same class, or out of range.
    #[error("enhanced code {1}.{2}.{3} does not go with reply code {0}")]
    Enhanced(u16, u8, u16, u16),
}

impl Reply {
    /// A reply with an enhanced code. The two are the caller's to match; [`Reply::checked`] is for codes from outside.
    #[must_use]
    pub fn new(code: u16, enhanced: Enhanced, text: impl Into<Cow<'static, str>>) -> Reply {
        debug_assert!(fits(code, Some(enhanced)), "{code} {enhanced:?}");
        Reply { code, enhanced: Some(enhanced), first: text.into(), more: Vec::new() }
    }

    /// A reply without an enhanced code: greetings, EHLO, and the 3xx ones (RFC 2034 §4).
    #[must_use]
    pub fn plain(code: u16, text: impl Into<Cow<'static, str>>) -> Reply {
        debug_assert!(fits(code, None), "{code}");
        Reply { code, enhanced: None, first: text.into(), more: Vec::new() }
    }

    /// A reply whose codes come from outside: a table, a filter rule.
    ///
    /// # Errors
    /// [`BadCode`] when they can't stand in a reply.
    pub fn checked(
        code: u16,
        enhanced: Option<Enhanced>,
        text: impl Into<Cow<'static, str>>,
    ) -> Result<Reply, BadCode> {
        match enhanced {
            _ if !fits(code, None) => Err(BadCode::Code(code)),
            Some((class, subject, detail)) if !fits(code, enhanced) => {
                Err(BadCode::Enhanced(code, class, subject, detail))
            }
            _ => Ok(Reply { code, enhanced, first: text.into(), more: Vec::new() }),
        }
    }

    /// The same with one more line.
    #[must_use]
    pub fn and(mut self, line: impl Into<Cow<'static, str>>) -> Reply {
        self.more.push(line.into());
        self
    }

    /// The three digits.
    #[must_use]
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The enhanced code.
    #[must_use]
    pub fn enhanced(&self) -> Option<Enhanced> {
        self.enhanced
    }

    /// The lines of text, at least one, without codes.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.first).chain(&self.more).map(AsRef::as_ref)
    }

    /// What became of the command.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self.code / 100 {
            2 => Outcome::Done,
            3 => Outcome::GoOn,
            4 => Outcome::TryLater,
            _ => Outcome::Failed,
        }
    }

    /// Appends the reply to a buffer. What isn't ASCII is written as `?` (RFC 5321 §4.2, `textstring`).
    pub fn write(&self, out: &mut impl BufMut) {
        self.put(out, |c| if c.is_ascii() { c } else { '?' });
    }

    /// Appends the reply to a buffer as UTF-8, for a client that said SMTPUTF8 (RFC 6531 §3.7.4.2).
    pub fn write_utf8(&self, out: &mut impl BufMut) {
        self.put(out, |c| c);
    }

    fn put(&self, out: &mut impl BufMut, charset: fn(char) -> char) {
        let enhanced = self.enhanced.map(|(class, subject, detail)| format!("{class}.{subject}.{detail}"));
        let enhanced = enhanced.as_deref().unwrap_or_default();
        let room = MAX_LINE - "250-".len() - enhanced.len() - " ".len() - "\r\n".len();
        let clean: Vec<Cow<'_, str>> =
            self.lines().take(MAX_LINES).map(|line| sanitised(line, charset)).collect();
        let mut lines =
            clean.iter().flat_map(|line| Folded { rest: Some(line), room }).take(MAX_LINES).peekable();
        while let Some(line) = lines.next() {
            out.put_slice(&digits(self.code));
            let end = lines.peek().is_none();
            match (enhanced, line) {
                ("", "") if end => {}
                _ => out.put_u8(if end { b' ' } else { b'-' }),
            }
            out.put_slice(enhanced.as_bytes());
            if !enhanced.is_empty() && !line.is_empty() {
                out.put_u8(b' ');
            }
            out.put_slice(line.as_bytes());
            out.put_slice(b"\r\n");
        }
    }
}

/// What a reply's first digit means (RFC 5321 §4.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// 2xx.
    Done,
    /// 3xx: more is wanted.
    GoOn,
    /// 4xx.
    TryLater,
    /// 5xx.
    Failed,
}

/// Can the two stand together? RFC 2034 §4: the class is the first digit; 3xx has no enhanced code.
pub(super) fn fits(code: u16, enhanced: Option<Enhanced>) -> bool {
    let in_range = (200..600).contains(&code) && code / 10 % 10 <= 5;
    let same_class = enhanced.is_none_or(|(class, subject, detail)| {
        matches!(class, 2 | 4 | 5) && u16::from(class) == code / 100 && subject <= 999 && detail <= 999
    });
    in_range && same_class
}

fn digits(code: u16) -> [u8; 3] {
    [code / 100, code / 10, code].map(|n| b'0' + u8::try_from(n % 10).unwrap_or(0))
}

/// The text without control characters: each becomes a space, so that no line can be made inside a line.
fn sanitised(line: &str, charset: fn(char) -> char) -> Cow<'_, str> {
    if line.bytes().all(|b| matches!(b, b' '..=b'~')) {
        return Cow::Borrowed(line);
    }
    Cow::Owned(line.chars().map(|c| if c.is_control() { ' ' } else { charset(c) }).collect())
}

/// A line in pieces of at most `room` octets: cut at a space where there is one in the second half, never inside a character.
struct Folded<'a> {
    rest: Option<&'a str>,
    room: usize,
}

impl<'a> Iterator for Folded<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.rest.take()?;
        if text.len() <= self.room {
            return Some(text);
        }
        let (head, _) = text.split_at_checked(text.floor_char_boundary(self.room))?;
        let cut = head.rfind(' ').filter(|at| *at > self.room / 2);
        let (piece, rest) = text.split_at_checked(cut.unwrap_or(head.len()))?;
        self.rest = Some(rest.strip_prefix(' ').unwrap_or(rest));
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(reply: &Reply) -> String {
        let mut out = Vec::new();
        reply.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn codes_from_outside_are_checked() {
        for (code, enhanced) in [
            (0, None),
            (199, None),
            (260, None),
            (600, None),
            (1550, None),
            (550, Some((4, 0, 0))),
            (354, Some((3, 0, 0))),
            (550, Some((5, 1000, 0))),
            (250, Some((5, 0, 0))),
        ] {
            assert!(Reply::checked(code, enhanced, "x").is_err(), "{code} {enhanced:?}");
        }
        assert_eq!(Reply::checked(550, Some((5, 7, 1)), "x"), Ok(Reply::refused("x")));
    }

    #[test]
    fn nothing_is_injected() {
        let reply = Reply::refused("a\r\n250 OK\n\0\u{85}b".to_owned()).and("\r\n.\r\n".to_owned());
        assert_eq!(written(&reply), "550-5.7.1 a  250 OK   b\r\n550 5.7.1   .  \r\n");
    }

    #[test]
    fn forms() {
        assert_eq!(written(&Reply::ok()), "250 2.0.0 OK\r\n");
        assert_eq!(
            written(&Reply::plain(250, "mx").and("SIZE 1").and("HELP")),
            "250-mx\r\n250-SIZE 1\r\n250 HELP\r\n"
        );
        assert_eq!(written(&Reply::plain(250, "")), "250\r\n");
        assert_eq!(written(&Reply::plain(334, "")), "334\r\n");
        assert_eq!(written(&Reply::new(250, (2, 0, 0), "").and("")), "250-2.0.0\r\n250 2.0.0\r\n");
        assert_eq!(
            written(&Reply::no_mailbox().and("\u{e9}")),
            "550-5.1.1 No such user here\r\n550 5.1.1 ?\r\n"
        );
        let mut out = Vec::new();
        Reply::plain(250, "\u{e9}").write_utf8(&mut out);
        assert_eq!(out, "250 \u{e9}\r\n".as_bytes());
    }

    #[test]
    fn long_text_goes_on_more_lines() {
        let words = "word ".repeat(300);
        let out = written(&Reply::refused(words.trim_end().to_owned()));
        let lines: Vec<_> = out.split_terminator("\r\n").collect();
        assert!(lines.len() > 2 && lines.iter().all(|l| l.len() <= 510 && l.ends_with("word")));
        let endless = written(&Reply::refused("x".repeat(1_000_000)));
        assert_eq!(endless.split_terminator("\r\n").count(), MAX_LINES);
    }

    proptest! {
        #[test]
        fn every_reply_is_well_formed(texts in proptest::collection::vec("(\\PC|\r|\n|\0|[a-z ]{100}){0,20}", 1..5), utf8: bool) {
            let mut reply = Reply::refused(texts[0].clone());
            for text in &texts[1..] {
                reply = reply.and(text.clone());
            }
            let mut out = Vec::new();
            if utf8 { reply.write_utf8(&mut out) } else { reply.write(&mut out) }
            let out = String::from_utf8(out).unwrap();
            let lines: Vec<_> = out.strip_suffix("\r\n").unwrap().split("\r\n").collect();
            for (i, line) in lines.iter().enumerate() {
                let start = if i + 1 == lines.len() { "550 5.7.1" } else { "550-5.7.1" };
                prop_assert!(line.starts_with(start), "{line}");
                prop_assert!(line.len() <= MAX_LINE - 2 && !line.chars().any(char::is_control));
                prop_assert!(utf8 || line.is_ascii());
            }
        }
    }
}
