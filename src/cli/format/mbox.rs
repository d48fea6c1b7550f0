//! mbox: messages one after the other, each behind a line that begins with `From ` (RFC 4155).
//!
//! Written is mboxrd: a line of the message that begins with any number of `>` and then `From ` gets one `>` more, and
//! reading takes one away, so that everything comes back. Older programs quote `From ` alone; what they wrote reads
//! the same, but for a `>From ` that stood in the message itself. A separator follows an empty line and names a time of
//! day, which spares most unquoted `From ` in text.

use std::collections::VecDeque;
use std::io::{self, BufRead};

use crate::mail::DateTime;

use super::lines::{ToCrlf, ToLf};

/// A line is looked at in pieces of this; no separator is longer.
const LINE: usize = 8 * 1024;
/// Bytes given out at a time.
const PIECE: usize = 64 * 1024;
/// Words of a separator before its date: a sender, which may be missing or hold blanks.
const SENDER_WORDS: usize = 6;

/// What a reader finds.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// A message begins; the date of its separator, if it could be read.
    Begin(Option<DateTime>),
    /// Bytes of it, with CRLF line ends.
    Bytes(Vec<u8>),
    /// It is complete.
    End,
}

/// Reads an mbox of any size in bounded memory.
pub struct Reader<R> {
    source: R,
    line: Vec<u8>,
    out: Vec<u8>,
    ready: VecDeque<Piece>,
    crlf: ToCrlf,
    in_message: bool,
    at_line_start: bool,
    /// An empty line that belongs to the message, unless a separator or the end follows.
    held_blank: bool,
    read: u64,
}

impl<R: BufRead> Reader<R> {
    /// Reads from the start of `source`.
    pub fn new(source: R) -> Self {
        Self {
            source,
            line: Vec::new(),
            out: Vec::new(),
            ready: VecDeque::new(),
            crlf: ToCrlf::default(),
            in_message: false,
            at_line_start: true,
            held_blank: false,
            read: 0,
        }
    }

    /// Bytes read so far.
    pub fn position(&self) -> u64 {
        self.read
    }

    /// What comes next; `None` at the end. An error of kind `InvalidData` when this is no mbox.
    pub fn next(&mut self) -> io::Result<Option<Piece>> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Ok(Some(piece));
            }
            self.read_line()?;
            if self.line.is_empty() {
                self.held_blank = false;
                self.end_message();
                return Ok(self.ready.pop_front());
            }
            let started = std::mem::replace(&mut self.at_line_start, self.line.ends_with(b"\n"));
            if started {
                self.take_line()?
            } else {
                self.crlf.feed(&self.line, &mut self.out)
            }
            if self.out.len() >= PIECE {
                self.ready.push_back(Piece::Bytes(std::mem::take(&mut self.out)));
            }
        }
    }

    /// Reads up to and with the next LF, [`LINE`] bytes at most, however the source hands them out.
    fn read_line(&mut self) -> io::Result<()> {
        self.line.clear();
        while self.line.len() < LINE && !self.line.ends_with(b"\n") {
            let there = match self.source.fill_buf() {
                Ok(there) => there,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if there.is_empty() {
                break;
            }
            let most = there.get(..LINE - self.line.len()).unwrap_or(there);
            let taken = memchr::memchr(b'\n', most).map_or(most.len(), |at| at + 1);
            self.line.extend_from_slice(most.get(..taken).unwrap_or_default());
            self.source.consume(taken);
            self.read += taken as u64;
        }
        Ok(())
    }

    /// Takes the start of a line.
    fn take_line(&mut self) -> io::Result<()> {
        let is_blank = self.line == b"\n" || self.line == b"\r\n";
        if !self.in_message {
            if is_blank {
                return Ok(());
            }
            let date = self.line.starts_with(b"From ").then(|| separator_date(&self.line));
            let date = date.ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    "it does not begin with \"From \": this is no mbox",
                )
            })?;
            self.begin_message(date);
            return Ok(());
        }
        if self.held_blank
            && self.line.starts_with(b"From ")
            && self.line.ends_with(b"\n")
            && let Some(date) = separator_date(&self.line)
        {
            self.held_blank = false;
            self.end_message();
            self.begin_message(Some(date));
            return Ok(());
        }
        if std::mem::replace(&mut self.held_blank, is_blank) {
            self.crlf.feed(b"\n", &mut self.out);
        }
        if !is_blank {
            let line =
                if is_quoted(&self.line) { self.line.get(1..).unwrap_or_default() } else { &self.line };
            self.crlf.feed(line, &mut self.out);
        }
        Ok(())
    }

    fn begin_message(&mut self, date: Option<DateTime>) {
        self.in_message = true;
        self.crlf = ToCrlf::default();
        self.ready.push_back(Piece::Begin(date));
    }

    fn end_message(&mut self) {
        if std::mem::take(&mut self.in_message) {
            if !self.out.is_empty() {
                self.ready.push_back(Piece::Bytes(std::mem::take(&mut self.out)));
            }
            self.ready.push_back(Piece::End);
        }
    }
}

