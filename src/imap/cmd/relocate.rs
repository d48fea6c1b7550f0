//! MOVE and UID MOVE (RFC 6851).

use crate::imap::wire::bad::Bad;
use crate::imap::wire::name::MailboxName;
use crate::imap::wire::parser::Parser;
use crate::imap::wire::set::{Numbering, RawSet};

/// `MOVE set mailbox`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// What the set's numbers are.
    pub numbering: Numbering,
    /// Which messages.
    pub set: RawSet,
    /// Where to.
    pub mailbox: MailboxName,
}

impl Move {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>, numbering: Numbering) -> Result<Self, Bad> {
        parser.space()?;
        let set = parser.sequence_set()?;
        parser.space()?;
        let mailbox = parser.mailbox()?;
        Ok(Move { numbering, set, mailbox })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::cmd::Command;
    use crate::imap::cmd::tests::{command, refusal};

    #[test]
    fn grammar() {
        for input in ["MOVE", "MOVE 1", "MOVE a 1", "MOVE 1 a b", "MOVE 1, a", "UID MOVE 1"] {
            refusal(input);
        }
        let relocate = |numbering, set: &str| {
            let set = RawSet::new(set.as_bytes()).unwrap();
            Command::Move(Move { numbering, set, mailbox: MailboxName::new("a").unwrap() })
        };
        assert_eq!(command("MOVE 1:3 a"), relocate(Numbering::Sequence, "1:3"));
        assert_eq!(command("UID MOVE * {1+}\r\na"), relocate(Numbering::Uid, "*"));
    }
}
