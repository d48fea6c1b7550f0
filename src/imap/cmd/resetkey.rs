//! RESETKEY (RFC 4467 §7): takes back all that GENURLAUTH has authorized.

use crate::imap::answer::{Done, Fail, Outcome, OwnedCode};
use crate::imap::cite::INTERNAL;
use crate::imap::session::Session;
use crate::imap::wire::bad::Bad;
use crate::imap::wire::code::Code;
use crate::imap::wire::name::MailboxName;
use crate::imap::wire::parser::Parser;

/// `RESETKEY [mailbox [mechanism …]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResetKey {
    /// Of which mailbox; of all, when absent.
    pub mailbox: Option<MailboxName>,
    /// For which mechanisms.
    pub mechanisms: Vec<String>,
}

impl ResetKey {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>) -> Result<Self, Bad> {
        let (mut mailbox, mut mechanisms) = (None, Vec::new());
        if parser.skip(b' ') {
            mailbox = Some(parser.mailbox()?);
            while parser.skip(b' ') {
                mechanisms.push(String::from_utf8_lossy(parser.atom()?).to_ascii_uppercase());
            }
        }
        Ok(ResetKey { mailbox, mechanisms })
    }

    /// Removes the keys; new ones are made when somebody authorizes a URL.
    pub async fn run(self, session: &mut Session) -> Outcome {
        let account = session.login()?.account;
        if self.mechanisms.iter().any(|mechanism| mechanism != INTERNAL) {
            return Err(Fail::No(None, "INTERNAL is the only mechanism there is".into()));
        }
        let mailbox = match &self.mailbox {
            Some(name) => Some(session.place(name).await?.mailbox.id),
            None => None,
        };
        session.house.store.remove_url_keys(account, mailbox).await?;
        // RFC 4467 §8: not where somebody could listen.
        if mailbox.is_some() && session.private() {
            return Ok(Done::with(OwnedCode::Plain(Code::UrlMech), "all URLs of the mailbox are invalid"));
        }
        Ok(Done::ok("they are invalid"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::cmd::Command;
    use crate::imap::cmd::tests::{command, refusal};

    #[test]
    fn grammar() {
        for input in ["RESETKEY ", "RESETKEY a ", "RESETKEY a (INTERNAL)", "RESETKEY \"\""] {
            refusal(input);
        }
        let reset = |mailbox: Option<&str>, mechanisms: &[&str]| {
            let mailbox = mailbox.map(|name| MailboxName::new(name).unwrap());
            let mechanisms = mechanisms.iter().map(|mechanism| (*mechanism).to_owned()).collect();
            Command::ResetKey(ResetKey { mailbox, mechanisms })
        };
        assert_eq!(command("RESETKEY"), reset(None, &[]));
        assert_eq!(command("resetkey inbox"), reset(Some("INBOX"), &[]));
        assert_eq!(
            command("RESETKEY INBOX internal XSAMPLE"),
            reset(Some("INBOX"), &["INTERNAL", "XSAMPLE"])
        );
    }
}
