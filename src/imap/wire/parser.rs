//! A cursor over one unit, with a function for each word of the grammar (RFC 3501 §9).
//!
//! Every function takes exactly its production or fails with what it expected and where. Nothing recurses here;
//! commands that nest count their depth. A literal is taken only where the framer saw one, and no other function
//! reads across it.

use std::borrow::Cow;

use super::bad::{Answer, Bad};
use super::name::{MailboxName, NameCoding, NameError, text};
use super::unit::{LiteralHeader, Tag, Unit, is_astring_char, is_atom_char};

/// More members than any list that a client writes: attributes, options, header names, flags.
const LIST_MAX: usize = 1000;

/// Which charsets a client may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Charsets {
    /// Any that is known.
    #[default]
    Any,
    /// None: it has enabled UTF8=ACCEPT, and all is UTF-8 (RFC 6855 §3).
    None,
}

/// A cursor over a unit.
#[derive(Debug)]
pub struct Parser<'a> {
    unit: &'a Unit,
    coding: NameCoding,
    charsets: Charsets,
    pos: usize,
    /// Index of the next literal.
    literal: usize,
}

impl<'a> Parser<'a> {
    /// A cursor at the start of `unit`.
    pub fn new(unit: &'a Unit, coding: NameCoding) -> Self {
        Parser { unit, coding, charsets: Charsets::Any, pos: 0, literal: 0 }
    }

    /// The same for a client that may name these charsets.
    pub fn with_charsets(self, charsets: Charsets) -> Self {
        Parser { charsets, ..self }
    }

    /// Refuses where a charset may not be named.
    pub fn may_name_charset(&self) -> Result<(), Bad> {
        match self.charsets {
            Charsets::Any => Ok(()),
            Charsets::None => Err(self.bad("no charset after ENABLE UTF8=ACCEPT: all is UTF-8")),
        }
    }

    /// Where the cursor stands.
    pub fn at(&self) -> usize {
        self.pos
    }

    /// An error at the cursor.
    pub fn bad(&self, what: &'static str) -> Bad {
        Bad::new(what, self.pos)
    }

    /// The next byte of text, not taken.
    pub fn peek(&self) -> Option<u8> {
        self.rest().first().copied()
    }

    /// Whether a space and a letter come next: another word of an open-ended row of them.
    pub fn at_another_word(&self) -> bool {
        matches!(self.rest(), [b' ', letter, ..] if letter.is_ascii_alphabetic())
    }

    /// Takes a space if a list in parentheses follows it.
    pub fn skip_to_list(&mut self) -> bool {
        let found = self.rest().starts_with(b" (");
        self.pos += usize::from(found);
        found
    }

    /// Takes one byte of text.
    pub(super) fn take(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.pos += 1;
        Some(byte)
    }

    /// Takes `byte` if it is next.
    pub fn skip(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.pos += usize::from(found);
        found
    }

