//! Answers to bytes. Nothing else in this face writes CRLF.
//!
//! A [`Line`] is one response; its line end is written when it is dropped, so that none can be forgotten and none
//! written twice, unless it is paused. What a client, a message or a person supplied goes through [`Line::string`],
//! [`Line::text`] and their like, which can't end the line: bytes that would are sent as a literal or as spaces.

use bytes::BufMut;
use jiff::Zoned;
use jiff::tz::TimeZone;

use super::bad::{Answer, Bad, Rejected};
use super::code::{Code, Condition, NewKeywords};
use super::date::{DateTime, MONTHS};
use super::flag::Flag;
use super::name::{NameCoding, encode};
use super::section::{Section, SectionText};
use super::unit::{Tag, is_astring_char};

/// Longer strings are sent as literals: some clients read a line into a fixed buffer.
const QUOTED_MAX: usize = 1000;

/// The charsets named in BADCHARSET.
const CHARSETS: &str = "(US-ASCII UTF-8 ISO-8859-1 WINDOWS-1252)";

/// Writes the tagged end of a command.
pub fn tagged(out: &mut impl BufMut, tag: &Tag, condition: Condition, code: Option<Code<'_>>, text: &str) {
    let mut line = Line::resume(out);
    line.ascii(tag.as_str()).raw(" ");
    line.status(condition, code, text);
}

/// Writes an untagged status: `* OK …`, `* BYE …`.
pub fn untagged(out: &mut impl BufMut, condition: Condition, code: Option<Code<'_>>, text: &str) {
    Line::untagged(out).status(condition, code, text);
}

/// Writes a continuation request. `text` is a SASL challenge in base64, or words for a person.
pub fn continuation(out: &mut impl BufMut, text: &str) {
    let mut line = Line::resume(out);
    line.raw("+ ").text(text);
}

/// Answers a command that was refused before it ran.
pub fn rejected(out: &mut impl BufMut, Rejected { tag, bad }: &Rejected) {
    match tag {
        Some(tag) => {
            let (condition, code) = answer(bad);
            tagged(out, tag, condition, code, &bad.to_string());
        }
        None => untagged(out, Condition::Bad, None, &bad.to_string()),
    }
}

fn answer(bad: &Bad) -> (Condition, Option<Code<'static>>) {
    match bad.answer {
        Answer::Bad => (Condition::Bad, None),
        Answer::BadCharset => (Condition::No, Some(Code::BadCharset)),
        Answer::BadCharsetOfFilter => (Condition::Bad, Some(Code::BadCharset)),
        Answer::Cannot => (Condition::No, Some(Code::Cannot)),
        Answer::UseAttr => (Condition::No, Some(Code::UseAttr)),
    }
}

/// One response being written.
#[derive(Debug)]
pub struct Line<'a, B: BufMut> {
    out: &'a mut B,
    /// Dropped in the middle, to be resumed.
    paused: bool,
}

impl<B: BufMut> Drop for Line<'_, B> {
    fn drop(&mut self) {
        if !self.paused {
            self.out.put_slice(b"\r\n");
        }
    }
}

impl<'a, B: BufMut> Line<'a, B> {
    /// Begins an untagged response.
    pub fn untagged(out: &'a mut B) -> Self {
        out.put_slice(b"* ");
        Line::resume(out)
    }

    /// Lets go of the output in the middle of the response, so that what is written can be sent before more follows:
    /// a literal may be larger than memory. [`Line::resume`] must come next.
    pub fn pause(mut self) {
        self.paused = true;
    }

    /// Goes on with a response that was paused.
    pub fn resume(out: &'a mut B) -> Self {
        Line { out, paused: false }
    }

    /// Words of the protocol, spaces and parentheses included.
    pub fn raw(&mut self, words: &'static str) -> &mut Self {
        debug_assert!(!words.contains(['\r', '\n']), "line end in a protocol word");
        self.out.put_slice(words.as_bytes());
        self
    }

