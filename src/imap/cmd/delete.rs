//! DELETE (RFC 3501 §6.3.4).

use super::enable::Extension;
use super::list::{Shown, write_shown};
use crate::imap::answer::{Done, Outcome};
use crate::imap::session::{Session, State};
use crate::imap::watch::Deed;
use crate::imap::wire::bad::Bad;
use crate::imap::wire::code::{Code, Condition};
use crate::imap::wire::name::MailboxName;
use crate::imap::wire::parser::Parser;
use crate::imap::wire::reply::untagged;
use crate::mail::Rights;
use crate::net::out::Out;

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

impl Delete {
    /// Deletes the mailbox with all that is in it. When it is the selected one, none is selected any more.
    pub async fn run(self, session: &mut Session, out: &mut Out<'_>) -> Outcome {
        let site = session.site(&self.mailbox).await?;
        site.needs(Rights::DELETE_MAILBOX)?;
        let gone = session.house.store.delete_mailbox(site.account, &site.name).await?;
        if matches!(&session.state, State::Selected(_, selected) if selected.mailbox == gone) {
            session.unselect();
            let text = "the selected mailbox has been deleted";
            untagged(&mut out.buffer(), Condition::Ok, Some(Code::Closed), text);
        }
        if let (Some(written), true) = (self.mailbox.written(), session.enabled.has(Extension::Rev2)) {
            let name = self.mailbox.as_str();
            let shown = Shown { exists: false, old_name: Some(written), ..Shown::mailbox(name) };
            write_shown(out, session.coding(), &shown);
        }
        session.did(Deed::Deleted(self.mailbox));
        Ok(Done::ok("mailbox deleted"))
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
