//! What follows the mailbox in APPEND and REPLACE: messages, whole (RFC 3501 §6.3.11), several (RFC 3502), or put together
//! from pieces (RFC 4469).
//!
//! Literals are not part of what is read here: the framer stops in front of each, so that a command comes in pieces, and
//! between two of them [`Within`] says where the grammar stands. A piece becomes [`Step`]s, of which a literal is always the
//! last.

use crate::imap::wire::bad::Bad;
use crate::imap::wire::date::DateTime;
use crate::imap::wire::flag::Flag;
use crate::imap::wire::parser::Parser;
use crate::imap::wire::unit::LiteralHeader;

/// How a message is to be there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// Its flags.
    pub flags: Vec<Flag>,
    /// Its internal date; now, when absent.
    pub date: Option<DateTime>,
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A message begins.
    Begin(Options),
    /// It may have UTF-8 in its header (RFC 6855 §4).
    Utf8,
    /// Bytes of it come as a literal.
    Literal(LiteralHeader),
    /// Bytes of it are those that a URL leads to.
    Url(String),
    /// It is complete.
    End,
}

/// How many messages a command takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// APPEND: at least one.
    Several,
    /// REPLACE.
    One,
}

/// Where in the grammar a piece of the command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Within {
    /// In front of the first message.
    Start,
    /// Behind a message: another one or the end.
    Between,
    /// Behind the literal that a message is.
    Plain,
    /// Behind the literal of `UTF8 (`.
    Utf8,
    /// In CATENATE's parentheses, in front of the first part.
    Catenate,
    /// In CATENATE's parentheses, behind a part.
    Part,
}

/// Reads a piece of the command, up to its end or to the literal that the piece ends with.
pub fn steps(parser: &mut Parser<'_>, within: &mut Within, takes: Takes) -> Result<Vec<Step>, Bad> {
    let mut steps = Vec::new();
    loop {
        *within = match *within {
            Within::Between if takes == Takes::One || parser.peek().is_none() => {
                parser.finish()?;
                return Ok(steps);
            }
            Within::Start | Within::Between => begin(parser, &mut steps)?,
            Within::Plain => {
                steps.push(Step::End);
                Within::Between
            }
            Within::Utf8 => {
                parser.expect(b')', "expected a closing parenthesis")?;
                steps.push(Step::End);
                Within::Between
            }
            Within::Part if parser.skip(b')') => {
                steps.push(Step::End);
                Within::Between
            }
            Within::Part => {
                parser.space()?;
                part(parser, &mut steps)?
            }
            Within::Catenate => part(parser, &mut steps)?,
        };
        if matches!(steps.last(), Some(Step::Literal(_))) {
            return Ok(steps);
        }
    }
}

/// `SP [flag-list SP] [date-time SP]` and the beginning of `append-data`.
fn begin(parser: &mut Parser<'_>, steps: &mut Vec<Step>) -> Result<Within, Bad> {
    parser.space()?;
    let mut options = Options::default();
    if parser.peek() == Some(b'(') {
        options.flags = parser.flag_list()?;
        parser.space()?;
    }
    if parser.peek() == Some(b'"') {
        options.date = Some(parser.date_time()?);
        parser.space()?;
    }
    steps.push(Step::Begin(options));
    if parser.skip_text("CATENATE (") {
        return Ok(Within::Catenate);
    }
    if parser.skip_text("UTF8 (") {
        let at = parser.at();
        let literal = parser.message_literal()?;
        if !literal.binary {
            return Err(Bad::new("expected a literal8", at));
        }
        steps.extend([Step::Utf8, Step::Literal(literal)]);
        return Ok(Within::Utf8);
    }
    steps.push(Step::Literal(parser.message_literal()?));
    Ok(Within::Plain)
}

/// `cat-part` (RFC 4469 §5)
fn part(parser: &mut Parser<'_>, steps: &mut Vec<Step>) -> Result<Within, Bad> {
    if parser.skip_word("TEXT") {
        parser.space()?;
        steps.push(Step::Literal(parser.message_literal()?));
    } else if parser.skip_word("URL") {
        parser.space()?;
        steps.push(Step::Url(parser.text()?));
    } else {
        return Err(parser.bad("expected TEXT or URL"));
    }
    Ok(Within::Part)
}