/// Whether the line is `>` once or more, and then `From `.
fn is_quoted(line: &[u8]) -> bool {
    let arrows = line.iter().take_while(|&&b| b == b'>').count();
    arrows > 0 && line.get(arrows..).is_some_and(|rest| rest.starts_with(b"From "))
}

/// The date of a separator: behind the sender, which may be missing or hold blanks.
fn separator_date(line: &[u8]) -> Option<DateTime> {
    let mut rest = line.strip_prefix(b"From ")?;
    for _ in 0..SENDER_WORDS {
        rest = rest.trim_ascii();
        // Without a time of day it is more likely a sentence.
        if !rest.contains(&b':') {
            return None;
        }
        if let Some(date) = DateTime::parse_rfc5322(rest) {
            return Some(date);
        }
        let word = memchr::memchr(b' ', rest)?;
        rest = rest.get(word..)?;
    }
    None
}

/// The line before a message: a sender without blanks, and the time in UTC as asctime writes it.
pub fn separator(sender: &str, date: jiff::Timestamp) -> String {
    let clean = !sender.is_empty() && sender.bytes().all(|b| b.is_ascii_graphic());
    let sender = if clean { sender } else { "MAILER-DAEMON" };
    format!("From {sender} {}\n", date.strftime("%a %b %e %H:%M:%S %Y"))
}

/// Writes one message as mboxrd, in a stream cut anywhere.
#[derive(Default)]
pub struct Quoter {
    lf: ToLf,
    unix: Vec<u8>,
    /// `>` at the start of the line, as far as it may still become quoted.
    arrows: usize,
    /// Bytes of `From ` that have come; `None` in the middle of a line.
    matched: Option<usize>,
    started: bool,
    last: u8,
}

const FROM: &[u8] = b"From ";

