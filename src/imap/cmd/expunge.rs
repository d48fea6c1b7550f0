//! EXPUNGE (RFC 3501 §6.4.3) and UID EXPUNGE (RFC 4315 §2.1).

use crate::imap::answer::{Done, Outcome};
use crate::imap::selected::Access;
use crate::imap::session::Session;
use crate::imap::wire::bad::Bad;
use crate::imap::wire::parser::Parser;
use crate::imap::wire::set::{Numbering, RawSet};
use crate::store::change::Which;
use crate::store::view::DELETED;

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

/// CLOSE (RFC 3501 §6.4.2): removes what is marked, says nothing of it, and leaves the mailbox.
pub async fn close(session: &mut Session) -> Outcome {
    let (house, _, selected) = session.at_work()?;
    if selected.access == Access::ReadWrite {
        let marked: Vec<u32> =
            selected.view().iter().filter(|(_, e)| e.has(DELETED)).map(|(_, e)| e.uid()).collect();
        if !marked.is_empty() {
            house.store.expunge(selected.account, selected.mailbox, &marked, Which::Deleted).await?;
        }
    }
    session.unselect();
    Ok(Done::ok("closed"))
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
