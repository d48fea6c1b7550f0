//! One command line, parsed (RFC 5321 §4.1 and the extensions named in [`super::table`]).
//!
//! The line comes from the [`super::framer`], without its CRLF and bounded. Tolerated beyond the grammar, because honest
//! clients do it: spaces after the colon of MAIL and RCPT, paths without angle brackets (told by [`PathForm`]), more than one
//! space between words, trailing white space. Control characters never are.

use super::bad::Bad;
use super::helo::Helo;
use super::mail::MailParams;
use super::path::{self, PathForm, RawPath};
use super::rcpt::RcptParams;
use super::table::{self, Row, Verb};
use super::xclient;

/// A command and its arguments, borrowed from the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command<'a> {
    /// EHLO: the client speaks ESMTP.
    Ehlo(Helo<'a>),
    /// HELO: it speaks old SMTP.
    Helo(Helo<'a>),
    /// LHLO: it speaks LMTP.
    Lhlo(Helo<'a>),
    /// MAIL: a transaction begins.
    Mail(Mail<'a>),
    /// RCPT: one more recipient.
    Rcpt(Rcpt<'a>),
    /// DATA: the message follows.
    Data,
    /// BDAT: a chunk of the message follows.
    Bdat(Chunk),
    /// RSET: the transaction is off.
    Rset,
    /// NOOP, its argument ignored.
    Noop,
    /// QUIT.
    Quit,
    /// HELP and what about; empty for everything.
    Help(&'a str),
    /// VRFY: is there such a user?
    Vrfy(Query<'a>),
    /// EXPN: who is on this list?
    Expn(Query<'a>),
    /// ETRN: send what waits for this name (a domain; `@domain` with its subdomains; `#queue`).
    Etrn(&'a str),
    /// AUTH.
    Auth(Auth<'a>),
    /// STARTTLS.
    StartTls,
    /// XCLIENT and what it tells.
    Xclient(Vec<(xclient::Attribute, xclient::Value)>),
    /// A word that is no command here; to be answered 500.
    Unknown(&'a str),
}

/// MAIL FROM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail<'a> {
    /// The reverse path.
    pub path: RawPath<'a>,
    /// How it was written.
    pub form: PathForm,
    /// Is there anything beyond ASCII in the path? It needs SMTPUTF8 then (RFC 6531 §3.4).
    pub has_utf8: bool,
    /// The parameters.
    pub params: MailParams,
}

/// RCPT TO.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rcpt<'a> {
    /// The forward path, never null.
    pub path: RawPath<'a>,
    /// How it was written.
    pub form: PathForm,
    /// Is there anything beyond ASCII in the path or in ORCPT? It needs a transaction with SMTPUTF8 then.
    pub has_utf8: bool,
    /// The parameters.
    pub params: RcptParams,
}

/// BDAT: so many octets follow at once (RFC 3030 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// How many.
    pub octets: u64,
    /// Are more chunks to come?
    pub place: Place,
}

/// Where a chunk stands in its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// More are to come.
    More,
    /// LAST: the message ends with it.
    Last,
}

/// The argument of VRFY and EXPN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query<'a> {
    /// What is asked for, never empty; may hold UTF-8.
    pub text: &'a str,
    /// May the reply hold UTF-8? (SMTPUTF8 stood behind it, RFC 6531 §3.7.4.2.)
    pub reply: ReplyCharset,
}

/// What the client can read in a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyCharset {
    /// ASCII.
    Ascii,
    /// UTF-8.
    Utf8,
}

/// AUTH (RFC 4954 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Auth<'a> {
    /// The mechanism as written: 1 to 20 letters, digits, `-` and `_`.
    pub mechanism: &'a str,
    /// The initial response, still in base64; empty if the client wrote `=`, which is a response of no octets.
    pub initial: Option<&'a str>,
}

/// Parses a line without its CRLF.
///
/// # Errors
/// [`Bad`], which knows its reply.
pub fn parse(line: &[u8]) -> Result<Command<'_>, Bad> {
    // RFC 5321 §4.1.1: trailing white space is to be tolerated, and that has tabs.
    let line = trim_end(line);
    let text = str::from_utf8(line).map_err(|_| Bad::NotAscii)?;
    if text.chars().any(char::is_control) {
        return Err(Bad::Control);
    }
    let text = text.trim_start_matches(' ');
    if text.is_empty() {
        return Err(Bad::Empty);
    }
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let Some(row) = table::find(word) else { return Ok(Command::Unknown(word)) };
    if !rest.is_ascii() && !matches!(row.verb, Verb::Mail | Verb::Rcpt | Verb::Vrfy | Verb::Expn) {
        return Err(Bad::NotAscii);
    }
    arguments(row, rest.trim_start_matches(' '))
}

fn arguments<'a>(row: &'static Row, rest: &'a str) -> Result<Command<'a>, Bad> {
    match row.verb {
        Verb::Ehlo => Ok(Command::Ehlo(Helo::new(some(row, rest)?))),
        Verb::Helo => Ok(Command::Helo(Helo::new(some(row, rest)?))),
        Verb::Lhlo => Ok(Command::Lhlo(Helo::new(some(row, rest)?))),
        Verb::Mail => mail(row, rest).map(Command::Mail),
        Verb::Rcpt => rcpt(row, rest).map(Command::Rcpt),
        Verb::Data => none(row, rest, Command::Data),
        Verb::Bdat => chunk(row, rest).map(Command::Bdat),
        Verb::Rset => none(row, rest, Command::Rset),
        Verb::Noop => Ok(Command::Noop),
        Verb::Quit => none(row, rest, Command::Quit),
        Verb::Help => Ok(Command::Help(rest)),
        Verb::Vrfy => query(row, rest).map(Command::Vrfy),
        Verb::Expn => query(row, rest).map(Command::Expn),
        Verb::Etrn => etrn(row, rest).map(Command::Etrn),
        Verb::Auth => auth(row, rest).map(Command::Auth),
        Verb::StartTls => none(row, rest, Command::StartTls),
        Verb::Xclient => xclient::parse(rest, row.syntax).map(Command::Xclient),
    }
}

fn trim_end(line: &[u8]) -> &[u8] {
    let kept = line.iter().rposition(|b| !matches!(b, b' ' | b'\t')).map_or(0, |last| last + 1);
    line.get(..kept).unwrap_or(line)
}

/// The argument of a command that must have one.
fn some<'a>(row: &Row, rest: &'a str) -> Result<&'a str, Bad> {
    if rest.is_empty() { Err(Bad::Usage(row.syntax)) } else { Ok(rest) }
}

