//! EXPUNGE (RFC 3501 §6.4.3) and UID EXPUNGE (RFC 4315 §2.1).

use crate::imap::answer::{Done, Fail, Outcome};
use crate::imap::progress::Progress;
use crate::imap::selected::{Access, Selected};
use crate::imap::session::Session;
use crate::imap::wire::bad::Bad;
use crate::imap::wire::parser::Parser;
use crate::imap::wire::set::{Numbering, RawSet};
use crate::imap::wire::unit::Tag;
use crate::intake::House;
use crate::mail::{Rights, UidSet};
use crate::net::out::Out;
use crate::store::change::Which;
use crate::store::view::DELETED;

/// Messages removed in one statement.
const LOCKED_AT_ONCE: usize = 2000;

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
    pub async fn run(self, tag: &Tag, session: &mut Session, out: &mut Out<'_>) -> Outcome {
        let mut progress = Progress::new(tag, &session.config());
        let (house, _, selected) = session.at_work()?;
        selected.writable()?;
        selected.needs(Rights::EXPUNGE)?;
        let mut marked = marked(selected);
        if let Some(set) = &self.uids {
            let named: UidSet = selected.uids(set, Numbering::Uid)?.into_iter().collect();
            marked.retain(|&uid| named.contains(uid));
        }
        selected.removes();
        for (some, done) in in_parts(&marked) {
            remove(&house, selected, some).await?;
            progress.at(done, marked.len() as u64, out).await?;
        }
        Ok(Done::ok("expunged"))
    }
}

/// CLOSE (RFC 3501 §6.4.2): removes what is marked, says nothing of it, and leaves the mailbox. Who may not expunge leaves it
/// all the same (RFC 4314 §4).
pub async fn close(session: &mut Session) -> Outcome {
    let (house, _, selected) = session.at_work()?;
    if selected.access == Access::ReadWrite && selected.rights.contains(Rights::EXPUNGE) {
        for (some, _) in in_parts(&marked(selected)) {
            remove(&house, selected, some).await?;
        }
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

/// Some messages at a time, as the mailbox is locked meanwhile; with each part, how many there are to its end.
fn in_parts(marked: &[u32]) -> impl Iterator<Item = (&[u32], u64)> {
    marked.chunks(LOCKED_AT_ONCE).scan(0, |done, some| {
        *done += some.len() as u64;
        Some((some, *done))
    })
}

/// Removes messages, as far as they are still marked.
async fn remove(house: &House, selected: &Selected, marked: &[u32]) -> Result<(), Fail> {
    house.store.expunge(selected.account, selected.mailbox, marked, Which::Deleted).await?;
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
