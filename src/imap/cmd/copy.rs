//! COPY and UID COPY (RFC 3501 §6.4.7).

use crate::imap::wire::bad::Bad;
use crate::imap::wire::name::MailboxName;
use crate::imap::wire::parser::Parser;
use crate::imap::wire::set::{Numbering, RawSet};

/// `COPY set mailbox`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// What the set's numbers are.
    pub numbering: Numbering,
    /// Which messages.
    pub set: RawSet,
    /// Where to.
    pub mailbox: MailboxName,
}

impl Copy {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>, numbering: Numbering) -> Result<Self, Bad> {
        parser.space()?;
        let set = parser.sequence_set()?;
        parser.space()?;
        let mailbox = parser.mailbox()?;
        Ok(Copy { numbering, set, mailbox })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::cmd::Command;
    use crate::imap::cmd::tests::{command, refusal};

    #[test]
    fn grammar() {
        for input in ["COPY", "COPY 1", "COPY a 1", "COPY 1 a b", "COPY 1, a", "UID COPY 1"] {
            refusal(input);
        }
        let copy = |numbering, set: &str| {
            let set = RawSet::new(set.as_bytes()).unwrap();
            Command::Copy(Copy { numbering, set, mailbox: MailboxName::new("a").unwrap() })
        };
        assert_eq!(command("COPY 1:3 a"), copy(Numbering::Sequence, "1:3"));
        assert_eq!(command("UID COPY * {1+}\r\na"), copy(Numbering::Uid, "*"));
    }
}
