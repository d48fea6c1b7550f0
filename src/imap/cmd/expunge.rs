//! EXPUNGE (RFC 3501 §6.4.3) and UID EXPUNGE (RFC 4315 §2.1).

use crate::imap::answer::{Done, Fail, Outcome};
use crate::imap::selected::{Access, Selected};
use crate::imap::session::Session;
use crate::imap::wire::bad::Bad;
use crate::imap::wire::parser::Parser;
use crate::imap::wire::set::{Numbering, RawSet};
use crate::intake::House;
use crate::mail::UidSet;
use crate::store::change::Which;
use crate::store::view::DELETED;

/// Messages removed in one statement.
const LOCKED_AT_ONCE: usize = 5000;

/// `EXPUNGE` or `UID EXPUNGE set`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expunge {
    /// The uids among which deleted messages are removed; all, when absent.
    pub uids: Option<RawSet>,
}

impl Expunge {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>, numbering: Numbering) -> Result<Self, Bad> {
        if numbering == Numbering::Sequence {
            return Ok(Expunge { uids: None });
        }
        parser.space()?;
        Ok(Expunge { uids: Some(parser.sequence_set()?) })
    }
}

impl Expunge {
    /// Removes what is marked; the end of the command announces it.
    pub async fn run(self, session: &mut Session) -> Outcome {
        let (house, _, selected) = session.at_work()?;
        selected.writable()?;
        let mut marked = marked(selected);
        if let Some(set) = &self.uids {
            let named: UidSet = selected.uids(set, Numbering::Uid)?.into_iter().collect();
            marked.retain(|&uid| named.contains(uid));
        }
        selected.removes();
        remove(&house, selected, &marked).await?;
        Ok(Done::ok("expunged"))
    }
}

/// CLOSE (RFC 3501 §6.4.2): removes what is marked, says nothing of it, and leaves the mailbox.
pub async fn close(session: &mut Session) -> Outcome {
    let (house, _, selected) = session.at_work()?;
    if selected.access == Access::ReadWrite {
        remove(&house, selected, &marked(selected)).await?;
    }
    session.unselect();
    Ok(Done::ok("closed"))
}

/// The messages that the client sees marked as deleted.
fn marked(selected: &Selected) -> Vec<u32> {
    if selected.view().deleted() == 0 {
        return Vec::new();
    }
    selected.view().iter().filter(|(_, e)| e.has(DELETED)).map(|(_, e)| e.uid()).collect()
}

/// Removes messages, as far as they are still marked; some at a time, as the mailbox is locked meanwhile.
async fn remove(house: &House, selected: &Selected, marked: &[u32]) -> Result<(), Fail> {
    for some in marked.chunks(LOCKED_AT_ONCE) {
        house.store.expunge(selected.account, selected.mailbox, some, Which::Deleted).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::cmd::Command;
    use crate::imap::cmd::tests::{command, refusal};

    #[test]
    fn grammar() {
        for input in ["EXPUNGE 1", "UID EXPUNGE", "UID EXPUNGE ", "UID EXPUNGE 0"] {
            refusal(input);
        }
        assert_eq!(command("EXPUNGE"), Command::Expunge(Expunge { uids: None }));
        assert_eq!(command("UID EXPUNGE 3:*"), Command::Expunge(Expunge { uids: RawSet::new(b"3:*") }));
    }
}
