//! Bytes to units: where a command ends, and what to do with the literals inside it.
//!
//! A command is text with literals in it (RFC 3501 §2.2.1, §4.3). Small literals are collected into the command.
//! The messages of APPEND and REPLACE are not, nor the texts that CATENATE puts together (RFC 4469): the framer stops in
//! front of each, hands over the command so far, and the session says [`Framer::stream`] or [`Framer::refuse`].
//!
//! What must hold:
//! - However the input is cut into chunks, the same frames come out.
//! - Text and literals are bounded by [`Limits`]; a size that was only announced allocates nothing.
//! - A refused command is consumed to its end, its non-synchronizing literals included (RFC 7888 §4), so that the
//!   bytes of a literal are never taken for commands. What is too much to swallow ends the connection.
//! - Between two units nothing is held: bytes behind a unit stay in the caller's buffer. Before a TLS handshake
//!   the caller clears that buffer, or commands injected in plain text would run after it (RFC 9051 §6.2.1).

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;

use super::bad::{Bad, Rejected};
use super::unit::{LiteralHeader, Span, TAG_MAX, Tag, Unit};

/// While text is skipped this much of it is kept, to see whether the line ends in a literal header. The longest
/// header of a 64-bit size is 24 bytes.
const HEADER_MAX: usize = 32;

/// How much one command may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a command outside its literals.
    pub text: usize,
    /// Bytes of one collected literal.
    pub literal: usize,
    /// Bytes of all collected literals of a command.
    pub literals: usize,
    /// Bytes of a refused command that are read and thrown away before the connection is closed instead.
    pub swallow: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { text: 64 << 10, literal: 64 << 10, literals: 1 << 20, swallow: 64 << 20 }
    }
}

impl Limits {
    /// Enough to log in with, for peers of whom nothing is known yet.
    pub fn before_login() -> Self {
        Limits { text: 16 << 10, literal: 4 << 10, literals: 16 << 10, swallow: 64 << 10 }
    }
}

/// What [`Framer::next`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Nothing complete: read more.
    NeedMore,
    /// The client waits to send a literal that will be collected: send a continuation request.
    Continue,
    /// A complete command.
    Command(Unit),
    /// A command up to and including the header of a message literal ([`Unit::pending`]). Answer with
    /// [`Framer::stream`] (after a continuation request, if the header is synchronizing) or [`Framer::refuse`].
    Message(Unit),
    /// Bytes of the streamed message.
    Chunk(Bytes),
    /// The streamed message is complete.
    MessageEnd,
    /// What followed the last message up to the end of the command: nothing, in a simple APPEND.
    Tail(Unit),
    /// The line asked for by [`Framer::expect_line`], without its line end.
    Line(Bytes),
    /// A command was refused; the framer consumes the rest of it.
    Refused(Rejected),
    /// The connection can't be used any more: say BYE and close.
    Fatal(Bad),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Text,
    Collect { left: usize },
    Asked(LiteralHeader),
    Stream { left: u64 },
    SkipText,
    SkipLiteral { left: u64 },
    Doomed(Bad),
    Dead,
}

/// Which part of a command is being read.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// From its tag on.
    Head,
    /// Behind a streamed message; the tag is kept for refusals.
    Tail(Option<Tag>),
    /// No command at all but one line: an answer to a SASL challenge, or DONE.
    Line,
}

/// Cuts a connection's input into [`Frame`]s.
#[derive(Debug)]
pub struct Framer {
    limits: Limits,
    state: State,
    part: Part,
    unit: Unit,
    /// Where the current line's text begins in the unit.
    line_start: usize,
    /// Spent of `limits.text`, of `limits.literals`, of `limits.swallow`.
    text: usize,
    literals: usize,
    skipped: u64,
}

impl Framer {
    /// A framer at the start of a connection.
    pub fn new(limits: Limits) -> Self {
        Framer {
            limits,
            state: State::Text,
            part: Part::Head,
            unit: Unit::default(),
            line_start: 0,
            text: 0,
            literals: 0,
            skipped: 0,
        }
    }

    /// Replaces the limits, from the next text or literal on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// The next unit is one line, whatever it looks like. To be called between units; holds for one line.
    pub fn expect_line(&mut self) {
        if self.is_between_commands() {
            self.part = Part::Line;
        }
    }

