//! DELETE (RFC 3501 §6.3.4).

use crate::imap::wire::bad::Bad;
use crate::imap::wire::name::MailboxName;
use crate::imap::wire::parser::Parser;

/// `DELETE mailbox`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delete {
    /// The mailbox. INBOX is refused when the command runs.
    pub mailbox: MailboxName,
}

impl Delete {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>) -> Result<Self, Bad> {
        parser.space()?;
        Ok(Delete { mailbox: parser.mailbox()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::cmd::Command;
    use crate::imap::cmd::tests::{command, refusal};

    #[test]
    fn grammar() {
        for input in ["DELETE", "DELETE ", "DELETE a b", "DELETE (a)", "DELETE a/"] {
            refusal(input);
        }
        assert_eq!(
            command("DELETE a/b"),
            Command::Delete(Delete { mailbox: MailboxName::new("a/b").unwrap() })
        );
    }
}
