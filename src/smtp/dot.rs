//! The dot-terminated message of DATA (RFC 5321 §4.5.2): reading it, and writing it (SMTP client, POP3).
//!
//! A message ends with `CRLF . CRLF` and with nothing else. Hosts that also took `LF . LF`, `CR . CR` or a mixture for an end let
//! strangers smuggle messages through hosts that did not. So here a CR or LF outside of CRLF never begins a line: a dot behind it
//! is only a dot. And the writer never sends one: what it writes has CR and LF only as CRLF (RFC 5321 §2.3.8), so that no host
//! behind can be fooled either.
//!
//! The reader holds no bytes: what it can't decide yet (at most `. CR`) stays in the input. So its output can be slices of the
//! input, and cutting the input differently can't change it.

use bytes::{Buf, BufMut, Bytes, BytesMut};

const CRLF: &[u8] = b"\r\n";

/// What becomes of a CR or LF outside of CRLF in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bare {
    /// It passes as it is, and the end of the message tells that there was one: the message is to be refused, with
    /// [`super::Reply::bare_in_message`].
    Refuse,
    /// It becomes CRLF.
    Normalise,
}

/// The next thing in a dot-terminated message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// More input is needed.
    More,
    /// Content, never empty.
    Data(Bytes),
    /// The end was read.
    End,
}

/// Reads one dot-terminated message.
#[derive(Debug)]
pub(super) struct DotReader {
    policy: Bare,
    line_start: bool,
    bare_seen: bool,
}

impl DotReader {
    pub(super) fn new(policy: Bare) -> DotReader {
        // The CRLF that ended the DATA command begins the first line (RFC 5321 §4.1.1.4).
        DotReader { policy, line_start: true, bare_seen: false }
    }

    /// Was there a CR or LF outside of CRLF?
    pub(super) fn bare_seen(&self) -> bool {
        self.bare_seen
    }

    /// Takes the next piece from the front of `input`.
    pub(super) fn next(&mut self, input: &mut BytesMut) -> Piece {
        if self.line_start && input.first() == Some(&b'.') {
            match input.get(1..3) {
                Some(CRLF) => {
                    input.advance(3);
                    return Piece::End;
                }
                None if input.len() == 1 || input.get(1) == Some(&b'\r') => return Piece::More,
                // RFC 5321 §4.5.2: a leading dot with more behind it is dropped.
                _ => input.advance(1),
            }
            self.line_start = false;
        }
        let clean = self.clean_prefix(input);
        if clean > 0 {
            return Piece::Data(input.split_to(clean).freeze());
        }
        match input.first() {
            None => Piece::More,
            Some(b'\r') if input.len() == 1 => Piece::More,
            // clean_prefix() passes everything but a CR or LF that is to be replaced.
            Some(_) => {
                input.advance(1);
                self.line_start = false;
                Piece::Data(Bytes::from_static(CRLF))
            }
        }
    }

    /// How many bytes from the front are content as they stand: up to a dot at the start of a line, a CR at the end of the input,
    /// or a bare CR or LF that is to be replaced. Keeps `line_start` and `bare_seen` true for what follows these bytes.
    fn clean_prefix(&mut self, input: &[u8]) -> usize {
        let mut at = 0;
        while let Some(found) = memchr::memchr2(b'\r', b'\n', input.get(at..).unwrap_or_default()) {
            let stop = at + found;
            if found > 0 {
                self.line_start = false;
            }
            match (input.get(stop), input.get(stop + 1)) {
                (Some(b'\r'), None) => return stop,
                (Some(b'\r'), Some(b'\n')) => {
                    self.line_start = true;
                    at = stop + 2;
                    if input.get(at) == Some(&b'.') {
                        return at;
                    }
                }
                _ => {
                    self.bare_seen = true;
                    if self.policy == Bare::Normalise {
                        return stop;
                    }
                    self.line_start = false;
                    at = stop + 1;
                }
            }
        }
        if at < input.len() {
            self.line_start = false;
        }
        input.len()
    }
}

/// Writes a dot-terminated message: doubles the dots at line starts, turns CR and LF outside of CRLF into CRLF, and ends it.
///
/// Feed the content in any pieces, then call [`DotEncoder::finish`].
#[derive(Debug)]
pub struct DotEncoder {
    at: At,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    LineStart,
    Inside,
    /// A CR was read and not yet written: the next octet tells what it is.
    Cr,
}

