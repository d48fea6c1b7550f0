//! LSUB (RFC 3501 §6.3.9), which LIST (SUBSCRIBED) replaces.

use crate::imap::pattern::Pattern;
use crate::imap::wire::bad::Bad;
use crate::imap::wire::parser::Parser;

/// `LSUB reference pattern`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lsub {
    /// Which subscribed names.
    pub pattern: Pattern,
}

impl Lsub {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>) -> Result<Self, Bad> {
        parser.space()?;
        let reference = parser.mailbox_prefix()?;
        parser.space()?;
        let pattern = parser.list_mailbox()?;
        Ok(Lsub { pattern: Pattern::new(&reference, &pattern) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::cmd::Command;
    use crate::imap::cmd::tests::{command, refusal};

    #[test]
    fn grammar() {
        for input in ["LSUB", "LSUB \"\"", "LSUB \"\" (a b)", "LSUB () \"\" *", "LSUB \"\" * RETURN ()"] {
            refusal(input);
        }
        assert_eq!(command("LSUB a/ %"), Command::Lsub(Lsub { pattern: Pattern::new("a/", "%") }));
    }
}
