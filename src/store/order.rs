//! What SORT and THREAD ask of messages, in pages: narrow columns first, the header only where it is needed.

use bytes::Bytes;
use jiff::Timestamp;

use super::Store;
use super::fetch::PAGE;
use crate::db::Error;
use crate::mail::{AccountId, DateTime, MailboxId};
use crate::mime::header::first;
use crate::sql;

const FETCH_ORDER_FACTS: &str = sql!("store/fetch_order_facts");

/// Messages asked for in one query when their headers come with them, which may have a megabyte each.
const WIDE_PAGE: usize = 100;

/// Which columns are wanted; dates and sizes always come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Columns {
    /// The subject.
    pub subject: bool,
    /// ENVELOPE.
    pub envelope: bool,
    /// The header.
    pub header: bool,
}

impl Columns {
    /// How many messages to ask for at a time.
    pub fn page(self) -> usize {
        if self.header { WIDE_PAGE } else { PAGE }
    }
}

/// What is known of one message.
#[derive(Debug, Clone)]
pub struct OrderFacts {
    /// Its UID.
    pub uid: u32,
    /// When it arrived: INTERNALDATE.
    pub arrived: Timestamp,
    /// RFC822.SIZE.
    pub size: u64,
    /// When it was sent: its Date, or INTERNALDATE where that cannot be read (RFC 5256 §2.2).
    pub sent: Timestamp,
    /// Its subject, decoded, if wanted; of one beyond a thousand characters the beginning.
    pub subject: Option<String>,
    /// ENVELOPE as IMAP shows it, if wanted.
    pub envelope: Vec<u8>,
    /// The header of its content, if wanted.
    pub header: Bytes,
}

impl Store {
    /// The facts of messages, in UID order; those that are gone are left out. Ask for at most [`Columns::page`] at a time.
    pub async fn order_facts(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        uids: &[u32],
        columns: Columns,
    ) -> Result<Vec<OrderFacts>, Error> {
        let uids: Vec<i64> = uids.iter().map(|&uid| i64::from(uid)).collect();
        let bits =
            i32::from(columns.subject) | i32::from(columns.envelope) << 1 | i32::from(columns.header) << 2;
        let rows = self.control.db.query(FETCH_ORDER_FACTS, &[&account.0, &mailbox.0, &uids, &bits]).await?;
        Ok(rows.iter().map(facts).collect())
    }
}

fn facts(row: &tokio_postgres::Row) -> OrderFacts {
    let bytes = |at: usize| row.get::<_, Option<&[u8]>>(at).unwrap_or_default();
    let arrived: Timestamp = row.get(1);
    let written = || {
        let field = first(bytes(6), "date")?;
        DateTime::parse_rfc5322(field.value.trim_ascii()).map(DateTime::at)
    };
    OrderFacts {
        uid: row.get::<_, i64>(0) as u32,
        arrived,
        size: row.get::<_, i64>(2) as u64,
        sent: row.get::<_, Option<Timestamp>>(3).or_else(written).unwrap_or(arrived),
        subject: row.get(4),
        envelope: bytes(5).to_vec(),
        header: Bytes::copy_from_slice(bytes(6)),
    }
}