    /// A number.
    pub fn number(&mut self, number: impl Into<u64>) -> &mut Self {
        let mut rest = number.into();
        let mut digits = [0; 20];
        let mut first = digits.len();
        loop {
            first -= 1;
            digits[first] = b"0123456789"[(rest % 10) as usize];
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.out.put_slice(&digits[first..]);
        self
    }

    /// Words that the server made up at run time: sets, capability lists, text for people. What would end the line
    /// or is no printable character becomes a space.
    pub fn text(&mut self, text: &str) -> &mut Self {
        for c in text.chars() {
            let shown = if c.is_control() { ' ' } else { c };
            self.out.put_slice(shown.encode_utf8(&mut [0; 4]).as_bytes());
        }
        self
    }

    /// As [`Line::text`], for what is ASCII.
    fn ascii(&mut self, text: &str) -> &mut Self {
        for b in text.bytes() {
            self.out.put_u8(if matches!(b, b' '..=b'~') { b } else { b' ' });
        }
        self
    }

    /// `string`: quoted if it can be, a literal otherwise.
    pub fn string(&mut self, bytes: &[u8]) -> &mut Self {
        if bytes.len() > QUOTED_MAX || !bytes.iter().all(|b| matches!(b, b' '..=b'~')) {
            return self.literal(bytes);
        }
        self.quoted(bytes)
    }

    /// `nstring`.
    pub fn nstring(&mut self, bytes: Option<&[u8]>) -> &mut Self {
        match bytes {
            Some(bytes) => self.string(bytes),
            None => self.raw("NIL"),
        }
    }

    /// `astring`: an atom if it can be. NIL is quoted, to be sure.
    pub fn astring(&mut self, bytes: &[u8]) -> &mut Self {
        let atom = !bytes.is_empty() && bytes.iter().all(|&b| is_astring_char(b));
        if !atom || bytes.eq_ignore_ascii_case(b"NIL") {
            return self.string(bytes);
        }
        self.out.put_slice(bytes);
        self
    }

    /// A whole literal.
    pub fn literal(&mut self, bytes: &[u8]) -> &mut Self {
        self.literal_header(bytes.len() as u64).literal_bytes(bytes)
    }

    /// Announces a literal whose bytes follow by [`Line::literal_bytes`], exactly `size` of them.
    pub fn literal_header(&mut self, size: u64) -> &mut Self {
        self.raw("{").number(size);
        self.out.put_slice(b"}\r\n");
        self
    }

    /// The same for a literal8, which may contain NUL (RFC 3516 §4.2).
    pub fn literal8_header(&mut self, size: u64) -> &mut Self {
        self.raw("~").literal_header(size)
    }

    /// Bytes of an announced literal, as they are. RFC 3501 has no NUL in a literal, but a message that contains one
    /// is sent unchanged, so that sizes and signatures hold.
    pub fn literal_bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.out.put_slice(bytes);
        self
    }

    /// `mailbox`, in the connection's coding.
    pub fn mailbox(&mut self, name: &str, coding: NameCoding) -> &mut Self {
        match coding {
            NameCoding::ModifiedUtf7 => self.astring(encode(name).as_bytes()),
            NameCoding::Utf8 if name.is_ascii() || name.len() > QUOTED_MAX => self.astring(name.as_bytes()),
            // RFC 9051 §4.3: quoted strings hold UTF-8. A MailboxName has no control characters, others might.
            NameCoding::Utf8 if name.chars().any(char::is_control) => self.literal(name.as_bytes()),
            NameCoding::Utf8 => self.quoted(name.as_bytes()),
        }
    }

