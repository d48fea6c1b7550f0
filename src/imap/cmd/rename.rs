//! RENAME (RFC 3501 §6.3.5).

use super::enable::Extension;
use super::list::{Shown, write_shown};
use crate::imap::answer::{Done, Outcome};
use crate::imap::session::Session;
use crate::imap::watch::Deed;
use crate::imap::wire::bad::Bad;
use crate::imap::wire::name::MailboxName;
use crate::imap::wire::parser::Parser;
use crate::net::out::Out;

/// `RENAME from to`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rename {
    /// The mailbox; of INBOX it is the messages that move.
    pub from: MailboxName,
    /// Its new name.
    pub to: MailboxName,
}

impl Rename {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>) -> Result<Self, Bad> {
        parser.space()?;
        let from = parser.mailbox()?;
        parser.space()?;
        let to = parser.mailbox_to_create()?;
        Ok(Rename { from, to })
    }
}

impl Rename {
    /// Renames the mailbox and all below it. Subscriptions are names, and stay as they are.
    pub async fn run(self, session: &mut Session, out: &mut Out<'_>) -> Outcome {
        let account = session.login()?.account;
        session.house.store.rename_mailbox(account, self.from.as_str(), self.to.as_str()).await?;
        // RFC 9051 §6.3.9.7. INBOX stays what it is.
        if session.enabled.has(Extension::Rev2) && !self.from.is_inbox() {
            let old_name = self.from.written().unwrap_or(self.from.as_str());
            let shown = Shown { old_name: Some(old_name), ..Shown::mailbox(self.to.as_str()) };
            write_shown(out, session.coding(), &shown);
        }
        session.did(Deed::Renamed(self.from, self.to));
        Ok(Done::ok("mailbox renamed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::cmd::Command;
    use crate::imap::cmd::tests::{command, refusal};

    #[test]
    fn grammar() {
        for input in ["RENAME", "RENAME a", "RENAME a ", "RENAME a b c", "RENAME a \"\""] {
            refusal(input);
        }
        let name = |name| MailboxName::new(name).unwrap();
        assert_eq!(
            command("RENAME inbox \"a b\""),
            Command::Rename(Rename { from: name("INBOX"), to: name("a b") })
        );
    }
}
