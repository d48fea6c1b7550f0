//! Replies read from another server (RFC 5321 §4.2.1), for the client side.
//!
//! The other server is as hostile as any client: lines, their number and their sum are bounded. A line may end with LF alone;
//! nothing can be smuggled into a reply that is read by itself.

use bytes::{Buf, BytesMut};

use super::reply::{Enhanced, Reply, fits};

/// The longest reply line that is read. The RFC's 512 is exceeded by real servers.
const MAX_LINE: usize = 4096;
/// The longest reply, all lines.
const MAX_REPLY: usize = 64 * 1024;

/// Why what came isn't a reply. The connection is of no more use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadAnswer {
    /// A line doesn't begin with a code and a space or hyphen.
    #[error("the server's answer is not an SMTP reply")]
    Malformed,
    /// The lines of one reply have different codes.
    #[error("the lines of the server's reply have different codes")]
    MixedCodes,
    /// A line or the whole is too long.
    #[error("the server's reply is too long")]
    TooLong,
}

/// Puts replies together from what a server sends. One for the whole connection.
#[derive(Debug, Default)]
pub struct ReplyParser {
    partial: Option<Reply>,
    octets: usize,
}

impl ReplyParser {
    /// A parser that waits for the first line of a reply.
    #[must_use]
    pub fn new() -> ReplyParser {
        ReplyParser::default()
    }

    /// Takes the next whole reply from the front of `input`, or `None` if more is needed. Lines that are taken are gone from
    /// `input`; what follows the reply stays.
    ///
    /// # Errors
    /// [`BadAnswer`]; the parser is not to be used any more.
    pub fn next(&mut self, input: &mut BytesMut) -> Result<Option<Reply>, BadAnswer> {
        loop {
            let within = input.get(..MAX_LINE).unwrap_or(input);
            let Some(end) = memchr::memchr(b'\n', within) else {
                return if input.len() >= MAX_LINE { Err(BadAnswer::TooLong) } else { Ok(None) };
            };
            let line = input.split_to(end);
            input.advance(1);
            self.octets += line.len();
            if self.octets > MAX_REPLY {
                return Err(BadAnswer::TooLong);
            }
            if self.line(line.strip_suffix(b"\r").unwrap_or(&line))? == Place::Last {
                self.octets = 0;
                return Ok(self.partial.take());
            }
        }
    }

    fn line(&mut self, line: &[u8]) -> Result<Place, BadAnswer> {
        let (code, rest) = line.split_first_chunk::<3>().ok_or(BadAnswer::Malformed)?;
        if !code.iter().all(u8::is_ascii_digit) {
            return Err(BadAnswer::Malformed);
        }
        let code = code.iter().fold(0, |n, d| n * 10 + u16::from(d - b'0'));
        let (place, text) = match rest.split_first() {
            None => (Place::Last, rest),
            Some((b' ', text)) => (Place::Last, text),
            Some((b'-', text)) => (Place::More, text),
            Some(_) => return Err(BadAnswer::Malformed),
        };
        let text = String::from_utf8_lossy(text);
        let (enhanced, text) = split_enhanced(&text, code);
        match self.partial.take() {
            None => {
                let first = Reply::checked(code, enhanced, text.to_owned());
                self.partial = Some(first.map_err(|_| BadAnswer::Malformed)?);
            }
            Some(reply) if reply.code() == code => {
                // A line with another enhanced code than the first keeps it as text.
                let same = enhanced == reply.enhanced();
                let whole = split_code_from(rest);
                self.partial = Some(reply.and(if same { text.to_owned() } else { whole }));
            }
            Some(_) => return Err(BadAnswer::MixedCodes),
        }
        Ok(place)
    }
}

#[derive(PartialEq, Eq)]
enum Place {
    More,
    Last,
}

/// The text of a line whose enhanced code stays in it; `rest` begins with the space or hyphen.
fn split_code_from(rest: &[u8]) -> String {
    String::from_utf8_lossy(rest.get(1..).unwrap_or_default()).into_owned()
}

/// Splits an enhanced code of the same class from the front of the text.
fn split_enhanced(text: &str, code: u16) -> (Option<Enhanced>, &str) {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let enhanced = enhanced(word).filter(|e| fits(code, Some(*e)));
    if enhanced.is_some() { (enhanced, rest) } else { (None, text) }
}