/// A command that must have none.
fn none<'a>(row: &Row, rest: &str, command: Command<'a>) -> Result<Command<'a>, Bad> {
    if rest.is_empty() { Ok(command) } else { Err(Bad::Usage(row.syntax)) }
}

/// Strips `FROM:` or `TO:` and delimits the path; the parameters' text comes third.
fn path_and_params<'a>(
    row: &Row,
    rest: &'a str,
    keyword: &str,
    bad: fn(&'static str) -> Bad,
) -> Result<(RawPath<'a>, PathForm, &'a str), Bad> {
    let (word, after) = rest.split_once(':').ok_or(Bad::Usage(row.syntax))?;
    if !word.eq_ignore_ascii_case(keyword) {
        return Err(Bad::Usage(row.syntax));
    }
    let (path, form, params) = path::split(after.as_bytes()).map_err(bad)?;
    // A path ends at an ASCII character, so that this can't cut one in two.
    Ok((path, form, str::from_utf8(params).map_err(|_| Bad::NotAscii)?))
}

fn mail<'a>(row: &Row, rest: &'a str) -> Result<Mail<'a>, Bad> {
    let (path, form, params) = path_and_params(row, rest, "FROM", Bad::Sender)?;
    Ok(Mail { path, form, has_utf8: !path.0.is_ascii(), params: MailParams::parse(params)? })
}

fn rcpt<'a>(row: &Row, rest: &'a str) -> Result<Rcpt<'a>, Bad> {
    let (path, form, text) = path_and_params(row, rest, "TO", Bad::Recipient)?;
    if path.is_null() {
        // RFC 5321 §4.1.1.3: the null path is for MAIL alone.
        return Err(Bad::Recipient("empty path"));
    }
    let has_utf8 = !path.0.is_ascii() || !text.is_ascii();
    Ok(Rcpt { path, form, has_utf8, params: RcptParams::parse(text)? })
}

fn chunk(row: &Row, rest: &str) -> Result<Chunk, Bad> {
    let bad = || Bad::Chunk(row.syntax);
    let (digits, last) = rest.split_once(' ').unwrap_or((rest, ""));
    let place = match last.trim_start_matches(' ') {
        "" => Place::More,
        word if word.eq_ignore_ascii_case("LAST") => Place::Last,
        _ => return Err(bad()),
    };
    // parse() alone would take a sign.
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad());
    }
    Ok(Chunk { octets: digits.parse().map_err(|_| bad())?, place })
}

