//! Cuts what a client sends into frames: command lines, the message of DATA, the chunks of BDAT.
//!
//! One frame a call, so that the face can change the mode before the next byte is looked at: pipelined commands behind DATA or
//! BDAT are never taken for content, nor content for commands. The frames depend on the bytes alone, not on how they arrived.
//!
//! Only CRLF ends a command line. A bare LF is answered at once with [`Frame::BareLf`] (a client that sends nothing else must not
//! wait for ever), and the rest up to the next CRLF is not obeyed but answered the same: `MAIL FROM:<a@b LF RCPT TO:<c@d>`
//! written by some careless program must not add a recipient.

use bytes::{Buf, Bytes, BytesMut};

use super::dot::{Bare, DotReader, Piece};

/// The longest command line with CRLF, without extensions (RFC 5321 §4.5.3.1.4).
pub const COMMAND_LINE: usize = 512;
/// Room for the parameters of every extension of MAIL and RCPT known here, and more.
pub const EXTENDED_LINE: usize = 2048;
/// The longest line during AUTH (RFC 4954 §4).
pub const AUTH_LINE: usize = 12288;

/// One unit of what a client sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Nothing whole is there: read more.
    More,
    /// A command line, without its CRLF.
    Line(Bytes),
    /// A line over the limit. Told once, as soon as it is known; the line is dropped up to its CRLF.
    TooLong,
    /// A line that has LF without CR; it is not to be obeyed.
    BareLf,
    /// Content of DATA, dots undone, or of BDAT; never empty.
    Data(Bytes),
    /// The message of DATA is whole; command lines follow.
    DataEnd(DataEnd),
    /// The chunk of BDAT is whole; command lines follow.
    ChunkEnd,
}

/// What is to be known of a message that came by DATA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataEnd {
    /// There was a CR or LF outside of CRLF. With [`Bare::Refuse`] the message is to be refused.
    pub bare_seen: bool,
    /// How many octets of content were handed out.
    pub octets: u64,
}

/// The framer of one connection.
#[derive(Debug)]
pub struct Framer {
    mode: Mode,
    line_limit: usize,
}

#[derive(Debug)]
enum Mode {
    /// At the start of a line or within; so many bytes of the input have no LF.
    Line {
        searched: usize,
    },
    /// In a line that isn't obeyed any more. `cr`: its last dropped byte was CR.
    Drop {
        why: Fault,
        cr: bool,
    },
    Data {
        reader: DotReader,
        octets: u64,
    },
    Chunk {
        left: u64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    TooLong,
    BareLf,
}

impl Framer {
    /// A framer that waits for a command line of at most `line_limit` octets with its CRLF.
    #[must_use]
    pub fn new(line_limit: usize) -> Framer {
        Framer { mode: Mode::Line { searched: 0 }, line_limit }
    }

    /// Sets the longest line, with its CRLF, from the next line on.
    pub fn set_line_limit(&mut self, line_limit: usize) {
        self.line_limit = line_limit;
    }

    /// What follows is the message of DATA. To be called between frames, when 354 is answered.
    pub fn expect_data(&mut self, policy: Bare) {
        self.mode = Mode::Data { reader: DotReader::new(policy), octets: 0 };
    }

    /// What follows is a chunk of so many octets. To be called when BDAT was parsed, accepted or not: the octets come anyway.
    pub fn expect_chunk(&mut self, octets: u64) {
        self.mode = Mode::Chunk { left: octets };
    }

    /// Forgets everything about the bytes seen: the stream begins anew, behind STARTTLS. The input is the caller's to clear.
    pub fn reset(&mut self) {
        self.mode = Mode::Line { searched: 0 };
    }