fn enhanced(word: &str) -> Option<Enhanced> {
    let mut parts = word.split('.');
    let (class, subject, detail) = (parts.next()?, parts.next()?, parts.next()?);
    let number = |part: &str| {
        let shaped = (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        shaped.then(|| part.parse().ok()).flatten()
    };
    let class = match class {
        "2" => 2,
        "4" => 4,
        "5" => 5,
        _ => return None,
    };
    parts.next().is_none().then_some((class, number(subject)?, number(detail)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &[u8]) -> Result<Option<Reply>, BadAnswer> {
        ReplyParser::new().next(&mut BytesMut::from(text))
    }

    #[test]
    fn refused() {
        for (text, why) in [
            ("\r\n", BadAnswer::Malformed),
            ("25\r\n", BadAnswer::Malformed),
            ("abc def\r\n", BadAnswer::Malformed),
            ("250_x\r\n", BadAnswer::Malformed),
            ("2500\r\n", BadAnswer::Malformed),
            ("150 x\r\n", BadAnswer::Malformed),
            ("999 x\r\n", BadAnswer::Malformed),
            ("250-a\r\n550 b\r\n", BadAnswer::MixedCodes),
        ] {
            assert_eq!(read(text.as_bytes()), Err(why), "{text:?}");
        }
        assert_eq!(read(&[b'2'; MAX_LINE]), Err(BadAnswer::TooLong));
        assert_eq!(read("250-x\r\n".repeat(MAX_REPLY).as_bytes()), Err(BadAnswer::TooLong));
    }

    #[test]
    fn understood() {
        assert_eq!(read(b"250 2.0.0 OK\r\n"), Ok(Some(Reply::ok())));
        assert_eq!(read(b"250\n"), Ok(Some(Reply::plain(250, ""))));
        assert_eq!(read(b"250 5.0.0 x\r\n"), Ok(Some(Reply::plain(250, "5.0.0 x"))));
        assert_eq!(read(b"250 2.0.0.1 x\r\n"), Ok(Some(Reply::plain(250, "2.0.0.1 x"))));
        assert_eq!(
            read(b"250-2.1.0 a\r\n250 2.1.5 b\r\n"),
            Ok(Some(Reply::new(250, (2, 1, 0), "a").and("2.1.5 b")))
        );
        assert_eq!(read(b"250-a\r\n250 b"), Ok(None));
        let mut input = BytesMut::from(&b"250-a\r\n250 b\r\n354 go\r\n"[..]);
        let mut parser = ReplyParser::new();
        assert_eq!(parser.next(&mut input), Ok(Some(Reply::plain(250, "a").and("b"))));
        assert_eq!(parser.next(&mut input), Ok(Some(Reply::plain(354, "go"))));
        assert_eq!(parser.next(&mut input), Ok(None));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            code in 200u16..560,
            detail in proptest::option::of((0u16..1000, 0u16..1000)),
            lines in proptest::collection::vec("[A-Za-z][ -~]{0,60}|", 1..6),
            cut in 1usize..40,
        ) {
            let enhanced = detail.map(|(subject, detail)| ((code / 100) as u8, subject, detail));
            let reply = Reply::checked(code, enhanced, lines[0].clone());
            prop_assume!(reply.is_ok());
            let reply = lines[1..].iter().fold(reply.unwrap(), |reply, line| reply.and(line.clone()));
            let mut out = Vec::new();
            reply.write(&mut out);
            let (mut parser, mut input, mut got) = (ReplyParser::new(), BytesMut::new(), None);
            for piece in out.chunks(cut) {
                prop_assert!(got.is_none());
                input.extend_from_slice(piece);
                got = parser.next(&mut input).unwrap();
            }
            prop_assert_eq!(got, Some(reply));
        }

        #[test]
        fn any_octets_are_answered(raw in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'\n'), Just(b'2'), Just(b' ')], 0..200)) {
            let (mut parser, mut input) = (ReplyParser::new(), BytesMut::from(&raw[..]));
            while let Ok(Some(_)) = parser.next(&mut input) {}
        }
    }
}