impl Quoter {
    /// Appends what `bytes` are in an mbox.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.started, true) {
            self.matched = Some(0);
        }
        let mut unix = std::mem::take(&mut self.unix);
        self.lf.feed(bytes, &mut unix);
        self.quote(&unix, out);
        unix.clear();
        self.unix = unix;
    }

    fn quote(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while let Some((&byte, rest)) = bytes.split_first() {
            match self.matched {
                None => {
                    let end = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1);
                    let (line, rest) = bytes.split_at(end);
                    out.extend_from_slice(line);
                    if line.ends_with(b"\n") {
                        self.matched = Some(0);
                    }
                    bytes = rest;
                }
                Some(0) if byte == b'>' => {
                    self.arrows += 1;
                    bytes = rest;
                }
                Some(n) if FROM.get(n) == Some(&byte) => {
                    self.matched = Some(n + 1);
                    bytes = rest;
                    if n + 1 == FROM.len() {
                        self.arrows += 1;
                        self.release(out);
                    }
                }
                Some(_) => self.release(out),
            }
        }
        self.last = out.last().copied().unwrap_or(self.last);
    }

    /// Writes what was held of a line's start; the rest of the line needs no look.
    fn release(&mut self, out: &mut Vec<u8>) {
        out.resize(out.len() + std::mem::take(&mut self.arrows), b'>');
        let matched = self.matched.take().unwrap_or(0);
        out.extend_from_slice(FROM.get(..matched).unwrap_or_default());
    }

    /// Ends the message: with a line end if it has none, and the empty line that divides it from the next.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        let mut rest = Vec::new();
        std::mem::take(&mut self.lf).finish(&mut rest);
        self.quote(&rest, out);
        if self.arrows > 0 || self.matched.is_some_and(|n| n > 0) {
            self.release(out);
        }
        let last = out.last().copied().unwrap_or(self.last);
        out.extend_from_slice(if last == b'\n' || !self.started { b"\n" } else { b"\n\n" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Hands out its bytes in pieces of odd sizes.
    struct Cut<'a> {
        rest: &'a [u8],
        sizes: Vec<usize>,
        turn: usize,
    }

    impl io::Read for Cut<'_> {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            unreachable!("only BufRead is used")
        }
    }

    impl BufRead for Cut<'_> {
        fn fill_buf(&mut self) -> io::Result<&[u8]> {
            let size = self.sizes.get(self.turn % self.sizes.len()).copied().unwrap_or(1).max(1);
            Ok(self.rest.get(..size).unwrap_or(self.rest))
        }

        fn consume(&mut self, n: usize) {
            self.rest = &self.rest[n..];
            self.turn += 1;
        }
    }

    fn read_cut(bytes: &[u8], sizes: Vec<usize>) -> Vec<(Option<i64>, Vec<u8>)> {
        let mut reader = Reader::new(Cut { rest: bytes, sizes, turn: 0 });
        let mut messages = Vec::new();
        let mut ended = true;
        while let Some(piece) = reader.next().unwrap() {
            match piece {
                Piece::Begin(date) => {
                    assert!(std::mem::replace(&mut ended, false));
                    messages.push((date.map(|d| d.at().as_second()), Vec::new()));
                }
                Piece::Bytes(bytes) => messages.last_mut().unwrap().1.extend(bytes),
                Piece::End => assert!(!std::mem::replace(&mut ended, true)),
            }
        }
        assert!(ended);
        assert_eq!(reader.position(), bytes.len() as u64);
        messages
    }

    fn read(text: &str) -> Vec<(Option<i64>, String)> {
        let all = read_cut(text.as_bytes(), vec![1 << 20]);
        all.into_iter().map(|(date, bytes)| (date, String::from_utf8(bytes).unwrap())).collect()
    }

    fn write(messages: &[Vec<u8>], cut: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for message in messages {
            out.extend(separator("a@example.test", jiff::Timestamp::UNIX_EPOCH).bytes());
            let mut quoter = Quoter::default();
            for piece in message.chunks(cut.max(1)) {
                // A piece of its own each time, as when it is written away in between.
                let mut written = Vec::new();
                quoter.feed(piece, &mut written);
                out.extend(written);
            }
            quoter.finish(&mut out);
        }
        out
    }

    #[test]
    fn refuses_what_is_no_mbox() {
        let mut reader = Reader::new(&b"Subject: x\n\nFrom a Thu Jan  1 00:00:00 1970\n"[..]);
        assert_eq!(reader.next().unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(Reader::new(&b""[..]).next().unwrap(), None);
        assert_eq!(Reader::new(&b"\n\r\n"[..]).next().unwrap(), None);
    }

    #[test]
    fn messages() {
        let text = "From a@b Thu Jan  1 00:01:00 1970\nSubject: x\n\n>From me\n>>From you\n> From\n\n\
            From here on, all is text\n\nFrom there to 12:30 too\nx\nFrom c Thu Jan  1 00:00:00 1970\n\n\
            From - Thu Jan 01 00:02:00 1970\r\nSubject: y\r\n\r\nbody\r\n\r\n\
            From 12@xxx Thu Jan 01 00:00:00 +0000 1970\nSubject: z\n\n\nlast";
        let found = read(text);
        assert_eq!(
            found,
            [
                (
                    Some(60),
                    "Subject: x\r\n\r\nFrom me\r\n>From you\r\n> From\r\n\r\nFrom here on, all is text\r\n\r\n\
                     From there to 12:30 too\r\nx\r\nFrom c Thu Jan  1 00:00:00 1970\r\n"
                        .to_owned()
                ),
                (Some(120), "Subject: y\r\n\r\nbody\r\n".to_owned()),
                (Some(0), "Subject: z\r\n\r\n\r\nlast".to_owned()),
            ]
        );
    }

    #[test]
    fn long_lines_are_no_separators() {
        let long = format!("From {} Thu Jan  1 00:00:00 1970", "x".repeat(3 * LINE));
        let found = read(&format!("From a Thu Jan  1 00:00:00 1970\n\n\n{long}\nend\n"));
        assert_eq!(found, [(Some(0), format!("\r\n\r\n{long}\r\nend\r\n"))]);
    }

    #[test]
    fn senders_have_no_blanks() {
        let at = jiff::Timestamp::from_second(86_400 * 8).unwrap();
        assert_eq!(separator("a b", at), "From MAILER-DAEMON Fri Jan  9 00:00:00 1970\n");
        assert_eq!(separator("a@b", at), "From a@b Fri Jan  9 00:00:00 1970\n");
    }

    #[test]
    fn what_has_no_line_end_gets_one() {
        assert_eq!(write(&[b"a".to_vec()], 9), b"From a@example.test Thu Jan  1 00:00:00 1970\na\n\n");
        assert_eq!(
            write(&[b">>Fro".to_vec()], 1),
            b"From a@example.test Thu Jan  1 00:00:00 1970\n>>Fro\n\n"
        );
        assert_eq!(write(&[b"a\r".to_vec()], 1), b"From a@example.test Thu Jan  1 00:00:00 1970\na\r\n\n");
    }

    fn message() -> impl Strategy<Value = Vec<u8>> {
        let line = prop_oneof![
            Just("From ".to_owned()),
            Just(">From x Thu Jan  1 00:00:00 1970".to_owned()),
            Just("From x Thu Jan  1 00:00:00 1970".to_owned()),
            Just(String::new()),
            "[>Fromx: ]{0,9}",
            Just("x".repeat(LINE + 3)),
        ];
        proptest::collection::vec(line, 1..8)
            .prop_map(|lines| lines.iter().map(|line| format!("{line}\r\n")).collect::<String>().into_bytes())
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces(bytes in "(From a Thu Jan  1 00:00:00 1970\n)?[>Fromx 0:\r\n]{0,80}", sizes in proptest::collection::vec(1usize..9, 1..5)) {
            let bytes = format!("From a Thu Jan  1 00:00:00 1970\n{bytes}").into_bytes();
            prop_assert_eq!(read_cut(&bytes, sizes), read_cut(&bytes, vec![1 << 20]));
        }

        #[test]
        fn comes_back(messages in proptest::collection::vec(message(), 0..4), cut in 1usize..12, sizes in proptest::collection::vec(1usize..9000, 1..5)) {
            let written = write(&messages, cut);
            prop_assert_eq!(&written, &write(&messages, 1 << 20));
            let found: Vec<Vec<u8>> = read_cut(&written, sizes).into_iter().map(|(_, bytes)| bytes).collect();
            prop_assert_eq!(found, messages);
        }
    }
}
