//! What FETCH, SEARCH and POP3 ask of messages, in pages.

use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use jiff::Timestamp;

use super::Store;
use crate::db::Error;
use crate::mail::{AccountId, DateTime, MailboxId};
use crate::mime::part::Part;
use crate::mime::thread::thread_id;
use crate::sql;

const FETCH_FACTS: &str = sql!("store/fetch_facts");
const FETCH_DATES_AND_SIZES: &str = sql!("store/fetch_dates_and_sizes");
const FETCH_DATES_BETWEEN: &str = sql!("store/fetch_dates_between");
const FETCH_CONTENTS: &str = sql!("store/fetch_contents");
const LIST_MAILDROP: &str = sql!("store/list_maildrop");
const KEEP_PREVIEWS: &str = sql!("store/keep_previews");
const DROP_POP3_UIDLS: &str = sql!("store/drop_pop3_uidls");

/// Messages asked for in one query at most.
pub const PAGE: usize = 500;

/// Which wide columns are wanted; narrow ones always come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Want {
    /// The header.
    pub header: bool,
    /// ENVELOPE.
    pub envelope: bool,
    /// The tree of parts.
    pub structure: bool,
    /// The conversation.
    pub thread: bool,
    /// The beginning of the text, if it is known already.
    pub preview: bool,
    /// The tree of parts of messages whose preview is not.
    pub preview_structure: bool,
}

impl Want {
    /// Whether all that `other` wants is wanted here, previews apart.
    pub(super) fn covers(self, other: Want) -> bool {
        (self.header || !other.header)
            && (self.envelope || !other.envelope)
            && (self.structure || !other.structure)
            && (self.thread || !other.thread)
    }
}

/// What is known of one message.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Its UID.
    pub uid: u32,
    /// Its content.
    pub content: i64,
    /// INTERNALDATE.
    pub internal_date: DateTime,
    /// RFC822.SIZE: prefix and content.
    pub size: u64,
    /// Header lines of this copy that stand before the content.
    pub prefix: Bytes,
    /// Bytes of the content's header, blank line included.
    pub header_size: u64,
    /// Bytes of the content.
    pub content_size: u64,
    /// The content's header, if wanted. Of one beyond [`Limits::header_bytes`] only the beginning: then it is shorter
    /// than `header_size`.
    ///
    /// [`Limits::header_bytes`]: crate::mime::structure::Limits::header_bytes
    pub header: Bytes,
    /// ENVELOPE as IMAP shows it, if wanted.
    pub envelope: Bytes,
    /// The tree of parts, if wanted; its offsets count from the start of the content, behind the prefix.
    pub structure: Option<Arc<Structure>>,
    /// POP3 unique id brought along from another server.
    pub pop3_uidl: Option<String>,
    /// When it was put into its mailbox; unknown for what was there before that was noted.
    pub saved: Option<Timestamp>,
    /// The conversation, if wanted and if it belongs to one.
    pub thread: Option<String>,
    /// The beginning of the text, if wanted and known already.
    pub preview: Option<String>,
}

/// When a message came, and how large it is.
#[derive(Debug, Clone, Copy)]
pub struct DateAndSize {
    /// Its UID.
    pub uid: u32,
    /// INTERNALDATE.
    pub internal_date: DateTime,
    /// RFC822.SIZE: prefix and content.
    pub size: u64,
}

/// The tree of parts of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Structure(pub Part);

impl Structure {
    /// Reads the stored form.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok().map(Structure)
    }
}

impl Store {
    /// The facts of messages, in UID order, from memory where they are; those that are in neither memory nor the
    /// database any more are left out. Ask for at most [`PAGE`] at a time.
    pub async fn remembered_facts(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        uids: &[u32],
        want: Want,
    ) -> Result<Vec<Facts>, Error> {
        // Previews become known in time: what is remembered could be out of date.
        if want.preview {
            return self.facts(account, mailbox, uids, want).await;
        }
        let (mut facts, missing) = self.cache.messages((account, mailbox), uids, want);
        if missing.is_empty() {
            return Ok(facts);
        }
        let read = self.facts(account, mailbox, &missing, want).await?;
        self.cache.keep_messages((account, mailbox), &read, want);
        facts.extend(read);
        facts.sort_unstable_by_key(|facts| facts.uid);
        Ok(facts)
    }

    /// The facts of messages, in UID order, from the database; those that are gone are left out. Ask for at most
    /// [`PAGE`] at a time.
    pub async fn facts(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        uids: &[u32],
        want: Want,
    ) -> Result<Vec<Facts>, Error> {
        let uids: Vec<i64> = uids.iter().map(|&uid| i64::from(uid)).collect();
        let columns =
            [want.header, want.envelope, want.structure, want.thread, want.preview, want.preview_structure];
        let bits = columns.into_iter().rev().fold(0i32, |bits, wanted| bits << 1 | i32::from(wanted));
        let rows = self.control.db.query(FETCH_FACTS, &[&account.0, &mailbox.0, &uids, &bits]).await?;
        Ok(rows.iter().map(facts).collect())
    }