    /// Whether no command has begun, so that the connection is idle rather than slow.
    pub fn is_between_commands(&self) -> bool {
        self.state == State::Text && self.part == Part::Head && self.unit.is_empty()
    }

    /// Takes the message announced by [`Frame::Message`]: it follows as [`Frame::Chunk`]s.
    pub fn stream(&mut self) {
        if let State::Asked(header) = self.state {
            self.state = State::Stream { left: header.size };
        }
    }

    /// Refuses the message announced by [`Frame::Message`]. The session answers the command; the framer goes on to
    /// the next one. Asking for the next frame without deciding is a refusal.
    pub fn refuse(&mut self) {
        if let State::Asked(header) = self.state {
            self.drop_literal(header);
        }
    }

    /// The next frame of `input`, consuming what belongs to it.
    pub fn next(&mut self, input: &mut BytesMut) -> Frame {
        loop {
            let found = match &self.state {
                State::Text => self.read_text(input),
                State::Collect { left } => self.collect(input, *left),
                State::Asked(_) => {
                    self.refuse();
                    None
                }
                State::Stream { left } => Some(self.read_message(input, *left)),
                State::SkipText => self.skip_text(input),
                State::SkipLiteral { left } => self.skip_literal(input, *left),
                State::Doomed(bad) => {
                    let bad = bad.clone();
                    self.state = State::Dead;
                    Some(Frame::Fatal(bad))
                }
                State::Dead => {
                    input.clear();
                    Some(Frame::NeedMore)
                }
            };
            if let Some(frame) = found {
                return frame;
            }
        }
    }

    fn read_text(&mut self, input: &mut BytesMut) -> Option<Frame> {
        let line_end = memchr(b'\n', input);
        let seen = line_end.unwrap_or(input.len());
        let room = self.limits.text.saturating_sub(self.text);
        let fits = seen.min(room);
        // The first violation counts, so that the chunks' sizes don't choose between two.
        if let Some(nul) = memchr(0, input.get(..fits)?) {
            return Some(self.refuse_text(input, nul, "NUL outside a literal"));
        }
        if seen > room {
            return Some(self.refuse_text(input, room, "command line too long"));
        }
        self.unit.bytes.extend_from_slice(input.get(..seen)?);
        self.text += seen;
        if line_end.is_none() {
            input.clear();
            return Some(Frame::NeedMore);
        }
        input.advance(seen + 1);
        self.end_of_line()
    }

    /// The text has become inadmissible at `at`: drop the command from there on.
    fn refuse_text(&mut self, input: &mut BytesMut, at: usize, what: &'static str) -> Frame {
        self.unit.bytes.extend_from_slice(input.get(..at).unwrap_or_default());
        let rejected = self.rejected(what, self.unit.len());
        input.advance(at);
        if input.first() == Some(&0) {
            // Kept as a space, so that `{1<NUL>2}` is not read as a header in what follows.
            input.advance(1);
            self.unit.bytes.push(b' ');
        }
        self.unit.bytes.drain(..self.line_start);
        self.state = State::SkipText;
        Frame::Refused(rejected)
    }

    fn rejected(&self, what: &'static str, at: usize) -> Rejected {
        let tag = match &self.part {
            // What is cut off before a space may be half a tag.
            Part::Head if self.unit.bytes.contains(&b' ') => self.unit.leading_tag(),
            Part::Head => None,
            Part::Tail(tag) => tag.clone(),
            Part::Line => None,
        };
        Rejected { tag, bad: Bad::new(what, at) }
    }

    fn end_of_line(&mut self) -> Option<Frame> {
        // RFC 3501 §2.2: lines end in CRLF. A bare LF is taken too: people type commands by hand.
        if self.unit.len() > self.line_start && self.unit.bytes.last() == Some(&b'\r') {
            self.unit.bytes.pop();
        }
        if self.part == Part::Line {
            let line = std::mem::take(&mut self.unit.bytes);
            self.reset();
            return Some(Frame::Line(line.into()));
        }
        match literal_header(self.unit.bytes.get(self.line_start..)?) {
            Header::None => {
                let unit = std::mem::take(&mut self.unit);
                let frame = if self.part == Part::Head { Frame::Command(unit) } else { Frame::Tail(unit) };
                self.reset();
                Some(frame)
            }
            Header::Overflow { synchronizing } => {
                let rejected = self.rejected("literal size out of range", self.unit.len());
                if synchronizing {
                    self.reset();
                } else {
                    self.state = State::Doomed(rejected.bad.clone());
                }
                Some(Frame::Refused(rejected))
            }
            Header::Literal { at, header } => self.begin_literal(self.line_start + at, header),
        }
    }

