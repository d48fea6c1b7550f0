//! COPY and UID COPY (RFC 3501 §6.4.7).

use crate::imap::answer::{Done, Fail, Outcome, OwnedCode};
use crate::imap::progress::Progress;
use crate::imap::session::Session;
use crate::imap::wire::bad::Bad;
use crate::imap::wire::code::Code;
use crate::imap::wire::name::MailboxName;
use crate::imap::wire::parser::Parser;
use crate::imap::wire::set::{Numbering, RawSet};
use crate::imap::wire::unit::Tag;
use crate::mail::UidSet;
use crate::net::out::Out;
use crate::store::change::{Copied, Copying};

/// `COPY set mailbox`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// What the set's numbers are.
    pub numbering: Numbering,
    /// Which messages.
    pub set: RawSet,
    /// Where to.
    pub mailbox: MailboxName,
}

impl Copy {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>, numbering: Numbering) -> Result<Self, Bad> {
        parser.space()?;
        let set = parser.sequence_set()?;
        parser.space()?;
        let mailbox = parser.mailbox()?;
        Ok(Copy { numbering, set, mailbox })
    }

    /// Copies all of the messages, or none. They count for the owner of the target, and only those flags go along that the
    /// client may set there (RFC 4314 §4).
    pub async fn run(self, tag: &Tag, session: &mut Session, out: &mut Out<'_>) -> Outcome {
        let mut progress = Progress::new(tag, &session.config());
        let target = session.target(&self.mailbox).await?;
        let (house, _, selected) = session.at_work()?;
        let uids = selected.uids(&self.set, self.numbering)?;
        if uids.is_empty() {
            return Ok(Done::ok("there was nothing to copy"));
        }
        let (account, mailbox) = (selected.account, selected.mailbox);
        let (from, to) = ((account, mailbox), (target.account, target.mailbox.id));
        let copying = house.store.copy(from, &uids, to, target.rights.flags());
        match progress.during(copying, uids.len() as u64, out).await?? {
            Copying::Done(copied) => {
                session.made(to, copied.pairs.iter().map(|&(_, uid)| uid));
                Ok(Done::with(copy_uid(&copied), "copied"))
            }
            Copying::NoRoom => Err(Fail::no(Code::OverQuota, "the mailbox is full: delete something first")),
            Copying::Nothing => Err(Fail::no(Code::ExpungeIssued, "the messages have been expunged")),
        }
    }
}

/// COPYUID (RFC 4315 §3). Both lists ascend, so that as sets they still match one by one.
pub(super) fn copy_uid(copied: &Copied) -> OwnedCode {
    let from: UidSet = copied.pairs.iter().map(|&(from, _)| from).collect();
    let to: UidSet = copied.pairs.iter().map(|&(_, to)| to).collect();
    OwnedCode::CopyUid(copied.uid_validity, from.to_string(), to.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::cmd::Command;
    use crate::imap::cmd::tests::{command, refusal};

    #[test]
    fn old_and_new_uids_match_in_order() {
        let copied = Copied { uid_validity: 7, pairs: vec![(3, 10), (4, 11), (9, 12)] };
        assert_eq!(copy_uid(&copied), OwnedCode::CopyUid(7, "3:4,9".into(), "10:12".into()));
    }

    #[test]
    fn grammar() {
        for input in ["COPY", "COPY 1", "COPY a 1", "COPY 1 a b", "COPY 1, a", "UID COPY 1"] {
            refusal(input);
        }
        let copy = |numbering, set: &str| {
            let set = RawSet::new(set.as_bytes()).unwrap();
            Command::Copy(Copy { numbering, set, mailbox: MailboxName::new("a").unwrap() })
        };
        assert_eq!(command("COPY 1:3 a"), copy(Numbering::Sequence, "1:3"));
        assert_eq!(command("UID COPY * {1+}\r\na"), copy(Numbering::Uid, "*"));
    }
}