    /// Takes `byte` or fails with `what`.
    pub fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), Bad> {
        if self.skip(byte) { Ok(()) } else { Err(self.bad(what)) }
    }

    /// `SP`: exactly one.
    pub fn space(&mut self) -> Result<(), Bad> {
        self.expect(b' ', "expected a space")
    }

    /// Nothing may follow.
    pub fn finish(&self) -> Result<(), Bad> {
        if self.pos == self.unit.bytes.len() {
            Ok(())
        } else {
            Err(self.bad("expected the end of the command"))
        }
    }

    /// `tag`, and the space behind it.
    pub fn tag(&mut self) -> Result<Tag, Bad> {
        let tag = Tag::new(self.take_while(|b| b != b' ')).ok_or(Bad::new("expected a tag", 0))?;
        self.space()?;
        Ok(tag)
    }

    /// The longest run of bytes that `belongs` to, possibly empty.
    pub(super) fn take_while(&mut self, belongs: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let len = rest.iter().position(|&b| !belongs(b)).unwrap_or(rest.len());
        self.pos += len;
        rest.get(..len).unwrap_or_default()
    }

    /// `atom`.
    pub fn atom(&mut self) -> Result<&'a [u8], Bad> {
        match self.take_while(is_atom_char) {
            [] => Err(self.bad("expected an atom")),
            atom => Ok(atom),
        }
    }

    /// A word made of letters, digits, dots and hyphens: where `[` must not belong to it, as in `BODY[`.
    pub fn word(&mut self) -> Result<&'a [u8], Bad> {
        match self.take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-')) {
            [] => Err(self.bad("expected a name")),
            word => Ok(word),
        }
    }

    /// Takes `word` if the atom at the cursor is that word in any case.
    pub fn skip_word(&mut self, word: &str) -> bool {
        let start = self.pos;
        let found = self.take_while(is_atom_char).eq_ignore_ascii_case(word.as_bytes());
        if !found {
            self.pos = start;
        }
        found
    }

    /// Takes `text`, in any case, if it is next.
    pub fn skip_text(&mut self, text: &str) -> bool {
        let next = self.rest().get(..text.len());
        let found = next.is_some_and(|next| next.eq_ignore_ascii_case(text.as_bytes()));
        self.pos += if found { text.len() } else { 0 };
        found
    }

    /// `astring`.
    pub fn astring(&mut self) -> Result<Cow<'a, [u8]>, Bad> {
        match self.take_while(is_astring_char) {
            [] => self.string(),
            // `~{5}` begins like an atom and is none.
            atom if self.peek() != Some(b'{') => Ok(Cow::Borrowed(atom)),
            _ => Err(self.bad("expected a string")),
        }
    }

    /// `string`: quoted or literal.
    pub fn string(&mut self) -> Result<Cow<'a, [u8]>, Bad> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'{') => self.literal().map(Cow::Borrowed),
            _ => Err(self.bad("expected a string")),
        }
    }

    /// `nstring`: `None` for NIL.
    pub fn nstring(&mut self) -> Result<Option<Cow<'a, [u8]>>, Bad> {
        if self.skip_word("NIL") { Ok(None) } else { self.string().map(Some) }
    }

    /// An astring as text: UTF-8 without NUL, which neither a name nor a text column can hold.
    pub fn text(&mut self) -> Result<String, Bad> {
        let at = self.at();
        let bytes = self.astring()?.into_owned();
        let text = String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'));
        text.ok_or(Bad::new("expected UTF-8 without NUL", at))
    }

    /// `quoted`. RFC 3501 has 7-bit text in it, RFC 9051 UTF-8; bytes above 127 are taken, and judged by whoever
    /// uses them.
    fn quoted(&mut self) -> Result<Cow<'a, [u8]>, Bad> {
        let at = self.at();
        self.expect(b'"', "expected a quoted string")?;
        let plain = self.take_while(|b| !matches!(b, b'"' | b'\\' | b'\r'));
        if self.skip(b'"') {
            return Ok(Cow::Borrowed(plain));
        }
        let mut unescaped = plain.to_vec();
        loop {
            match self.take() {
                Some(b'"') => return Ok(Cow::Owned(unescaped)),
                Some(b'\\') => match self.take() {
                    Some(b @ (b'"' | b'\\')) => unescaped.push(b),
                    _ => return Err(Bad::new("bad escape in a quoted string", self.pos)),
                },
                Some(b'\r') | None => return Err(Bad::new("quoted string does not end", at)),
                Some(b) => unescaped.push(b),
            }
        }
    }

    /// `literal`, where the framer collected one. A literal8 begins with `~`: only [`Parser::value`] comes here by that.
    fn literal(&mut self) -> Result<&'a [u8], Bad> {
        let span = self.unit.literals.get(self.literal).filter(|span| span.at == self.pos);
        let span = span.ok_or(self.bad("expected a literal"))?;
        let bytes = self.unit.bytes.get(span.start..span.end).ok_or(self.bad("expected a literal"))?;
        self.pos = span.end;
        self.literal += 1;
        Ok(bytes)
    }

    /// The literal that the framer left to be streamed. It ends the unit.
    pub fn message_literal(&mut self) -> Result<LiteralHeader, Bad> {
        match self.unit.pending {
            Some((at, header)) if at == self.pos => {
                self.pos = self.unit.bytes.len();
                Ok(header)
            }
            _ => Err(self.bad("expected a message literal")),
        }
    }

    /// `number`: 0 to 2^32 - 1.
    pub fn number(&mut self) -> Result<u32, Bad> {
        let at = self.at();
        u32::try_from(self.number64()?).map_err(|_| Bad::new("number out of range", at))
    }

    /// `nz-number`.
    pub fn nz_number(&mut self) -> Result<u32, Bad> {
        let at = self.at();
        match self.number()? {
            0 => Err(Bad::new("number must not be zero", at)),
            number => Ok(number),
        }
    }

    /// `number64`: 0 to 2^63 - 1 (RFC 9051 §9); also `mod-sequence-valzer` (RFC 7162 §7).
    pub fn number64(&mut self) -> Result<u64, Bad> {
        let at = self.at();
        let digits = self.take_while(|b| b.is_ascii_digit());
        if digits.is_empty() {
            return Err(Bad::new("expected a number", at));
        }
        let number = digits.iter().try_fold(0i64, |n, d| n.checked_mul(10)?.checked_add(i64::from(d - b'0')));
        number.and_then(|n| u64::try_from(n).ok()).ok_or(Bad::new("number out of range", at))
    }

    /// `mod-sequence-value`: 1 to 2^63 - 1 (RFC 7162 §7).
    pub fn mod_sequence(&mut self) -> Result<u64, Bad> {
        let at = self.at();
        match self.number64()? {
            0 => Err(Bad::new("mod-sequence must not be zero", at)),
            number => Ok(number),
        }
    }

    /// `"(" [item *(SP item)] ")"`.
    pub fn list_of<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T, Bad>) -> Result<Vec<T>, Bad> {
        self.expect(b'(', "expected a parenthesis")?;
        let mut items = Vec::new();
        if self.skip(b')') {
            return Ok(items);
        }
        loop {
            if items.len() == LIST_MAX {
                return Err(self.bad("too many members in a list"));
            }
            items.push(item(self)?);
            if self.skip(b')') {
                return Ok(items);
            }
            self.expect(b' ', "expected a space or a closing parenthesis")?;
        }
    }

    /// `mailbox`.
    pub fn mailbox(&mut self) -> Result<MailboxName, Bad> {
        let at = self.at();
        let wire = self.astring()?;
        MailboxName::parse(&wire, self.coding).map_err(|error| bad_name(error, at))
    }

    /// `mailbox`, or nothing between quotes for the server itself (RFC 5464 §4.2).
    pub fn mailbox_or_server(&mut self) -> Result<Option<MailboxName>, Bad> {
        let at = self.at();
        let wire = self.astring()?;
        if wire.is_empty() {
            return Ok(None);
        }
        MailboxName::parse(&wire, self.coding).map(Some).map_err(|error| bad_name(error, at))
    }

    /// `value` (RFC 5464 §5): `None` for NIL, and a literal8 may be one.
    pub fn value(&mut self) -> Result<Option<Cow<'a, [u8]>>, Bad> {
        match self.peek() {
            Some(b'~') => self.literal().map(|bytes| Some(Cow::Borrowed(bytes))),
            _ => self.nstring(),
        }
    }

    /// `mailbox` as CREATE takes it: a separator at the end only declares that children will follow (RFC 3501
    /// §6.3.3), and is not part of the name.
    pub fn mailbox_to_create(&mut self) -> Result<MailboxName, Bad> {
        let at = self.at();
        let wire = self.astring()?;
        let wire = wire.strip_suffix(b"/").unwrap_or(&wire);
        MailboxName::parse(wire, self.coding).map_err(|error| bad_name(error, at))
    }

    /// The reference of LIST: the beginning of a name, in Unicode.
    pub fn mailbox_prefix(&mut self) -> Result<String, Bad> {
        let at = self.at();
        let wire = self.astring()?;
        text(&wire, self.coding).map_err(|error| bad_name(error, at))
    }

    /// `list-mailbox`: a name with wildcards, in Unicode.
    pub fn list_mailbox(&mut self) -> Result<String, Bad> {
        let at = self.at();
        let wire = match self.take_while(|b| is_astring_char(b) || matches!(b, b'*' | b'%')) {
            [] => self.string()?,
            pattern => Cow::Borrowed(pattern),
        };
        text(&wire, self.coding).map_err(|error| bad_name(error, at))
    }

    /// Text up to the next literal's bytes.
    fn rest(&self) -> &'a [u8] {
        let end = self.unit.literals.get(self.literal).map_or(self.unit.bytes.len(), |span| span.start);
        self.unit.bytes.get(self.pos..end).unwrap_or_default()
    }
}