    fn begin_literal(&mut self, at: usize, header: LiteralHeader) -> Option<Frame> {
        if self.is_message(at) {
            let mut unit = std::mem::take(&mut self.unit);
            self.line_start = 0;
            unit.pending = Some((at, header));
            if self.part == Part::Head {
                self.part = Part::Tail(unit.leading_tag());
            }
            self.state = State::Asked(header);
            return Some(Frame::Message(unit));
        }
        let size = usize::try_from(header.size).unwrap_or(usize::MAX);
        if size > self.limits.literal || size > self.limits.literals.saturating_sub(self.literals) {
            let rejected = self.rejected("literal too large", at);
            self.drop_literal(header);
            return Some(Frame::Refused(rejected));
        }
        self.literals += size;
        let start = self.unit.len();
        self.unit.literals.push(Span { at, start, end: start + size });
        self.state = State::Collect { left: size };
        header.synchronizing.then_some(Frame::Continue)
    }

    /// Whether a literal header at `at` announces a message or a text of CATENATE: any but the mailbox, also behind the
    /// first (RFC 3502). URLs of CATENATE are read like other arguments.
    fn is_message(&self, at: usize) -> bool {
        let mailbox = match self.part {
            Part::Head => match mailbox_argument(&self.unit.bytes) {
                Some(mailbox) => Some(mailbox),
                None => return false,
            },
            Part::Tail(_) => None,
            Part::Line => return false,
        };
        mailbox != Some(at) && !is_url(&self.unit.bytes, at, mailbox)
    }

    fn collect(&mut self, input: &mut BytesMut, left: usize) -> Option<Frame> {
        let taken = left.min(input.len());
        self.unit.bytes.extend_from_slice(input.get(..taken)?);
        input.advance(taken);
        if taken < left {
            self.state = State::Collect { left: left - taken };
            return Some(Frame::NeedMore);
        }
        self.line_start = self.unit.len();
        self.state = State::Text;
        None
    }

    fn read_message(&mut self, input: &mut BytesMut, left: u64) -> Frame {
        if left == 0 {
            self.state = State::Text;
            return Frame::MessageEnd;
        }
        if input.is_empty() {
            return Frame::NeedMore;
        }
        let chunk = input.split_to(at_most(input.len(), left)).freeze();
        self.state = State::Stream { left: left - chunk.len() as u64 };
        Frame::Chunk(chunk)
    }

    /// Gives up a command at a literal header. A synchronizing literal is never sent after a tagged answer (RFC
    /// 3501 §4.3, §7.5), the other kind is sent whatever is answered.
    fn drop_literal(&mut self, header: LiteralHeader) {
        if header.synchronizing {
            self.reset();
            return;
        }
        self.skipped = self.skipped.saturating_add(header.size);
        if self.skipped > self.limits.swallow {
            self.state = State::Doomed(Bad::new("literal too large to skip", self.unit.len()));
        } else {
            self.state = State::SkipLiteral { left: header.size };
        }
    }

    fn skip_literal(&mut self, input: &mut BytesMut, left: u64) -> Option<Frame> {
        let taken = at_most(input.len(), left);
        input.advance(taken);
        let left = left - taken as u64;
        if left > 0 {
            self.state = State::SkipLiteral { left };
            return Some(Frame::NeedMore);
        }
        self.unit = Unit::default();
        self.line_start = 0;
        self.state = State::SkipText;
        None
    }