    /// Takes the next frame from the front of `input`. On [`Frame::More`], append to `input` and call again.
    pub fn next(&mut self, input: &mut BytesMut) -> Frame {
        match &mut self.mode {
            Mode::Line { .. } | Mode::Drop { .. } => self.line(input),
            Mode::Data { reader, octets } => match reader.next(input) {
                Piece::More => Frame::More,
                Piece::Data(data) => {
                    *octets += data.len() as u64;
                    Frame::Data(data)
                }
                Piece::End => {
                    let end = DataEnd { bare_seen: reader.bare_seen(), octets: *octets };
                    self.reset();
                    Frame::DataEnd(end)
                }
            },
            Mode::Chunk { left: 0 } => {
                self.reset();
                Frame::ChunkEnd
            }
            Mode::Chunk { .. } if input.is_empty() => Frame::More,
            Mode::Chunk { left } => {
                let size = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left -= size as u64;
                Frame::Data(input.split_to(size).freeze())
            }
        }
    }

    fn line(&mut self, input: &mut BytesMut) -> Frame {
        loop {
            let frame = match self.mode {
                Mode::Drop { why, cr } => self.drop_rest(input, why, cr),
                Mode::Line { searched } => Some(self.whole_line(input, searched)),
                Mode::Data { .. } | Mode::Chunk { .. } => Some(Frame::More),
            };
            if let Some(frame) = frame {
                return frame;
            }
        }
    }

    fn whole_line(&mut self, input: &mut BytesMut, searched: usize) -> Frame {
        let within = input.get(..self.line_limit).unwrap_or(input);
        // No byte is searched twice, however slowly a line drips in.
        let Some(found) = memchr::memchr(b'\n', within.get(searched..).unwrap_or_default()) else {
            if input.len() < self.line_limit {
                self.mode = Mode::Line { searched: input.len() };
                return Frame::More;
            }
            self.mode = Mode::Drop { why: Fault::TooLong, cr: false };
            return Frame::TooLong;
        };
        let mut line = input.split_to(searched + found + 1);
        self.mode = Mode::Line { searched: 0 };
        if line.ends_with(b"\r\n") {
            line.truncate(line.len() - 2);
            return Frame::Line(line.freeze());
        }
        self.mode = Mode::Drop { why: Fault::BareLf, cr: false };
        Frame::BareLf
    }