    /// Contents with header and structure, as if each were a message with number 0 in no mailbox and without a prefix;
    /// those that are gone are left out.
    pub(super) async fn contents(&self, ids: &[i64]) -> Result<Vec<Facts>, Error> {
        Ok(self.control.db.query(FETCH_CONTENTS, &[&ids]).await?.iter().map(facts).collect())
    }

    /// Date and size of messages, in UID order; those that are gone are left out. Ask for at most [`PAGE`] at a time.
    pub async fn dates_and_sizes(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        uids: &[u32],
    ) -> Result<Vec<DateAndSize>, Error> {
        let uids: Vec<i64> = uids.iter().map(|&uid| i64::from(uid)).collect();
        let rows = self.control.db.query(FETCH_DATES_AND_SIZES, &[&account.0, &mailbox.0, &uids]).await?;
        Ok(rows.iter().map(date_and_size).collect())
    }

    /// The same for all messages with UIDs in a range, in UID order; their rows stream by.
    pub async fn dates_and_sizes_between(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        range: RangeInclusive<u32>,
        mut each: impl FnMut(DateAndSize) + Send,
    ) -> Result<(), Error> {
        let client = self.control.db.client().await?;
        let statement = client.prepare(FETCH_DATES_BETWEEN).await?;
        let values = [account.0, mailbox.0, i64::from(*range.start()), i64::from(*range.end())];
        let rows = client.raw().query_raw(&statement, values).await?;
        let mut rows = std::pin::pin!(rows);
        while let Some(row) = rows.try_next().await? {
            each(date_and_size(&row));
        }
        Ok(())
    }

    /// Keeps previews of contents that had none, for those who ask next.
    pub async fn keep_previews(&self, previews: &[(i64, String)]) -> Result<(), Error> {
        let (contents, texts): (Vec<i64>, Vec<&str>) =
            previews.iter().map(|(content, text)| (*content, text.as_str())).unzip();
        self.control.db.execute(KEEP_PREVIEWS, &[&contents, &texts]).await.map(drop)
    }

    /// Tells UID, size and imported unique id of every message of a mailbox, in UID order, as of one moment. The rows
    /// stream by: what the caller keeps is all that is in memory.
    pub async fn list_maildrop(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        mut each: impl FnMut(u32, u64, Option<&str>) + Send,
    ) -> Result<(), Error> {
        let client = self.control.db.client().await?;
        let statement = client.prepare(LIST_MAILDROP).await?;
        let rows = client.raw().query_raw(&statement, [account.0, mailbox.0]).await?;
        let mut rows = std::pin::pin!(rows);
        while let Some(row) = rows.try_next().await? {
            each(row.get::<_, i64>(0) as u32, row.get::<_, i64>(1) as u64, row.get(2));
        }
        Ok(())
    }

    /// Takes away imported POP3 unique ids, for messages that another one has the same id as.
    pub async fn drop_pop3_uidls(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        uids: &[u32],
    ) -> Result<(), Error> {
        let uids: Vec<i64> = uids.iter().map(|&uid| i64::from(uid)).collect();
        self.control.db.execute(DROP_POP3_UIDLS, &[&account.0, &mailbox.0, &uids]).await.map(drop)
    }
}

fn facts(row: &tokio_postgres::Row) -> Facts {
    let bytes = |at: usize| row.get::<_, Option<&[u8]>>(at).unwrap_or_default();
    let thread = match row.get::<_, Option<&str>>(13) {
        Some(known) => (!known.is_empty()).then(|| known.to_owned()),
        None => thread_id(bytes(8)),
    };
    Facts {
        uid: row.get::<_, i64>(0) as u32,
        content: row.get(1),
        internal_date: DateTime::new(row.get::<_, Timestamp>(2), row.get(3)),
        size: row.get::<_, i64>(4) as u64,
        prefix: Bytes::copy_from_slice(bytes(5)),
        header_size: row.get::<_, i32>(6) as u64,
        content_size: row.get::<_, i64>(7) as u64,
        header: Bytes::copy_from_slice(bytes(8)),
        envelope: Bytes::copy_from_slice(bytes(9)),
        structure: row.get::<_, Option<&[u8]>>(10).and_then(Structure::read).map(Arc::new),
        pop3_uidl: row.get(11),
        saved: row.get(12),
        thread,
        preview: row.get(14),
    }
}

fn date_and_size(row: &tokio_postgres::Row) -> DateAndSize {
    DateAndSize {
        uid: row.get::<_, i64>(0) as u32,
        internal_date: DateTime::new(row.get::<_, Timestamp>(1), row.get(2)),
        size: row.get::<_, i64>(3) as u64,
    }
}