    fn skip_text(&mut self, input: &mut BytesMut) -> Option<Frame> {
        let line_end = memchr(b'\n', input);
        let seen = line_end.unwrap_or(input.len());
        self.skipped = self.skipped.saturating_add(seen as u64);
        if self.skipped > self.limits.swallow {
            self.state = State::Doomed(Bad::new("command too long to skip", self.unit.len()));
            return None;
        }
        let kept = &mut self.unit.bytes;
        kept.extend_from_slice(input.get(seen.saturating_sub(HEADER_MAX)..seen)?);
        kept.drain(..kept.len().saturating_sub(HEADER_MAX));
        if line_end.is_none() {
            input.clear();
            return Some(Frame::NeedMore);
        }
        input.advance(seen + 1);
        if kept.last() == Some(&b'\r') {
            kept.pop();
        }
        let header = if self.part == Part::Line { Header::None } else { literal_header(kept) };
        match header {
            Header::Literal { header, .. } => self.drop_literal(header),
            Header::Overflow { synchronizing: false } => {
                self.state = State::Doomed(Bad::new("literal size out of range", 0));
            }
            Header::Overflow { synchronizing: true } | Header::None => self.reset(),
        }
        None
    }

    fn reset(&mut self) {
        *self = Framer::new(self.limits);
    }
}

fn at_most(available: usize, left: u64) -> usize {
    usize::try_from(left).map_or(available, |left| left.min(available))
}

#[derive(Debug, PartialEq, Eq)]
enum Header {
    None,
    Literal { at: usize, header: LiteralHeader },
    Overflow { synchronizing: bool },
}

/// The literal header that ends `line`, if one does. No other construct of the grammar can end a line in `}`.
fn literal_header(line: &[u8]) -> Header {
    let Some(inner) = line.strip_suffix(b"}") else { return Header::None };
    let (inner, synchronizing) = match inner.strip_suffix(b"+") {
        Some(inner) => (inner, false),
        None => (inner, true),
    };
    let digits = inner.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let Some((before, digits)) = inner.split_at_checked(inner.len() - digits) else { return Header::None };
    let Some(before) = before.strip_suffix(b"{") else { return Header::None };
    if digits.is_empty() {
        return Header::None;
    }
    // RFC 9051 §9: number64 ends at 2^63 - 1.
    let size = digits.iter().try_fold(0i64, |n, d| n.checked_mul(10)?.checked_add(i64::from(d - b'0')));
    let Some(size) = size.and_then(|n| u64::try_from(n).ok()) else {
        return Header::Overflow { synchronizing };
    };
    let binary = before.last() == Some(&b'~');
    let at = before.len() - usize::from(binary);
    Header::Literal { at, header: LiteralHeader { size, synchronizing, binary } }
}

/// Where the mailbox begins, if the command is APPEND or REPLACE.
fn mailbox_argument(command: &[u8]) -> Option<usize> {
    // Only as far as a tag can reach: this is asked at each of thousands of literals.
    let tag = memchr(b' ', command.get(..command.len().min(TAG_MAX + 1))?)? + 1;
    let is = |at: usize, word: &[u8]| {
        command.get(at..at + word.len()).is_some_and(|found| found.eq_ignore_ascii_case(word))
    };
    if is(tag, b"APPEND ") {
        return Some(tag + b"APPEND ".len());
    }
    let name = if is(tag, b"UID ") { tag + b"UID ".len() } else { tag };
    if !is(name, b"REPLACE ") {
        return None;
    }
    // RFC 8508 §5: one number comes first, of ten digits at most.
    let number = name + b"REPLACE ".len();
    let space = memchr(b' ', command.get(number..command.len().min(number + 11))?)?;
    Some(number + space + 1)
}

