//! MOVE and UID MOVE (RFC 6851).

use super::copy::copy_uid;
use crate::imap::answer::{Done, Fail, Outcome};
use crate::imap::progress::Progress;
use crate::imap::session::Session;
use crate::imap::wire::bad::Bad;
use crate::imap::wire::code::{Code, Condition};
use crate::imap::wire::name::MailboxName;
use crate::imap::wire::parser::Parser;
use crate::imap::wire::reply;
use crate::imap::wire::set::{Numbering, RawSet};
use crate::imap::wire::unit::Tag;
use crate::mail::Rights;
use crate::net::out::Out;

/// `MOVE set mailbox`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// What the set's numbers are.
    pub numbering: Numbering,
    /// Which messages.
    pub set: RawSet,
    /// Where to.
    pub mailbox: MailboxName,
}

impl Move {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>, numbering: Numbering) -> Result<Self, Bad> {
        parser.space()?;
        let set = parser.sequence_set()?;
        parser.space()?;
        let mailbox = parser.mailbox()?;
        Ok(Move { numbering, set, mailbox })
    }

    /// Moves all of the messages, or none. RFC 6851 §4.3: the new UIDs are told before the messages are gone from here,
    /// which the end of the command announces. RFC 6851 §4.4: it takes the rights of COPY, of marking and of EXPUNGE.
    pub async fn run(self, tag: &Tag, session: &mut Session, out: &mut Out<'_>) -> Outcome {
        let mut progress = Progress::new(tag, &session.config());
        let selected = session.selected()?;
        selected.writable()?;
        selected.needs(Rights::DELETE_MESSAGES | Rights::EXPUNGE)?;
        let target = session.target(&self.mailbox).await?;
        let (house, _, selected) = session.at_work()?;
        let uids = selected.uids(&self.set, self.numbering)?;
        // Nothing would be gained by new UIDs but work for all who look at the mailbox.
        if target.mailbox.id == selected.mailbox {
            return Err(Fail::no(Code::Cannot, "the messages are in that mailbox already"));
        }
        if uids.is_empty() {
            return Ok(Done::ok("there was nothing to move"));
        }
        let (from, to) = ((selected.account, selected.mailbox), (target.account, target.mailbox.id));
        if from.0 != to.0 {
            let size = house.store.sum_sizes(from.0, from.1, &uids).await?;
            if !house.directory.room(to.0).await?.takes(uids.len() as u64, size) {
                return Err(Fail::no(Code::OverQuota, "the mailbox is full: delete something first"));
            }
        }
        selected.removes();
        let moving = house.store.relocate(from, &uids, to, target.rights.flags());
        match progress.during(moving, uids.len() as u64, out).await?? {
            Some(moved) => {
                session.made(to, moved.pairs.iter().map(|&(_, uid)| uid));
                let code = copy_uid(&moved);
                reply::untagged(&mut out.buffer(), Condition::Ok, Some(code.borrow()), "moved");
                Ok(Done::ok("moved"))
            }
            None => Err(Fail::no(Code::ExpungeIssued, "the messages have been expunged")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::cmd::Command;
    use crate::imap::cmd::tests::{command, refusal};

    #[test]
    fn grammar() {
        for input in ["MOVE", "MOVE 1", "MOVE a 1", "MOVE 1 a b", "MOVE 1, a", "UID MOVE 1"] {
            refusal(input);
        }
        let relocate = |numbering, set: &str| {
            let set = RawSet::new(set.as_bytes()).unwrap();
            Command::Move(Move { numbering, set, mailbox: MailboxName::new("a").unwrap() })
        };
        assert_eq!(command("MOVE 1:3 a"), relocate(Numbering::Sequence, "1:3"));
        assert_eq!(command("UID MOVE * {1+}\r\na"), relocate(Numbering::Uid, "*"));
    }
}
