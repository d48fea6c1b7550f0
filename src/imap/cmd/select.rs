//! SELECT and EXAMINE (RFC 3501 §6.3.1, §6.3.2), with CONDSTORE and QRESYNC (RFC 7162 §3.1.8, §3.2.5).

use super::enable::Extension;
use super::list::{Shown, write_shown};
use crate::imap::answer::{Done, Fail, Outcome, OwnedCode};
use crate::imap::place::Place;
use crate::imap::resync::{Asked, Resync};
pub use crate::imap::selected::Access;
use crate::imap::selected::Selected;
use crate::imap::session::{Session, Unselected};
use crate::imap::wire::bad::Bad;
use crate::imap::wire::code::{Code, Condition};
use crate::imap::wire::name::MailboxName;
use crate::imap::wire::parser::Parser;
use crate::imap::wire::reply::{Line, untagged};
use crate::mail::Rights;
use crate::net::out::Out;
use crate::store::mailbox::MailboxError;
use crate::store::object_id::mailbox_id;

/// `SELECT mailbox [(parameter …)]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Select {
    /// The mailbox.
    pub mailbox: MailboxName,
    /// SELECT or EXAMINE.
    pub access: Access,
    /// The client enables CONDSTORE with it.
    pub condstore: bool,
    /// What the client knows of the mailbox, to be told what has changed since.
    pub resync: Option<Resync>,
}

impl Select {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>, access: Access) -> Result<Self, Bad> {
        parser.space()?;
        let mailbox = parser.mailbox()?;
        let mut select = Select { mailbox, access, condstore: false, resync: None };
        if parser.skip(b' ') && parser.list_of(|parser| select.parameter(parser))?.is_empty() {
            return Err(parser.bad("expected a SELECT parameter"));
        }
        Ok(select)
    }

    fn parameter(&mut self, parser: &mut Parser<'_>) -> Result<(), Bad> {
        if parser.skip_word("CONDSTORE") {
            self.condstore = true;
        } else if parser.skip_word("QRESYNC") {
            parser.space()?;
            self.resync = Some(Resync::parse(parser)?);
        } else {
            return Err(parser.bad("unknown SELECT parameter"));
        }
        Ok(())
    }
}

impl Select {
    /// Opens the mailbox and says what is in it. What was selected before is closed in any case: after a SELECT that
    /// fails no mailbox is selected (RFC 3501 §6.3.1).
    pub async fn run(self, session: &mut Session, out: &mut Out<'_>) -> Outcome {
        session.login()?;
        if self.resync.is_some() && !session.enabled.has(Extension::QResync) {
            return Err(Fail::bad("QRESYNC must be enabled first"));
        }
        if session.unselect() == Unselected::Mailbox {
            let text = "the mailbox selected before is closed";
            untagged(&mut out.buffer(), Condition::Ok, Some(Code::Closed), text);
        }
        if self.condstore {
            session.enable_condstore();
        }
        let place = session.place(&self.mailbox).await?;
        place.needs(Rights::READ)?;
        let access = self.access_with(place.rights);
        let special_use = place.mailbox.special_use.clone();
        let selected = open(session, place, access).await?;
        // RFC 4467 §8: not where somebody could listen.
        let private = session.private();
        session.select(selected);
        let (rev2, coding) = (session.enabled.has(Extension::Rev2), session.coding());
        let (house, _, selected) = session.at_work()?;
        describe(selected, out);
        if private {
            let text = "URLs can be authorized so";
            untagged(&mut out.buffer(), Condition::Ok, Some(Code::UrlMech), text);
        }
        if rev2 {
            let special_use = special_use.as_deref();
            let old_name = self.mailbox.written();
            let name = self.mailbox.as_str();
            write_shown(out, coding, &Shown { special_use, old_name, ..Shown::mailbox(name) });
        }
        if let Some(resync) = &self.resync
            && resync.uid_validity == selected.view().uid_validity()
        {
            Asked::of(resync, selected.view()).answer(&house, selected, out).await?;
        }
        let code = match access {
            Access::ReadWrite => Code::ReadWrite,
            Access::ReadOnly => Code::ReadOnly,
        };
        Ok(Done::with(OwnedCode::Plain(code), "mailbox selected"))
    }

    /// RFC 4314 §5.2: whoever may change nothing has opened the mailbox for reading.
    fn access_with(&self, rights: Rights) -> Access {
        let changing =
            Rights::INSERT | Rights::EXPUNGE | Rights::SEEN | Rights::WRITE | Rights::DELETE_MESSAGES;
        if rights.intersects(changing) { self.access } else { Access::ReadOnly }
    }
}