/// Whether a literal at `at` is a URL of CATENATE: `(URL {9}` or ` URL {9}`. A mailbox may be called URL, too.
fn is_url(command: &[u8], at: usize, mailbox: Option<usize>) -> bool {
    const WORD: &[u8] = b"URL ";
    let Some(word) = at.checked_sub(WORD.len()) else { return false };
    let before = word.checked_sub(1).and_then(|at| command.get(at));
    let named = command.get(word..at).is_some_and(|found| found.eq_ignore_ascii_case(WORD));
    named && mailbox != Some(word) && matches!(before, Some(b'(' | b' '))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tight() -> Limits {
        Limits { text: 40, literal: 10, literals: 15, swallow: 100 }
    }

    /// Frames of `input` given in chunks of `cuts` bytes, told as a dialogue. Messages up to 30 bytes are streamed.
    fn frames(limits: Limits, input: &[u8], cuts: &[usize]) -> Vec<String> {
        let mut framer = Framer::new(limits);
        let mut buffer = BytesMut::new();
        let mut told: Vec<String> = Vec::new();
        let mut message = Vec::new();
        let mut cuts = cuts.iter().cycle();
        let mut rest = input;
        loop {
            match framer.next(&mut buffer) {
                Frame::NeedMore if rest.is_empty() => return told,
                Frame::NeedMore => {
                    let cut = cuts.next().copied().unwrap_or(usize::MAX).clamp(1, rest.len());
                    buffer.extend_from_slice(&rest[..cut]);
                    rest = &rest[cut..];
                }
                Frame::Continue => told.push("+".into()),
                Frame::Command(unit) => told.push(format!("C {}", show(&unit.bytes))),
                Frame::Tail(unit) => told.push(format!("T {}", show(&unit.bytes))),
                Frame::Line(line) => told.push(format!("L {}", show(&line))),
                Frame::Chunk(chunk) => message.extend_from_slice(&chunk),
                Frame::MessageEnd => told.push(format!("M {}", show(&std::mem::take(&mut message)))),
                Frame::Fatal(bad) => told.push(format!("! {}", bad.what)),
                Frame::Refused(Rejected { tag, bad }) => {
                    told.push(format!("- {} {}", tag.as_ref().map_or("*", Tag::as_str), bad.what));
                }
                Frame::Message(unit) => {
                    let header = unit.pending().unwrap();
                    told.push(format!("A {}", show(&unit.bytes)));
                    if header.size > 30 { framer.refuse() } else { framer.stream() }
                }
            }
        }
    }

    fn show(bytes: &[u8]) -> String {
        bytes.escape_ascii().to_string()
    }

    #[test]
    fn refusals() {
        let table: &[(&str, &[&str])] = &[
            ("a1 \0x\r\nb NOOP\r\n", &["- a1 NUL outside a literal", "C b NOOP"]),
            ("\0\r\nb NOOP\r\n", &["- * NUL outside a literal", "C b NOOP"]),
            ("a X {1\x002+}\r\nb NOOP\r\n", &["- a NUL outside a literal", "C b NOOP"]),
            ("a LOGIN {11}\r\nb NOOP\r\n", &["- a literal too large", "C b NOOP"]),
            ("a LOGIN {11+}\r\nNOOP\r\nNOOP \r\nb NOOP\r\n", &["- a literal too large", "C b NOOP"]),
            (
                "a X {9+}\r\n123456789 {9+}\r\n12345\r\n89 {3}\r\nb NOOP\r\n",
                &["- a literal too large", "C b NOOP"],
            ),
            ("a X {4294967296}\r\nb NOOP\r\n", &["- a literal too large", "C b NOOP"]),
            ("a X {99999999999999999999}\r\nb NOOP\r\n", &["- a literal size out of range", "C b NOOP"]),
            (
                "a X {99999999999999999999+}\r\nb NOOP\r\n",
                &["- a literal size out of range", "! literal size out of range"],
            ),
            ("a X {200+}\r\nb NOOP\r\n", &["- a literal too large", "! literal too large to skip"]),
            ("a APPEND x {31}\r\nb NOOP\r\n", &["A a APPEND x {31}", "C b NOOP"]),
            (
                "a APPEND x {1+}\r\na {31+}\r\nb NOOP\r\nb NOOP\r\nb NOOP\r\n1234567 {1+}\r\nc\r\nb NOOP\r\n",
                &["A a APPEND x {1+}", "M a", "A  {31+}", "C b NOOP"],
            ),
            ("a APPEND x {1+}\r\na {31}\r\nb NOOP\r\n", &["A a APPEND x {1+}", "M a", "A  {31}", "C b NOOP"]),
            (
                "a APPEND x {31+}\r\nb NOOP\r\nb NOOP\r\nb NOOP\r\n1234567\r\nb NOOP\r\n",
                &["A a APPEND x {31+}", "C b NOOP"],
            ),
            // A refused literal may be followed by more of the same command.
            (
                "a X {11+}\r\n12345678901 {2+}\r\n\r\n y {7}\r\nb NOOP\r\n",
                &["- a literal too large", "C b NOOP"],
            ),
        ];
        for (input, expected) in table {
            assert_eq!(frames(tight(), input.as_bytes(), &[]), *expected, "{input:?}");
        }
    }

    #[test]
    fn long_lines() {
        let long = format!("a1 {}", "x".repeat(50));
        let input = format!("{long}\r\nb NOOP\r\n");
        assert_eq!(frames(tight(), input.as_bytes(), &[]), ["- a1 command line too long", "C b NOOP"]);
        let input = format!("{long} {{12+}}\r\nc NOOP\r\n1234\r\nb NOOP\r\n");
        assert_eq!(frames(tight(), input.as_bytes(), &[]), ["- a1 command line too long", "C b NOOP"]);
        let endless = "x".repeat(1000);
        assert_eq!(
            frames(tight(), endless.as_bytes(), &[7]),
            ["- * command line too long", "! command too long to skip"]
        );
        // What ends a literal and what begins the text behind it make no header.
        let input = format!("a {} {{3+}}\r\n{{9+}}\r\nb NOOP\r\n", "x".repeat(32));
        assert_eq!(frames(tight(), input.as_bytes(), &[]), ["- a command line too long", "C b NOOP"]);
        let exact = format!("a {}\n", "x".repeat(38));
        assert_eq!(frames(tight(), exact.as_bytes(), &[]), [format!("C {}", exact.trim_end())]);
    }

    #[test]
    fn units() {
        let table: &[(&str, &[&str])] = &[
            ("a NOOP\r\nb NOOP\n\r\n", &["C a NOOP", "C b NOOP", "C "]),
            ("a LOGIN {5}\r\nalice {3+}\r\nx\r\n\r\n", &["+", r"C a LOGIN {5}alice {3+}x\r\n"]),
            ("a X ~{2}\r\n\0\0\r\n", &["+", r"C a X ~{2}\x00\x00"]),
            ("a X {0}\r\n\r\n", &["+", "C a X {0}"]),
            ("a X {5} y\r\nb {}\r\nc {x}\r\n", &["C a X {5} y", "C b {}", "C c {x}"]),
            (
                "a append {5}\r\nINBOX {4+}\r\nx\r\ny\r\nb NOOP\r\n",
                &["+", "A a append {5}INBOX {4+}", r"M x\r\ny", "T ", "C b NOOP"],
            ),
            ("a APPEND x {0}\r\n rest\r\n", &["A a APPEND x {0}", "M ", "T  rest"]),
            (
                "a APPEND x {1}\r\na (\\Seen) {1+}\r\nb\r\n",
                &["A a APPEND x {1}", "M a", r"A  (\\Seen) {1+}", "M b", "T "],
            ),
            ("a APPENDX x {3}\r\nabc\r\n", &["+", "C a APPENDX x {3}abc"]),
            ("a REPLACE 4 {5}\r\nINBOX {3}\r\nabc\r\n", &["+", "A a REPLACE 4 {5}INBOX {3}", "M abc", "T "]),
            (
                "a uid replace 4294967295 x {3+}\r\nabc\r\n",
                &["A a uid replace 4294967295 x {3+}", "M abc", "T "],
            ),
            ("a REPLACE 1:4000000000 {3+}\r\nabc\r\n", &["C a REPLACE 1:4000000000 {3+}abc"]),
            // A mailbox called URL, and URLs.
            ("a APPEND URL {1+}\r\nx\r\n", &["A a APPEND URL {1+}", "M x", "T "]),
            ("a REPLACE 4 URL {1+}\r\nx\r\n", &["A a REPLACE 4 URL {1+}", "M x", "T "]),
        ];
        for (input, expected) in table {
            assert_eq!(frames(tight(), input.as_bytes(), &[]), *expected, "{input:?}");
        }
    }

    #[test]
    fn urls_are_arguments() {
        let table: &[(&str, &[&str])] = &[
            (
                "a APPEND x CATENATE (URL {2+}\r\n/a URL {2}\r\n/b)\r\n",
                &["+", "C a APPEND x CATENATE (URL {2+}/a URL {2}/b)"],
            ),
            (
                "a APPEND x CATENATE (TEXT {1}\r\na url {2+}\r\n/b TEXT {1+}\r\nc URL \"d\")\r\n",
                &[
                    "A a APPEND x CATENATE (TEXT {1}",
                    "M a",
                    "A  url {2+}/b TEXT {1+}",
                    "M c",
                    r#"T  URL \"d\")"#,
                ],
            ),
        ];
        for (input, expected) in table {
            let limits = Limits { text: 100, ..tight() };
            assert_eq!(frames(limits, input.as_bytes(), &[]), *expected, "{input:?}");
        }
    }

    #[test]
    fn a_message_that_nobody_takes_is_refused() {
        let mut framer = Framer::new(tight());
        let mut input = BytesMut::from(&b"a APPEND x {3+}\r\nabc\r\nb NOOP\r\n"[..]);
        assert!(matches!(framer.next(&mut input), Frame::Message(_)));
        assert!(matches!(framer.next(&mut input), Frame::Command(unit) if unit.bytes == b"b NOOP"));
    }

    #[test]
    fn an_announcement_allocates_nothing() {
        let mut framer = Framer::new(Limits::default());
        let mut input = BytesMut::from(&b"a APPEND x {4294967295+}\r\nabc"[..]);
        assert!(matches!(framer.next(&mut input), Frame::Message(_)));
        framer.stream();
        assert_eq!(framer.next(&mut input), Frame::Chunk(Bytes::from_static(b"abc")));
        assert_eq!(framer.next(&mut input), Frame::NeedMore);
        assert!(framer.unit.bytes.capacity() < 1024 && input.capacity() < 1024);
    }

    #[test]
    fn skipping_holds_nothing() {
        let mut framer = Framer::new(Limits { swallow: 1 << 20, ..tight() });
        let mut input = BytesMut::from(&[b'x'; 50][..]);
        assert!(matches!(framer.next(&mut input), Frame::Refused(_)));
        for _ in 0..1000 {
            assert_eq!(framer.next(&mut input), Frame::NeedMore);
            input.extend_from_slice(&[b'x'; 100]);
        }
        assert!(framer.unit.bytes.capacity() < 1024);
    }

    #[test]
    fn one_line_for_a_challenge() {
        let mut framer = Framer::new(tight());
        let mut input = BytesMut::from(&b"a IDLE\r\nDONE {3}\r\nb NOOP\r\n"[..]);
        assert!(matches!(framer.next(&mut input), Frame::Command(_)));
        framer.expect_line();
        assert_eq!(framer.next(&mut input), Frame::Line(Bytes::from_static(b"DONE {3}")));
        assert!(framer.is_between_commands());
        assert!(matches!(framer.next(&mut input), Frame::Command(_)));
        framer.expect_line();
        input.extend_from_slice(&[b'x'; 60]);
        input.extend_from_slice(b"{9+}\r\n");
        assert!(matches!(framer.next(&mut input), Frame::Refused(Rejected { tag: None, .. })));
        assert_eq!(framer.next(&mut input), Frame::NeedMore);
        assert!(framer.is_between_commands());
    }

    /// Bytes that look like commands often enough to reach every state.
    fn traffic() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(b"\r\n".to_vec()),
            Just(b"\n".to_vec()),
            Just(b"a APPEND x ".to_vec()),
            Just(b"a UID REPLACE 7 x ".to_vec()),
            Just(b" URL ".to_vec()),
            Just(b"b LOGIN ".to_vec()),
            "[~]?\\{[0-9]{1,3}\\+?\\}\r\n".prop_map(String::into_bytes),
            "\\{9{19,21}\\+?\\}\r\n".prop_map(String::into_bytes),
            proptest::collection::vec(any::<u8>(), 0..50),
            "[a-z ]{0,40}".prop_map(String::into_bytes),
        ];
        proptest::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn chunks_do_not_matter(input in traffic(), cuts in proptest::collection::vec(1usize..9, 1..8)) {
            let whole = frames(tight(), &input, &[]);
            prop_assert_eq!(&whole, &frames(tight(), &input, &cuts));
            prop_assert_eq!(&whole, &frames(tight(), &input, &[1]));
        }
    }
}
