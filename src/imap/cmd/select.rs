//! SELECT and EXAMINE (RFC 3501 §6.3.1, §6.3.2), with CONDSTORE (RFC 7162 §3.1.8).

use crate::imap::wire::bad::Bad;
use crate::imap::wire::name::MailboxName;
use crate::imap::wire::parser::Parser;

/// What the client means to do with the mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// SELECT
    ReadWrite,
    /// EXAMINE
    ReadOnly,
}

/// `SELECT mailbox [(CONDSTORE)]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Select {
    /// The mailbox.
    pub mailbox: MailboxName,
    /// SELECT or EXAMINE.
    pub access: Access,
    /// The client enables CONDSTORE with it.
    pub condstore: bool,
}

impl Select {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>, access: Access) -> Result<Self, Bad> {
        parser.space()?;
        let mailbox = parser.mailbox()?;
        let condstore = parser.skip(b' ');
        if condstore && parser.list_of(parameter)?.is_empty() {
            return Err(parser.bad("expected a SELECT parameter"));
        }
        Ok(Select { mailbox, access, condstore })
    }
}

fn parameter(parser: &mut Parser<'_>) -> Result<(), Bad> {
    if parser.skip_word("CONDSTORE") { Ok(()) } else { Err(parser.bad("unknown SELECT parameter")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::cmd::Command;
    use crate::imap::cmd::tests::{command, refusal};

    #[test]
    fn grammar() {
        for input in [
            "SELECT",
            "SELECT ",
            "SELECT a b",
            "SELECT a ()",
            "SELECT a (QRESYNC (1 2))",
            "SELECT a (CONDSTORE",
            "SELECT a*",
            "SELECT \"\"",
        ] {
            refusal(input);
        }
        let select = |access, condstore| {
            Command::Select(Select { mailbox: MailboxName::new("INBOX").unwrap(), access, condstore })
        };
        assert_eq!(command("SELECT inbox"), select(Access::ReadWrite, false));
        assert_eq!(command("EXAMINE \"INBOX\""), select(Access::ReadOnly, false));
        assert_eq!(command("select {5}\r\nInbox (condstore)"), select(Access::ReadWrite, true));
    }
}