async fn open(session: &Session, place: Place, access: Access) -> Result<Selected, Fail> {
    let store = &session.house.store;
    let Place { account, mailbox, rights } = place;
    // Taken before the view is read: what comes in between is for whoever takes it next.
    let recent = match access {
        // Nothing is recent in IMAP4rev2, so that what is stays so for others.
        _ if session.enabled.has(Extension::Rev2) => 0..0,
        // What has been shown to somebody already needs no taking.
        Access::ReadWrite if mailbox.recent_uid >= mailbox.uid_next => mailbox.recent_uid..mailbox.recent_uid,
        Access::ReadWrite => store.take_recent(account, mailbox.id).await?.ok_or(MailboxError::Missing)?,
        // RFC 3501 §6.3.2: EXAMINE must not take \Recent away from anybody.
        Access::ReadOnly => mailbox.recent_uid..u32::MAX,
    };
    let known = Some(mailbox.highest_modseq);
    let open = store.views.open(account, mailbox.id, known).await?.ok_or(MailboxError::Missing)?;
    Ok(Selected::new(open, access, rights, recent))
}

fn describe(selected: &Selected, out: &mut Out<'_>) {
    let view = selected.view();
    selected.write_flags(out);
    Line::untagged(&mut out.buffer()).number(view.len()).raw(" EXISTS");
    let rev2 = selected.enabled.has(Extension::Rev2);
    if !rev2 {
        Line::untagged(&mut out.buffer()).number(selected.recent()).raw(" RECENT");
    }
    let mut say = |code, text| untagged(&mut out.buffer(), Condition::Ok, Some(code), text);
    // RFC 9051 has UNSEEN no more, and RFC 9586 no sequence numbers.
    if let Some(seq) = view.first_unseen_seq().filter(|_| !rev2 && !selected.enabled.has(Extension::UidOnly))
    {
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
    use crate::mail::UidSet;

    #[test]
    fn grammar() {
        for input in [
            "SELECT",
            "SELECT ",
            "SELECT a b",
            "SELECT a ()",
            "SELECT a (QRESYNC)",
            "SELECT a (QRESYNC (1))",
            "SELECT a (QRESYNC (0 2))",
            "SELECT a (QRESYNC (1 0))",
            "SELECT a (QRESYNC (1 2 1:*))",
            "SELECT a (QRESYNC (1 2 1:3 (1)))",
            "SELECT a (QRESYNC (1 2 1:3 (1 *)))",
            "SELECT a (QRESYNC (1 2 1:3 (1:2 4)))",
            "SELECT a (QRESYNC (1 2 1:3 (2,1 4,5)))",
            "SELECT a (QRESYNC (1 2 1:3 (1 4) 5))",
            "SELECT a (QRESYNC (1 2)",
            "SELECT a (CONDSTORE",
            "SELECT a*",
            "SELECT \"\"",
        ] {
            refusal(input);
        }
        let select = |access, condstore| {
            let mailbox = MailboxName::new("INBOX").unwrap();
            Command::Select(Select { mailbox, access, condstore, resync: None })
        };
        assert_eq!(command("SELECT inbox"), select(Access::ReadWrite, false));
        assert_eq!(command("EXAMINE \"INBOX\""), select(Access::ReadOnly, false));
        assert_eq!(command("select {5}\r\nInbox (condstore)"), select(Access::ReadWrite, true));
        let resync = |known: Option<&str>, matched: Option<(&str, &str)>| {
            let uids = |text: &str| UidSet::parse(text.as_bytes()).unwrap();
            let resync = Resync {
                uid_validity: 67_890_007,
                modseq: 90_060_115_194_045_000,
                known: known.map(uids),
                matched: matched.map(|(seqs, of)| uids(seqs).iter().zip(uids(of).iter()).collect()),
            };
            let mailbox = MailboxName::new("INBOX").unwrap();
            Command::Select(Select {
                mailbox,
                access: Access::ReadWrite,
                condstore: false,
                resync: Some(resync),
            })
        };
        let select = "SELECT INBOX (QRESYNC (67890007 90060115194045000";
        assert_eq!(command(format!("{select}))")), resync(None, None));
        assert_eq!(command(format!("{select} 41:211,214:541))")), resync(Some("41:211,214:541"), None));
        assert_eq!(command(format!("{select} (1,3 2,5)))")), resync(None, Some(("1,3", "2,5"))));
        assert_eq!(
            command(format!("{select} 1:29997 (5000,9990:9991 15000,29970,29973)))")),
            resync(Some("1:29997"), Some(("5000,9990:9991", "15000,29970,29973")))
        );
    }
}
