//! SELECT and EXAMINE (RFC 3501 §6.3.1, §6.3.2), with CONDSTORE (RFC 7162 §3.1.8).

use crate::imap::answer::{Done, Fail, Outcome, OwnedCode};
use crate::imap::place::Place;
pub use crate::imap::selected::Access;
use crate::imap::selected::Selected;
use crate::imap::session::{Session, Unselected};
use crate::imap::wire::bad::Bad;
use crate::imap::wire::code::{Code, Condition};
use crate::imap::wire::name::MailboxName;
use crate::imap::wire::parser::Parser;
use crate::imap::wire::reply::{Line, untagged};
use crate::intake::House;
use crate::mail::Rights;
use crate::net::out::Out;
use crate::store::mailbox::MailboxError;
use crate::store::object_id::mailbox_id;

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

impl Select {
    /// Opens the mailbox and says what is in it. What was selected before is closed in any case: after a SELECT that
    /// fails no mailbox is selected (RFC 3501 §6.3.1).
    pub async fn run(self, session: &mut Session, out: &mut Out<'_>) -> Outcome {
        session.login()?;
        if session.unselect() == Unselected::Mailbox {
            let text = "the mailbox selected before is closed";
            untagged(&mut out.buffer(), Condition::Ok, Some(Code::Closed), text);
        }
        if self.condstore {
            session.enable_condstore();
        }
        let place = session.place(&self.mailbox).await?;
        place.needs(Rights::READ)?;
        let selected = self.open(&session.house, place).await?;
        describe(&selected, out);
        // RFC 4467 §8: not where somebody could listen.
        if session.private() {
            let text = "URLs can be authorized so";
            untagged(&mut out.buffer(), Condition::Ok, Some(Code::UrlMech), text);
        }
        session.select(selected);
        let code = match self.access {
            Access::ReadWrite => Code::ReadWrite,
            Access::ReadOnly => Code::ReadOnly,
        };
        Ok(Done::with(OwnedCode::Plain(code), "mailbox selected"))
    }

    async fn open(&self, house: &House, place: Place) -> Result<Selected, Fail> {
        let store = &house.store;
        let Place { account, mailbox, rights } = place;
        // Taken before the view is read: a message that comes in between is recent here and for the next session too,
        // which RFC 3501 §2.3.2 prefers to its being recent for nobody.
        let recent_from = match self.access {
            Access::ReadWrite => {
                store.take_recent(account, mailbox.id).await?.ok_or(MailboxError::Missing)?
            }
            // RFC 3501 §6.3.2: EXAMINE must not take \Recent away from anybody.
            Access::ReadOnly => mailbox.recent_uid,
        };
        let open = store.views.open(account, mailbox.id).await?.ok_or(MailboxError::Missing)?;
        Ok(Selected::new(open, self.access, rights, recent_from))
    }
}

fn describe(selected: &Selected, out: &mut Out<'_>) {
    let view = selected.view();
    selected.write_flags(out);
    Line::untagged(&mut out.buffer()).number(view.len()).raw(" EXISTS");
    Line::untagged(&mut out.buffer()).number(selected.recent()).raw(" RECENT");
    let mut say = |code, text| untagged(&mut out.buffer(), Condition::Ok, Some(code), text);
    if let Some(seq) = view.first_unseen_seq() {
        say(Code::Unseen(seq), "first unseen message");
    }
    say(Code::UidValidity(view.uid_validity()), "UIDs are valid");
    say(Code::UidNext(view.uid_next()), "UID of the next message");
    say(Code::HighestModSeq(view.highest_modseq()), "number of the last change");
    say(Code::MailboxId(&mailbox_id(selected.mailbox)), "id of the mailbox, whatever its name");
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