fn query<'a>(row: &Row, rest: &'a str) -> Result<Query<'a>, Bad> {
    let rest = some(row, rest)?;
    Ok(match rest.rsplit_once(' ') {
        Some((text, word)) if word.eq_ignore_ascii_case("SMTPUTF8") => {
            Query { text: text.trim_end_matches(' '), reply: ReplyCharset::Utf8 }
        }
        _ => Query { text: rest, reply: ReplyCharset::Ascii },
    })
}

fn etrn<'a>(row: &Row, rest: &'a str) -> Result<&'a str, Bad> {
    let name = some(row, rest)?;
    if name.contains(' ') || matches!(name, "@" | "#") { Err(Bad::Usage(row.syntax)) } else { Ok(name) }
}

fn auth<'a>(row: &Row, rest: &'a str) -> Result<Auth<'a>, Bad> {
    let (mechanism, initial) = match rest.split_once(' ') {
        Some((mechanism, initial)) => (mechanism, Some(initial.trim_start_matches(' '))),
        None => (rest, None),
    };
    let good_name = (1..=20).contains(&mechanism.len())
        && mechanism.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if !good_name || initial.is_some_and(|i| i.contains(' ')) {
        return Err(Bad::Usage(row.syntax));
    }
    Ok(Auth { mechanism, initial: initial.map(|i| if i == "=" { "" } else { i }) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refused() {
        for (line, code) in [
            ("", 500),
            ("   \t", 500),
            ("NO\0OP", 500),
            ("MAIL\tFROM:<a@b>", 500),
            ("MAIL FROM:<a@b\r>", 500),
            ("MAIL FROM:<a@b>\nRCPT TO:<c@d>", 500),
            ("MAIL FROM:<a\u{85}@b>", 500),
            ("EHLO \u{e9}", 500),
            ("HELP \u{e9}", 500),
            ("EHLO", 501),
            ("HELO ", 501),
            ("MAIL", 501),
            ("MAIL <a@b>", 501),
            ("MAIL TO:<a@b>", 501),
            ("MAIL FROM :<a@b>", 501),
            ("MAIL FROM:", 501),
            ("MAIL FROM:<a@b", 501),
            ("MAIL FROM:<a@b>SIZE=1", 501),
            ("MAIL FROM:<a@b> SIZE=x", 501),
            ("MAIL FROM:<a@b> SIZE=1 SIZE=1", 501),
            ("MAIL FROM:<a@b> X-Y", 555),
            ("MAIL FROM:<a@b> NOTIFY=NEVER", 555),
            ("RCPT FROM:<a@b>", 501),
            ("RCPT TO:<>", 501),
            ("RCPT TO:a b@c", 501),
            ("RCPT TO:<a@b> SIZE=1", 555),
            ("DATA now", 501),
            ("RSET x", 501),
            ("QUIT x", 501),
            ("STARTTLS x", 501),
            ("BDAT", 501),
            ("BDAT x", 501),
            ("BDAT +1", 501),
            ("BDAT -1", 501),
            ("BDAT 18446744073709551616", 501),
            ("BDAT 1 FIRST", 501),
            ("BDAT 1 LAST x", 501),
            ("VRFY", 501),
            ("EXPN", 501),
            ("ETRN", 501),
            ("ETRN @", 501),
            ("ETRN a b", 501),
            ("AUTH", 501),
            ("AUTH PLAIN a b", 501),
            ("AUTH PL.AIN", 501),
            ("AUTH ABCDEFGHIJKLMNOPQRSTU", 501),
            ("XCLIENT", 501),
            ("XCLIENT ADDR", 501),
        ] {
            let got = parse(line.as_bytes());
            assert!(matches!(&got, Err(bad) if bad.reply().code() == code), "{line:?}: {got:?}");
        }
        assert_eq!(parse(b"MAIL FROM:<\xff@b>"), Err(Bad::NotAscii));
        assert!(parse(b"BDAT x").unwrap_err().loses_sync());
        assert!(!parse(b"RSET x").unwrap_err().loses_sync());
    }

    #[test]
    fn understood() {
        let helo = Helo { raw: "mx.example", well_formed: true };
        for (line, command) in [
            ("EHLO mx.example", Command::Ehlo(helo)),
            ("helo  mx.example ", Command::Helo(helo)),
            ("Lhlo mx.example", Command::Lhlo(helo)),
            ("EHLO my pc", Command::Ehlo(Helo { raw: "my pc", well_formed: false })),
            ("data\t ", Command::Data),
            ("BDAT 0 last", Command::Bdat(Chunk { octets: 0, place: Place::Last })),
            ("BDAT 00010", Command::Bdat(Chunk { octets: 10, place: Place::More })),
            (" RSET", Command::Rset),
            ("NOOP some thing", Command::Noop),
            ("QUIT", Command::Quit),
            ("HELP", Command::Help("")),
            ("HELP MAIL", Command::Help("MAIL")),
            ("VRFY Jane Doe", Command::Vrfy(Query { text: "Jane Doe", reply: ReplyCharset::Ascii })),
            ("EXPN \u{e9} smtputf8", Command::Expn(Query { text: "\u{e9}", reply: ReplyCharset::Utf8 })),
            ("VRFY SMTPUTF8", Command::Vrfy(Query { text: "SMTPUTF8", reply: ReplyCharset::Ascii })),
            ("ETRN @example.com", Command::Etrn("@example.com")),
            ("AUTH LOGIN", Command::Auth(Auth { mechanism: "LOGIN", initial: None })),
            ("AUTH PLAIN =", Command::Auth(Auth { mechanism: "PLAIN", initial: Some("") })),
            ("AUTH PLAIN AGEAYg==", Command::Auth(Auth { mechanism: "PLAIN", initial: Some("AGEAYg==") })),
            ("STARTTLS", Command::StartTls),
            (
                "XCLIENT PORT=1",
                Command::Xclient(vec![(xclient::Attribute::Port, xclient::Value::Known("1".into()))]),
            ),
            ("GET / HTTP/1.1", Command::Unknown("GET")),
            ("\u{e9}\u{e9} \u{e9}", Command::Unknown("\u{e9}\u{e9}")),
        ] {
            assert_eq!(parse(line.as_bytes()), Ok(command), "{line}");
        }
    }

    #[test]
    fn paths_and_parameters() {
        for (line, path, form, has_utf8, size) in [
            ("MAIL FROM:<>", "", PathForm::Angled, false, None),
            ("mail from: <a@b>  size=9  ", "a@b", PathForm::Angled, false, Some(9)),
            ("MAIL  FROM:a@b SIZE=9", "a@b", PathForm::Bare, false, Some(9)),
            ("MAIL FROM:<\"x: y>\"@b> SIZE=9", "\"x: y>\"@b", PathForm::Angled, false, Some(9)),
            ("MAIL FROM:<\u{e9}@b> SIZE=9 SMTPUTF8", "\u{e9}@b", PathForm::Angled, true, Some(9)),
        ] {
            let Ok(Command::Mail(mail)) = parse(line.as_bytes()) else { panic!("{line}") };
            let got = (mail.path.0, mail.form, mail.has_utf8, mail.params.size);
            assert_eq!(got, (path.as_bytes(), form, has_utf8, size), "{line}");
        }
        let Ok(Command::Rcpt(rcpt)) = parse("RCPT TO:<a@b> ORCPT=utf-8;\u{e9}@b".as_bytes()) else {
            panic!()
        };
        assert!(rcpt.has_utf8 && rcpt.path == RawPath(b"a@b") && rcpt.params.original.is_some());
        let Ok(Command::Rcpt(rcpt)) = parse(b"RCPT TO:<Postmaster>") else { panic!() };
        assert_eq!(rcpt.path, RawPath(b"Postmaster"));
    }

    proptest! {
        #[test]
        fn any_octets_are_answered(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Err(bad) = parse(&line) {
                prop_assert!(bad.reply().code() >= 500);
            }
        }

        #[test]
        fn anything_like_a_command_is_answered(
            word in "(?i)MAIL FROM:|RCPT TO:|BDAT |AUTH |XCLIENT |VRFY |EHLO \\[",
            rest in "[ <>\"\\\\@:=+a-c\u{e9};,0-9\\[\\]A-Z-]{0,60}",
        ) {
            let _ = parse(format!("{word}{rest}").as_bytes());
        }

        #[test]
        fn a_quoted_path_is_kept(local in "[ -~]{0,20}", rest in "| SIZE=1") {
            let quoted = local.replace('\\', "\\\\").replace('"', "\\\"");
            let line = format!("MAIL FROM:<\"{quoted}\"@b>{rest}");
            let path = format!("\"{quoted}\"@b");
            prop_assert!(matches!(parse(line.as_bytes()), Ok(Command::Mail(m)) if m.path.0 == path.as_bytes()));
        }
    }
}
