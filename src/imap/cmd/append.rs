//! APPEND (RFC 3501 §6.3.11).
//!
//! The message itself is not here: the framer stops in front of it, and this is what was said until then. The session
//! decides by [`Append::message`] whether it takes it; what follows the message is checked by [`tail`].

use crate::imap::wire::bad::Bad;
use crate::imap::wire::date::DateTime;
use crate::imap::wire::flag::Flag;
use crate::imap::wire::name::{MailboxName, NameCoding};
use crate::imap::wire::parser::Parser;
use crate::imap::wire::unit::{LiteralHeader, Unit};

/// `APPEND mailbox [(flag …)] [date-time] literal`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// Where to.
    pub mailbox: MailboxName,
    /// The message's flags.
    pub flags: Vec<Flag>,
    /// Its internal date; now, when absent.
    pub date: Option<DateTime>,
    /// What the client announced. Its size is a claim, to be refused when too large.
    pub message: LiteralHeader,
}

impl Append {
    /// Reads the arguments, the message's literal header included.
    pub fn parse(parser: &mut Parser<'_>) -> Result<Self, Bad> {
        parser.space()?;
        let mailbox = parser.mailbox()?;
        parser.space()?;
        let mut flags = Vec::new();
        if parser.peek() == Some(b'(') {
            flags = parser.flag_list()?;
            parser.space()?;
        }
        let mut date = None;
        if parser.peek() == Some(b'"') {
            date = Some(parser.date_time()?);
            parser.space()?;
        }
        let at = parser.at();
        let message = parser.message_literal()?;
        // RFC 3516 §4.4: literal8 in APPEND belongs to BINARY.
        if message.binary {
            return Err(Bad::new("a message must be a plain literal", at));
        }
        Ok(Append { mailbox, flags, date, message })
    }
}

/// Checks what followed the message: nothing may.
pub fn tail(unit: &Unit) -> Result<(), Bad> {
    Parser::new(unit, NameCoding::default()).finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::cmd::Command;
    use crate::imap::cmd::tests::{command, refusal};
    use crate::imap::wire::parser::tests::{taken, unit};

    #[test]
    fn refusals() {
        for input in [
            "APPEND",
            "APPEND a",
            "APPEND a ",
            "APPEND a {5}x",
            "APPEND a \"text\"",
            "APPEND a (\\Seen)",
            "APPEND a (\\Seen){5}",
            "APPEND a  {5}",
            "APPEND  a {5}",
            "APPEND a (\\Foo) {5}",
            "APPEND a \"1-Jan-2020 00:00:00 +0000\" (\\Seen) {5}",
            "APPEND a ~{5}",
            "APPEND a UTF8 ({5}",
            "APPEND a \"{5}",
            "APPEND {1}\r\na",
        ] {
            refusal(input);
        }
        assert!(tail(&unit(" x")).is_err());
    }

    #[test]
    fn grammar() {
        let append = |flags: &[Flag], date: Option<&str>, size, synchronizing| {
            let message = LiteralHeader { size, synchronizing, binary: false };
            let date = date.map(|date| taken(date, Parser::date_time));
            let mailbox = MailboxName::new("INBOX").unwrap();
            Command::Append(Append { mailbox, flags: flags.to_vec(), date, message })
        };
        let date = "\"17-Jul-1996 02:44:25 -0700\"";
        assert_eq!(command("APPEND inbox {310}"), append(&[], None, 310, true));
        assert_eq!(command("APPEND inbox {4294967296+}"), append(&[], None, 1 << 32, false));
        assert_eq!(command("APPEND {5}\r\nINBOX () {0}"), append(&[], None, 0, true));
        assert_eq!(
            command(format!("append INBOX (\\Seen k) {date} {{1}}")),
            append(&[Flag::Seen, Flag::Keyword("k".into())], Some(date), 1, true)
        );
        assert_eq!(command(format!("APPEND INBOX {date} {{1}}")), append(&[], Some(date), 1, true));
        assert_eq!(tail(&unit("")), Ok(()));
    }
}