    /// Flags in parentheses.
    pub fn flags<'f>(&mut self, flags: impl IntoIterator<Item = &'f Flag>) -> &mut Self {
        self.list(flags, |line, flag| {
            line.ascii(flag.as_str());
        })
    }

    /// Members in parentheses, a space between.
    pub fn list<T>(
        &mut self,
        members: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) -> &mut Self {
        self.raw("(");
        for (index, member) in members.into_iter().enumerate() {
            if index > 0 {
                self.raw(" ");
            }
            write(self, member);
        }
        self.raw(")")
    }

    /// `section`, brackets included.
    pub fn section(&mut self, section: &Section) -> &mut Self {
        self.raw("[");
        for (index, &part) in section.part.iter().enumerate() {
            self.raw(if index > 0 { "." } else { "" }).number(part);
        }
        if !section.part.is_empty() && section.text.is_some() {
            self.raw(".");
        }
        match &section.text {
            None => self.raw(""),
            Some(SectionText::Header) => self.raw("HEADER"),
            Some(SectionText::HeaderFields(names)) => self.raw("HEADER.FIELDS ").header_names(names),
            Some(SectionText::HeaderFieldsNot(names)) => self.raw("HEADER.FIELDS.NOT ").header_names(names),
            Some(SectionText::Text) => self.raw("TEXT"),
            Some(SectionText::Mime) => self.raw("MIME"),
        };
        self.raw("]")
    }

    /// `date-time`, quotes included, in its own zone.
    pub fn date_time(&mut self, DateTime { at, zone }: &DateTime) -> &mut Self {
        let local = Zoned::new(*at, TimeZone::fixed(*zone));
        let month = MONTHS.get(usize::from(local.month().unsigned_abs()) - 1).copied().unwrap_or("Jan");
        let (sign, minutes) = (if zone.seconds() < 0 { '-' } else { '+' }, zone.seconds().abs() / 60);
        let text = format!(
            "\"{:2}-{month}-{:04} {:02}:{:02}:{:02} {sign}{:02}{:02}\"",
            local.day(),
            local.year(),
            local.hour(),
            local.minute(),
            local.second(),
            minutes / 60,
            minutes % 60
        );
        self.out.put_slice(text.as_bytes());
        self
    }

    fn header_names(&mut self, names: &[String]) -> &mut Self {
        self.list(names, |line, name| {
            line.astring(name.as_bytes());
        })
    }

    fn quoted(&mut self, bytes: &[u8]) -> &mut Self {
        self.raw("\"");
        for &b in bytes {
            if matches!(b, b'"' | b'\\') {
                self.raw("\\");
            }
            self.out.put_u8(b);
        }
        self.raw("\"")
    }

    fn status(&mut self, condition: Condition, code: Option<Code<'_>>, text: &str) {
        self.raw(match condition {
            Condition::Ok => "OK ",
            Condition::No => "NO ",
            Condition::Bad => "BAD ",
            Condition::Bye => "BYE ",
        });
        if let Some(code) = code {
            self.raw("[");
            self.code(code);
            self.raw("] ");
        }
        self.text(text);
    }

    fn code(&mut self, code: Code<'_>) -> &mut Self {
        self.raw(code.name());
        match code {
            Code::AppendUid(validity, uids) => self.raw(" ").number(validity).raw(" ").ascii(uids),
            Code::BadCharset => self.raw(" ").raw(CHARSETS),
            Code::BadEvent(names) => self.raw(" (").ascii(names).raw(")"),
            Code::BadUrl(url) => self.raw(" \"").ascii(&shown_url(url)).raw("\""),
            Code::Capability(list) => self.raw(" ").ascii(list),
            Code::CopyUid(validity, from, to) => {
                self.raw(" ").number(validity).raw(" ").ascii(from).raw(" ").ascii(to)
            }
            Code::HighestModSeq(modseq) => self.raw(" ").number(modseq),
            Code::InProgress(tag, done, goal) => {
                self.raw(" (").quoted(tag.as_bytes()).raw(" ");
                match goal {
                    0 => self.raw("NIL NIL)"),
                    _ => self.number(done).raw(" ").number(goal).raw(")"),
                }
            }
            Code::MetadataLongEntries(size) => self.raw(" LONGENTRIES ").number(size),
            Code::MetadataMaxSize(size) => self.raw(" MAXSIZE ").number(size),
            Code::MetadataTooMany => self.raw(" TOOMANY"),
            // RFC 5267 §5: quoted. A tag is printable ASCII.
            Code::NoUpdate(tag) => self.raw(" ").quoted(tag.as_bytes()),
            Code::UndefinedFilter(name) => self.raw(" ").ascii(name),
            Code::MailboxId(id) => self.raw(" (").ascii(id).raw(")"),
            Code::Modified(set) => self.raw(" ").ascii(set),
            Code::PermanentFlags(flags, new) => {
                let any = (new == NewKeywords::Allowed).then_some("\\*");
                self.raw(" ").list(flags.iter().map(Flag::as_str).chain(any), |line, flag| {
                    line.ascii(flag);
                })
            }
            Code::UidNext(number) | Code::UidValidity(number) | Code::Unseen(number) => {
                self.raw(" ").number(number)
            }
            Code::UrlMech => self.raw(" INTERNAL"),
            _ => self,
        }
    }
}

