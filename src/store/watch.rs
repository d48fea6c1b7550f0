//! What sessions ask that watch mailboxes which they have not selected (RFC 5465).

use super::Store;
use crate::db::Error;
use crate::mail::{AccountId, MailboxId};
use crate::sql;

const NEWS: &str = sql!("store/mailbox_news");
const METADATA: &str = sql!("store/metadata_marks");

/// A mailbox as somebody knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Whose it is.
    pub account: AccountId,
    /// Which it is.
    pub mailbox: MailboxId,
    /// HIGHESTMODSEQ.
    pub highest_modseq: u64,
    /// UIDNEXT.
    pub uid_next: u32,
}

/// What has happened in a mailbox since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MailboxNews {
    /// How it is now.
    pub now: Mark,
    /// UIDVALIDITY.
    pub uid_validity: u32,
    /// Messages that are there from the UIDNEXT on that was known.
    pub arrived: u32,
    /// Messages below it that have left.
    pub left: u32,
    /// Whether flags have changed.
    pub flags: bool,
    /// Whether more may have happened than that: what is counted must be counted anew.
    pub forgotten: bool,
}

/// An annotation, as far as one must know it to see that it has changed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Annotation {
    /// Whose mailbox it is; 0: the server's.
    pub account: AccountId,
    /// The mailbox; 0: none.
    pub mailbox: MailboxId,
    /// Its name as IMAP has it.
    pub entry: String,
}

impl Store {
    /// What has happened in these mailboxes; those in which nothing has, or which are gone, are not among the answers.
    pub async fn mailbox_news(&self, known: &[Mark]) -> Result<Vec<MailboxNews>, Error> {
        let column = |value: fn(&Mark) -> i64| known.iter().map(value).collect::<Vec<i64>>();
        let (accounts, mailboxes) = (column(|mark| mark.account.0), column(|mark| mark.mailbox.0));
        let modseqs = column(|mark| mark.highest_modseq as i64);
        let uids = column(|mark| i64::from(mark.uid_next));
        let rows = self.control.db.query(NEWS, &[&accounts, &mailboxes, &modseqs, &uids]).await?;
        let news = rows.iter().map(|row| MailboxNews {
            now: Mark {
                account: AccountId(row.get(0)),
                mailbox: MailboxId(row.get(1)),
                highest_modseq: row.get::<_, i64>(4) as u64,
                uid_next: row.get::<_, i64>(3) as u32,
            },
            uid_validity: row.get::<_, i64>(2) as u32,
            arrived: row.get::<_, i64>(5) as u32,
            left: row.get::<_, i64>(6) as u32,
            flags: row.get(7),
            forgotten: row.get(8),
        });
        Ok(news.collect())
    }

    /// The annotations that `account` can see in the mailboxes of these accounts, each with a number that is another one
    /// when its value is.
    pub async fn annotation_marks(
        &self,
        owners: &[AccountId],
        account: AccountId,
    ) -> Result<Vec<(Annotation, i64)>, Error> {
        let owners: Vec<i64> = owners.iter().map(|owner| owner.0).chain([0]).collect();
        let rows = self.control.db.query(METADATA, &[&owners, &account.0]).await?;
        let marks = rows.iter().map(|row| {
            let place = if row.get(2) { "/private" } else { "/shared" };
            let entry = format!("{place}{}", row.get::<_, &str>(3));
            let (account, mailbox) = (AccountId(row.get(0)), MailboxId(row.get(1)));
            (Annotation { account, mailbox, entry }, row.get(4))
        });
        Ok(marks.collect())
    }
}