    /// Drops up to the next LF. None: the line is over and nothing is to be told.
    fn drop_rest(&mut self, input: &mut BytesMut, why: Fault, cr: bool) -> Option<Frame> {
        let Some(found) = memchr::memchr(b'\n', input) else {
            let cr = input.last().map_or(cr, |last| *last == b'\r');
            input.clear();
            self.mode = Mode::Drop { why, cr };
            return Some(Frame::More);
        };
        let crlf = match found.checked_sub(1) {
            None => cr,
            Some(before) => input.get(before) == Some(&b'\r'),
        };
        input.advance(found + 1);
        if crlf {
            self.mode = Mode::Line { searched: 0 };
            (why == Fault::BareLf).then_some(Frame::BareLf)
        } else {
            self.mode = Mode::Drop { why: Fault::BareLf, cr: false };
            Some(Frame::BareLf)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: usize = 16;

    /// All frames of a stream of lines that arrives in pieces of these sizes, in turn.
    fn frames(stream: &[u8], sizes: &[usize]) -> Vec<Frame> {
        let (mut framer, mut input, mut found) = (Framer::new(LIMIT), BytesMut::new(), Vec::new());
        let (mut fed, mut sizes) = (0, sizes.iter().cycle());
        loop {
            match framer.next(&mut input) {
                Frame::More if fed == stream.len() => return found,
                Frame::More => {
                    assert!(input.len() < LIMIT);
                    let size = (*sizes.next().unwrap()).min(stream.len() - fed);
                    input.extend_from_slice(&stream[fed..fed + size]);
                    fed += size;
                }
                frame => found.push(frame),
            }
        }
    }

    fn line(text: &'static str) -> Frame {
        Frame::Line(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn lines() {
        use Frame::{BareLf, TooLong};
        for (stream, expected) in [
            ("NOOP\nQUIT\r\n", vec![BareLf, BareLf]),
            ("EHLO a\nMAIL\nRCPT\n", vec![BareLf, BareLf, BareLf]),
            ("a\n\r\nQUIT\r\n", vec![BareLf, BareLf, line("QUIT")]),
            ("0123456789abcdef", vec![TooLong]),
            ("0123456789abcde\r\nQUIT\r\n", vec![TooLong, line("QUIT")]),
            ("0123456789abcdefgh\nQUIT\r\nNOOP\r\n", vec![TooLong, BareLf, BareLf, line("NOOP")]),
            ("\n0123456789abcdefghijk\r\nNOOP\r\n", vec![BareLf, BareLf, line("NOOP")]),
            ("0123456789abcd\r\n\r\n", vec![line("0123456789abcd"), line("")]),
            ("a\rb\r\r\nNOOP\r\nQU", vec![line("a\rb\r"), line("NOOP")]),
        ] {
            assert_eq!(frames(stream.as_bytes(), &[1000]), expected, "{stream:?}");
            assert_eq!(frames(stream.as_bytes(), &[1]), expected, "{stream:?}");
        }
    }

    #[test]
    fn modes_follow_one_another() {
        let mut input = BytesMut::from(&b"BDAT 5\r\nab\n.\rNOOP\r\nDATA\r\na\n\r\n.\r\nQUIT\r\n"[..]);
        let mut framer = Framer::new(COMMAND_LINE);
        assert_eq!(framer.next(&mut input), line("BDAT 5"));
        framer.expect_chunk(5);
        assert_eq!(framer.next(&mut input), Frame::Data(Bytes::from_static(b"ab\n.\r")));
        assert_eq!(framer.next(&mut input), Frame::ChunkEnd);
        assert_eq!(framer.next(&mut input), line("NOOP"));
        assert_eq!(framer.next(&mut input), line("DATA"));
        framer.expect_data(Bare::Refuse);
        assert_eq!(framer.next(&mut input), Frame::Data(Bytes::from_static(b"a\n\r\n")));
        assert_eq!(framer.next(&mut input), Frame::DataEnd(DataEnd { bare_seen: true, octets: 4 }));
        assert_eq!(framer.next(&mut input), line("QUIT"));
        assert_eq!(framer.next(&mut input), Frame::More);
    }

    #[test]
    fn chunks_end_by_their_count() {
        let (mut framer, mut input) = (Framer::new(COMMAND_LINE), BytesMut::new());
        framer.expect_chunk(0);
        assert_eq!(framer.next(&mut input), Frame::ChunkEnd);
        framer.expect_chunk(u64::MAX);
        assert_eq!(framer.next(&mut input), Frame::More);
        input.extend_from_slice(b"\r\n.\r\n");
        assert_eq!(framer.next(&mut input), Frame::Data(Bytes::from_static(b"\r\n.\r\n")));
        assert_eq!(framer.next(&mut input), Frame::More);
    }

    #[test]
    fn a_new_stream_begins_with_reset() {
        let (mut framer, mut input) = (Framer::new(COMMAND_LINE), BytesMut::from(&b"clear text"[..]));
        assert_eq!(framer.next(&mut input), Frame::More);
        input.clear();
        framer.reset();
        input.extend_from_slice(b"A\r\n");
        assert_eq!(framer.next(&mut input), line("A"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn any_chunks_give_the_same_frames(
            stream in proptest::collection::vec(prop_oneof![2 => Just(b'\r'), 2 => Just(b'\n'), 9 => any::<u8>()], 0..120),
            sizes in proptest::collection::vec(1usize..30, 1..6),
        ) {
            let found = frames(&stream, &sizes);
            prop_assert_eq!(&found, &frames(&stream, &[stream.len().max(1)]));
            for frame in found {
                if let Frame::Line(line) = frame {
                    prop_assert!(line.len() <= LIMIT - 2 && !line.contains(&b'\n'));
                }
            }
        }
    }
}
