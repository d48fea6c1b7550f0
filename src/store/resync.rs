//! What a client has missed: which messages have left a mailbox since a modseq that it knows (RFC 7162 §3.2).

use super::Store;
use crate::db::Error;
use crate::mail::{AccountId, MailboxId, UidSet};
use crate::sql;

const VANISHED: &str = sql!("store/vanished_since");

/// Which UIDs have left a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Vanished {
    /// These, and no others.
    Known(UidSet),
    /// Some of the deletions are forgotten: whatever is not there may be among them.
    Forgotten,
}

impl Store {
    /// What has left a mailbox by changes above modseq `since`, up to `until`.
    pub async fn vanished(
        &self,
        (account, mailbox): (AccountId, MailboxId),
        since: u64,
        until: u64,
    ) -> Result<Vanished, Error> {
        let (since, until) = (clamp(since), clamp(until));
        let rows = self.control.db.query(VANISHED, &[&account.0, &mailbox.0, &since, &until]).await?;
        let mut ranges = rows.iter().map(|row| (row.get::<_, i64>(0) as u32, row.get::<_, i64>(1) as u32));
        match ranges.next() {
            Some((0, 0)) => Ok(Vanished::Known(ranges.map(|(first, last)| first..=last).collect())),
            // No row at all: the mailbox is gone, and what is left of it is the client's to find out.
            _ => Ok(Vanished::Forgotten),
        }
    }
}

fn clamp(modseq: u64) -> i64 {
    i64::try_from(modseq).unwrap_or(i64::MAX)
}
