//! SUBSCRIBE and UNSUBSCRIBE (RFC 3501 §6.3.6, §6.3.7).

use crate::imap::answer::{Done, Outcome};
use crate::imap::namespace::is_foreign;
use crate::imap::session::Session;
use crate::imap::watch::Deed;
use crate::imap::wire::bad::Bad;
use crate::imap::wire::name::MailboxName;
use crate::imap::wire::parser::Parser;
use crate::mail::Rights;

/// `SUBSCRIBE mailbox`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe {
    /// The mailbox.
    pub mailbox: MailboxName,
}

/// `UNSUBSCRIBE mailbox`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsubscribe {
    /// The mailbox; it need not exist any more.
    pub mailbox: MailboxName,
}

impl Subscribe {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>) -> Result<Self, Bad> {
        parser.space()?;
        Ok(Subscribe { mailbox: parser.mailbox()? })
    }
}

impl Unsubscribe {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>) -> Result<Self, Bad> {
        parser.space()?;
        Ok(Unsubscribe { mailbox: parser.mailbox()? })
    }
}

impl Subscribe {
    /// Subscribes. One's own mailbox need not exist: it may come, or come back. One of others takes the right to look it up
    /// (RFC 4314 §4), or the answer would say what there is.
    pub async fn run(self, session: &mut Session) -> Outcome {
        let account = session.login()?.account;
        if is_foreign(self.mailbox.as_str()) {
            session.place(&self.mailbox).await?.needs(Rights::LOOKUP)?;
        }
        session.house.store.subscribe(account, self.mailbox.as_str()).await?;
        session.did(Deed::Subscribed(self.mailbox));
        Ok(Done::ok("subscribed"))
    }
}

impl Unsubscribe {
    /// Takes the subscription back; there need not be one.
    pub async fn run(self, session: &mut Session) -> Outcome {
        let account = session.login()?.account;
        session.house.store.unsubscribe(account, self.mailbox.as_str()).await?;
        session.did(Deed::Unsubscribed(self.mailbox));
        Ok(Done::ok("unsubscribed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::cmd::Command;
    use crate::imap::cmd::tests::{command, refusal};

    #[test]
    fn grammar() {
        for input in ["SUBSCRIBE", "SUBSCRIBE a b", "SUBSCRIBE a%", "UNSUBSCRIBE", "UNSUBSCRIBE a*"] {
            refusal(input);
        }
        let mailbox = MailboxName::new("a").unwrap();
        assert_eq!(command("SUBSCRIBE a"), Command::Subscribe(Subscribe { mailbox: mailbox.clone() }));
        assert_eq!(command("UNSUBSCRIBE a"), Command::Unsubscribe(Unsubscribe { mailbox }));
    }
}