fn bad_name(error: NameError, at: usize) -> Bad {
    let answer = if error.is_syntax() { Answer::Bad } else { Answer::Cannot };
    Bad { what: error.what(), at, answer }
}

#[cfg(test)]
pub(in crate::imap) mod tests {
    use std::fmt::Debug;

    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::*;
    use crate::imap::wire::framer::{Frame, Framer, Limits};

    /// The unit that the framer makes of `input` and a line end.
    pub(in crate::imap) fn unit(input: impl AsRef<[u8]>) -> Unit {
        let mut framer = Framer::new(Limits::default());
        let mut input = BytesMut::from(input.as_ref());
        input.extend_from_slice(b"\r\n");
        loop {
            match framer.next(&mut input) {
                Frame::Command(unit) | Frame::Message(unit) => return unit,
                Frame::Continue => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// For as long as the test runs, so that methods which borrow from the unit can be named as they are.
    fn leaked(input: impl AsRef<[u8]>) -> &'static Unit {
        Box::leak(Box::new(unit(input)))
    }

    /// What `take` makes of all of `input`.
    pub(in crate::imap) fn taken<T>(
        input: impl AsRef<[u8]>,
        take: impl FnOnce(&mut Parser<'static>) -> Result<T, Bad>,
    ) -> T {
        let mut parser = Parser::new(leaked(input), NameCoding::ModifiedUtf7);
        let taken = take(&mut parser).unwrap();
        parser.finish().unwrap();
        taken
    }

    /// Expects `take` to fail, or to leave something over.
    pub(in crate::imap) fn refused<T: Debug>(
        input: impl AsRef<[u8]>,
        take: impl FnOnce(&mut Parser<'static>) -> Result<T, Bad>,
    ) -> Bad {
        let shown = input.as_ref().escape_ascii().to_string();
        let mut parser = Parser::new(leaked(input), NameCoding::ModifiedUtf7);
        let result = take(&mut parser).and_then(|taken| parser.finish().map(|()| taken));
        result.expect_err(&shown)
    }

    #[test]
    fn strings() {
        for text in [
            "",
            "\"",
            "\"a",
            "\"a\\",
            "\"a\\b\"",
            "\"a\rb\"",
            "(",
            "a b",
            "a{1}\r\nx",
            "\"a\"b",
            "{1} ",
            "~{1}\r\na",
            "é",
            "a*",
            "{1}\r\nab",
            "\"a{3}\r\nb\"c",
            "\"a{2}\r\nb\"",
            "\x7f",
        ] {
            refused(text, Parser::astring);
        }
        for (text, value) in [
            ("a", "a"),
            ("a]+&", "a]+&"),
            ("\"\"", ""),
            ("\"a b\"", "a b"),
            (r#""a\"b\\c""#, r#"a"b\c"#),
            ("\"é {5}\"", "é {5}"),
            ("{3}\r\na\r\n", "a\r\n"),
            ("{0+}\r\n", ""),
            ("{2}\r\n\0\"", "\0\""),
        ] {
            assert_eq!(taken(text, Parser::astring), value.as_bytes(), "{text:?}");
        }
        assert_eq!(taken("nil", Parser::nstring), None);
        assert_eq!(taken("\"nil\"", Parser::nstring).unwrap(), &b"nil"[..]);
        refused("nile", Parser::nstring);
        refused("{1}\r\n\0", Parser::text);
        refused("{1}\r\n\u{fffd}", Parser::text);
    }

    #[test]
    fn numbers() {
        for text in ["", "-1", "4294967296", "99999999999999999999", "1a", "+1", " 1"] {
            refused(text, Parser::number);
        }
        refused("0", Parser::nz_number);
        refused("0", Parser::mod_sequence);
        refused("9223372036854775808", Parser::number64);
        assert_eq!(taken("4294967295", Parser::number), u32::MAX);
        assert_eq!(taken("9223372036854775807", Parser::mod_sequence), 9_223_372_036_854_775_807);
        assert_eq!(taken("0", Parser::number64), 0);
    }

    #[test]
    fn lists() {
        for text in ["", "(", "(a", "( a)", "(a )", "(a  b)", "((a))", "(a))"] {
            refused(text, |p| p.list_of(|p| p.atom().map(<[u8]>::to_vec)));
        }
        assert_eq!(taken("(a b)", |p| p.list_of(|p| p.number().or(p.atom().map(|_| 7)))), [7, 7]);
        let many = format!("({}1)", "1 ".repeat(LIST_MAX));
        assert_eq!(refused(many, |p| p.list_of(Parser::number)).what, "too many members in a list");
    }

    #[test]
    fn mailboxes() {
        assert_eq!(refused("&AOk", Parser::mailbox).answer, Answer::Bad);
        assert_eq!(refused("\"\"", Parser::mailbox).answer, Answer::Cannot);
        assert_eq!(refused("a//b", Parser::mailbox).answer, Answer::Cannot);
        assert_eq!(refused("a//", Parser::mailbox_to_create).answer, Answer::Cannot);
        refused("a%", Parser::mailbox);
        assert_eq!(taken("Entw&APw-rfe", Parser::mailbox).as_str(), "Entwürfe");
        assert_eq!(taken("{5}\r\ninbox", Parser::mailbox).as_str(), "INBOX");
        assert_eq!(taken("a/b/", Parser::mailbox_to_create).as_str(), "a/b");
        assert_eq!(taken("a/%", Parser::list_mailbox), "a/%");
        assert_eq!(taken("\"\"", Parser::list_mailbox), "");
        let unit = unit("\"R&D é\"");
        let mut parser = Parser::new(&unit, NameCoding::Utf8);
        assert_eq!(parser.mailbox().unwrap().as_str(), "R&D é");
    }

    proptest! {
        #[test]
        fn quoting_round_trip(text in "[^\r\n\0]{0,30}") {
            let quoted = format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
            prop_assert_eq!(taken(quoted, |p| p.string().map(Cow::into_owned)), text.as_bytes());
        }
    }
}