impl DotEncoder {
    /// A writer at the start of a message.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "an encoder by default would be one that nobody finishes")]
    pub fn new() -> DotEncoder {
        DotEncoder { at: At::LineStart }
    }

    /// Writes some content.
    pub fn encode(&mut self, content: &[u8], out: &mut impl BufMut) {
        let mut rest = content;
        while let Some(&first) = rest.first() {
            match (self.at, first) {
                (At::Cr, _) => {
                    out.put_slice(CRLF);
                    self.at = At::LineStart;
                    if first == b'\n' {
                        rest = rest.get(1..).unwrap_or_default();
                    }
                    continue;
                }
                (At::LineStart, b'.') => out.put_u8(b'.'),
                _ => {}
            }
            let end = memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
            let (text, tail) = rest.split_at(end);
            out.put_slice(text);
            if !text.is_empty() {
                self.at = At::Inside;
            }
            rest = match tail.split_first() {
                Some((b'\r', tail)) => {
                    self.at = At::Cr;
                    tail
                }
                Some((_, tail)) => {
                    out.put_slice(CRLF);
                    self.at = At::LineStart;
                    tail
                }
                None => tail,
            };
        }
    }

    /// Writes the end; content without a CRLF at its end gets one.
    pub fn finish(self, out: &mut impl BufMut) {
        if self.at != At::LineStart {
            out.put_slice(CRLF);
        }
        out.put_slice(b".\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Everything at once and naively: content, was there anything bare, how many octets were taken; None without an end.
    fn reference(stream: &[u8], policy: Bare) -> Option<(Vec<u8>, bool, usize)> {
        let whole = [CRLF, stream].concat();
        let end = whole.windows(5).position(|w| w == b"\r\n.\r\n")?;
        let (mut content, mut bare, mut i) = (Vec::new(), false, 0);
        let body = &whole[..end + 2];
        while i < body.len() {
            if body[i..].starts_with(CRLF) {
                content.extend_from_slice(CRLF);
                i += if body[i + 2..].starts_with(b".") { 3 } else { 2 };
                continue;
            }
            match body[i] {
                b'\r' | b'\n' if policy == Bare::Normalise => content.extend_from_slice(CRLF),
                other => content.push(other),
            }
            bare |= matches!(body[i], b'\r' | b'\n');
            i += 1;
        }
        Some((content.split_off(2), bare, end + 5 - 2))
    }

    /// Reads in pieces of the given sizes, in turn.
    fn read(stream: &[u8], policy: Bare, sizes: &[usize]) -> Option<(Vec<u8>, bool, usize)> {
        let (mut reader, mut input, mut content) = (DotReader::new(policy), BytesMut::new(), Vec::new());
        let (mut fed, mut sizes) = (0, sizes.iter().cycle());
        loop {
            match reader.next(&mut input) {
                Piece::Data(data) => {
                    assert!(!data.is_empty());
                    content.extend_from_slice(&data);
                }
                Piece::End => return Some((content, reader.bare_seen(), fed - input.len())),
                Piece::More => {
                    assert!(input.len() <= 2, "holds back {input:?}");
                    let size = (*sizes.next().unwrap()).min(stream.len() - fed);
                    if size == 0 {
                        return None;
                    }
                    input.extend_from_slice(&stream[fed..fed + size]);
                    fed += size;
                }
            }
        }
    }

    #[test]
    fn no_other_end() {
        for end in [
            "\n.\n",
            "\r.\r",
            "\r\n.\n",
            "\r\n.\r",
            "\n.\r\n",
            "\r.\r\n",
            "\n\n.\r\n",
            "\r\r.\r\n",
            "\n\r.\r\n",
            "\r\n.\0\r\n",
            "\r\n\0.\r\n",
            "\r\n. \r\n",
            "\r\n..\r\n",
            "\r\n.\r\r\n",
            "\r\n.\n\r\n",
            "\n.\n\r\n",
            "\r\n .\r\n",
        ] {
            let stream = format!("text{end}MAIL FROM:<smuggled@example.test>\r\n");
            for policy in [Bare::Refuse, Bare::Normalise] {
                assert_eq!(read(stream.as_bytes(), policy, &[1000]), None, "{end:?}");
                let (content, bare, _) = read(format!("{stream}.\r\n").as_bytes(), policy, &[1]).unwrap();
                assert!(content.ends_with(b"MAIL FROM:<smuggled@example.test>\r\n"), "{end:?}");
                let without_crlf = end.replace("\r\n", "");
                assert_eq!(bare, without_crlf.contains(['\r', '\n']), "{end:?}");
            }
        }
    }

    #[test]
    fn dots_and_ends() {
        for (stream, content, bare) in [
            (".\r\n", "", false),
            ("..\r\n.\r\n", ".\r\n", false),
            ("a\r\n.b\r\n...\r\n.\r\n", "a\r\nb\r\n..\r\n", false),
            ("\r\n.\r\nMAIL", "\r\n", false),
            ("a\n.\r\n.\r\n", "a\r\n.\r\n", true),
            ("a\rb\n\r\n.\r\n", "a\r\nb\r\n\r\n", true),
            ("..\n.x\r\r\n.\r\n", ".\r\n.x\r\n\r\n", true),
        ] {
            let got = read(stream.as_bytes(), Bare::Normalise, &[1]).unwrap();
            assert_eq!((got.0, got.1), (content.as_bytes().to_vec(), bare), "{stream:?}");
        }
        assert_eq!(read(b"a\n.\rb\r\n.\r\n", Bare::Refuse, &[9]).unwrap().0, b"a\n.\rb\r\n");
    }

    #[test]
    fn whole_text_is_one_slice() {
        let mut input = BytesMut::from(&b"one\r\ntwo\r\n\r\nthree.\r\n.\r\n"[..]);
        let start = input.as_ptr();
        let Piece::Data(data) = DotReader::new(Bare::Refuse).next(&mut input) else { panic!() };
        assert_eq!(data, &b"one\r\ntwo\r\n\r\nthree.\r\n"[..]);
        assert_eq!(data.as_ptr(), start);
    }

    #[test]
    fn encoded() {
        for (content, wire) in [
            ("", ".\r\n"),
            ("a", "a\r\n.\r\n"),
            ("a\r\n", "a\r\n.\r\n"),
            (".", "..\r\n.\r\n"),
            ("a\r\n.\r\nb", "a\r\n..\r\nb\r\n.\r\n"),
            ("a\n.\nb", "a\r\n..\r\nb\r\n.\r\n"),
            ("a\r.\r", "a\r\n..\r\n.\r\n"),
            ("a\r\r\n", "a\r\n\r\n.\r\n"),
        ] {
            let mut out = Vec::new();
            let mut encoder = DotEncoder::new();
            encoder.encode(content.as_bytes(), &mut out);
            encoder.finish(&mut out);
            assert_eq!(out, wire.as_bytes(), "{content:?}");
        }
    }

    fn tricky(length: usize) -> impl Strategy<Value = Vec<u8>> {
        let octet = prop_oneof![3 => Just(b'\r'), 3 => Just(b'\n'), 3 => Just(b'.'), 1 => Just(b'a'), 1 => any::<u8>()];
        proptest::collection::vec(octet, 0..length)
    }

    fn policies() -> impl Strategy<Value = Bare> {
        prop_oneof![Just(Bare::Refuse), Just(Bare::Normalise)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn any_chunks_read_as_the_whole(
            mut stream in tricky(40), ended: bool, policy in policies(), sizes in proptest::collection::vec(1usize..8, 1..6),
        ) {
            if ended {
                stream.extend_from_slice(b"\r\n.\r\nnext");
            }
            prop_assert_eq!(read(&stream, policy, &sizes), reference(&stream, policy));
        }

        #[test]
        fn what_is_written_is_read(content in tricky(40), size in 1usize..8) {
            let (mut wire, mut at_once) = (Vec::new(), Vec::new());
            let mut encoder = DotEncoder::new();
            content.chunks(size).for_each(|piece| encoder.encode(piece, &mut wire));
            encoder.finish(&mut wire);
            let mut encoder = DotEncoder::new();
            encoder.encode(&content, &mut at_once);
            encoder.finish(&mut at_once);
            prop_assert_eq!(&wire, &at_once);

            // The naive form: every kind of line end is one CRLF, and so ends the last line.
            let text: String = content.iter().map(|b| char::from(*b)).collect();
            let mut lines = text.replace("\r\n", "\n").replace('\r', "\n");
            if !lines.is_empty() && !lines.ends_with('\n') {
                lines.push('\n');
            }
            let expected: Vec<u8> = lines.replace('\n', "\r\n").chars().map(|c| c as u8).collect();
            prop_assert_eq!(read(&wire, Bare::Refuse, &[size]), Some((expected, false, wire.len())));
        }
    }
}
