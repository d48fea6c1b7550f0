//! RENAME (RFC 3501 §6.3.5).

use super::enable::Extension;
use super::list::{Shown, write_shown};
use crate::imap::answer::{Done, Fail, Outcome};
use crate::imap::session::Session;
use crate::imap::watch::Deed;
use crate::imap::wire::bad::Bad;
use crate::imap::wire::code::Code;
use crate::imap::wire::name::MailboxName;
use crate::imap::wire::parser::Parser;
use crate::mail::Rights;
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
    /// Renames the mailbox and all below it; the owner's subscriptions follow. It stays its owner's.
    pub async fn run(self, session: &mut Session, out: &mut Out<'_>) -> Outcome {
        let from = session.site(&self.from).await?;
        from.needs(Rights::DELETE_MAILBOX)?;
        let to = session.building_site(&self.to).await?;
        if from.account != to.account {
            return Err(Fail::no(
                Code::Cannot,
                "a mailbox cannot change its owner: copy its messages instead",
            ));
        }
        if !from.personal && from.name == "INBOX" {
            return Err(Fail::no(Code::NoPerm, "only its owner can rename INBOX"));
        }
        session.house.store.rename_mailbox(from.account, &from.name, &to.name).await?;
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