/// A URL as it can stand in a response code (RFC 4469 §5, `url-resp-text`).
fn shown_url(url: &str) -> String {
    let shown = |c: char| if matches!(c, '"' | '\\' | ']') { '?' } else { c };
    url.chars().take(QUOTED_MAX).map(shown).collect()
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::*;
    use crate::imap::wire::parser::Parser;
    use crate::imap::wire::parser::tests::taken;

    fn written(write: impl FnOnce(&mut Line<'_, BytesMut>)) -> String {
        let mut out = BytesMut::new();
        write(&mut Line::resume(&mut out));
        let text = String::from_utf8(out.to_vec()).unwrap();
        text.strip_suffix("\r\n").unwrap().to_owned()
    }

    #[test]
    fn nothing_ends_a_line_but_the_line() {
        let mut out = BytesMut::new();
        let tag = Tag::new(b"a").unwrap();
        tagged(&mut out, &tag, Condition::No, Some(Code::Modified("1\r\n2")), "x\r\n* BYE\0\u{85}é");
        untagged(&mut out, Condition::Bye, None, "bye\n");
        continuation(&mut out, "\r");
        assert_eq!(&out[..], "a NO [MODIFIED 1  2] x  * BYE  é\r\n* BYE bye \r\n+  \r\n".as_bytes());
        assert_eq!(written(|l| _ = l.flags([&Flag::Keyword("a\r\nb".into())])), "(a  b)");
        assert_eq!(written(|l| _ = l.mailbox("a\r\nb", NameCoding::Utf8)), "{4}\r\na\r\nb");
        assert_eq!(written(|l| _ = l.mailbox("é\nb", NameCoding::Utf8)), "{4}\r\né\nb");
    }

    #[test]
    fn a_response_may_be_sent_in_parts() {
        let mut out = BytesMut::new();
        let mut line = Line::untagged(&mut out);
        line.number(1u32).raw(" FETCH (BODY[] ").literal_header(4).literal_bytes(b"ab");
        line.pause();
        assert_eq!(&out.split()[..], b"* 1 FETCH (BODY[] {4}\r\nab");
        Line::resume(&mut out).literal_bytes(b"cd").raw(")");
        assert_eq!(&out[..], b"cd)\r\n");
    }

    #[test]
    fn status_codes() {
        let shown = |code| {
            let mut out = BytesMut::new();
            untagged(&mut out, Condition::Ok, Some(code), "t");
            String::from_utf8(out.to_vec()).unwrap()
        };
        for (code, text) in [
            (Code::ReadWrite, "READ-WRITE"),
            (Code::UidNext(4), "UIDNEXT 4"),
            (Code::UidNext(0), "UIDNEXT 0"),
            (Code::BadEvent("FlagChange MessageNew"), "BADEVENT (FlagChange MessageNew)"),
            (Code::MailboxId("F7"), "MAILBOXID (F7)"),
            (Code::BadUrl("/x;\"]\r\ny"), "BADURL \"/x;??  y\""),
            (Code::BadUrl("/x"), "BADURL \"/x\""),
            (Code::UrlMech, "URLMECH INTERNAL"),
            (Code::HighestModSeq(u64::MAX), "HIGHESTMODSEQ 18446744073709551615"),
            (Code::CopyUid(9, "1:2", "5:6"), "COPYUID 9 1:2 5:6"),
            (Code::PermanentFlags(&[Flag::Seen], NewKeywords::Allowed), "PERMANENTFLAGS (\\Seen \\*)"),
            (Code::PermanentFlags(&[], NewKeywords::Refused), "PERMANENTFLAGS ()"),
            (Code::InProgress("A1", 0, 0), "INPROGRESS (\"A1\" NIL NIL)"),
            (Code::InProgress("A1", 454, 1000), "INPROGRESS (\"A1\" 454 1000)"),
            (Code::BadCharset, "BADCHARSET (US-ASCII UTF-8 ISO-8859-1 WINDOWS-1252)"),
            (Code::Capability("IMAP4rev1 ID"), "CAPABILITY IMAP4rev1 ID"),
        ] {
            assert_eq!(shown(code), format!("* OK [{text}] t\r\n"));
        }
    }

    #[test]
    fn refusals_are_answered() {
        let mut out = BytesMut::new();
        let bad = Bad { what: "no", at: 3, answer: Answer::Cannot };
        rejected(&mut out, &Rejected { tag: Tag::new(b"x"), bad: bad.clone() });
        rejected(&mut out, &Rejected { tag: None, bad });
        rejected(&mut out, &Rejected { tag: Tag::new(b"y"), bad: Bad::new("what", 0) });
        assert_eq!(
            &out[..],
            b"x NO [CANNOT] no (at byte 3)\r\n* BAD no (at byte 3)\r\ny BAD what (at byte 0)\r\n"
        );
    }

    #[test]
    fn strings() {
        assert_eq!(written(|l| _ = l.string(b"a\"\\")), r#""a\"\\""#);
        assert_eq!(written(|l| _ = l.string("é".as_bytes())), "{2}\r\né");
        assert_eq!(written(|l| _ = l.nstring(None).raw(" ").nstring(Some(b""))), "NIL \"\"");
        assert_eq!(
            written(|l| _ = l.astring(b"nil").raw(" ").astring(b"a]").raw(" ").astring(b"a b")),
            "\"nil\" a] \"a b\""
        );
        assert_eq!(written(|l| _ = l.mailbox("R&D é", NameCoding::ModifiedUtf7)), "\"R&-D &AOk-\"");
        assert_eq!(written(|l| _ = l.mailbox("R&D é", NameCoding::Utf8)), "\"R&D é\"");
        assert_eq!(written(|l| _ = l.string(&[b'x'; 1001])), format!("{{1001}}\r\n{}", "x".repeat(1001)));
    }

    #[test]
    fn sections_and_dates_come_back_as_sent() {
        for text in
            ["[]", "[1.2]", "[1.2.MIME]", "[TEXT]", "[1.HEADER.FIELDS (A \"B(\")]", "[HEADER.FIELDS.NOT (x)]"]
        {
            let section = taken(text, Parser::section);
            assert_eq!(written(|l| _ = l.section(&section)), text);
        }
        for text in [
            "\"17-Jul-1996 02:44:25 -0730\"",
            "\" 1-Jan-2024 00:00:00 +0545\"",
            "\"31-Dec-0099 23:59:59 +0000\"",
        ] {
            let date = taken(text, Parser::date_time);
            assert_eq!(written(|l| _ = l.date_time(&date)), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_as_a_string_reads_back(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let wire = written_bytes(|l| _ = l.astring(&bytes));
            prop_assert_eq!(taken(wire, |p| p.astring().map(Cow::into_owned)), bytes);
        }
    }

    fn written_bytes(write: impl FnOnce(&mut Line<'_, BytesMut>)) -> Vec<u8> {
        let mut out = BytesMut::new();
        write(&mut Line::resume(&mut out));
        out[..out.len() - 2].to_vec()
    }
}
