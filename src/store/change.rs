//! What clients do to messages: flags, expunge, copy, move. One round trip each, two for a move.

use super::Store;
use super::view::EntryRow;
use crate::db::Error;
use crate::mail::{AccountId, Flags, MailboxId};
use crate::sql;

const SET_FLAGS: &str = sql!("store/set_flags");
const EXPUNGE: &str = sql!("store/expunge");
const SUM_SIZES: &str = sql!("store/sum_sizes");
const COPY: &str = sql!("store/copy_messages");
const LOCK_TWO: &str = sql!("store/lock_two");
const MOVE: &str = sql!("store/move_messages");

/// How often a transaction is run again that the database has chosen to end: people's SQL locks messages first and then
/// their mailbox, the daemon's the mailbox first.
const RETRIES: u32 = 5;

/// How STORE combines flags with those that are there (RFC 9051 §6.4.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Combine {
    /// FLAGS
    Replace,
    /// +FLAGS
    Add,
    /// -FLAGS
    Remove,
}

/// UIDs of copies: old and new, in the order of the old, and the target's UIDVALIDITY (COPYUID, RFC 4315).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// UIDVALIDITY of the target.
    pub uid_validity: u32,
    /// Old and new UIDs.
    pub pairs: Vec<(u32, u32)>,
}

/// Which messages EXPUNGE removes of those named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Those with `\Deleted`.
    Deleted,
    /// All.
    All,
}

fn uids(list: &[u32]) -> Vec<i64> {
    list.iter().map(|&uid| i64::from(uid)).collect()
}

impl Store {
    /// Changes flags. Messages changed after modseq `unchanged_since` stay as they are and are not among the answers,
    /// nor are those that had the flags already.
    pub async fn set_flags(
        &self,
        (account, mailbox): (AccountId, MailboxId),
        list: &[u32],
        combine: Combine,
        (flags, keywords): (Flags, &[String]),
        unchanged_since: Option<u64>,
    ) -> Result<Vec<EntryRow>, Error> {
        let limit = unchanged_since.map_or(i64::MAX, |modseq| modseq.min(i64::MAX as u64) as i64);
        let (combine, bits) = (combine as i32, i32::from(flags.bits()));
        let rows = self
            .retried(SET_FLAGS, &[&account.0, &mailbox.0, &uids(list), &limit, &combine, &bits, &keywords])
            .await?;
        self.views.mark(account, mailbox);
        Ok(rows
            .iter()
            .map(|row| EntryRow {
                uid: row.get::<_, i64>(0) as u32,
                modseq: row.get::<_, i64>(1) as u64,
                flags: row.get::<_, i32>(2) as u32,
                keywords: row.get::<_, Option<Vec<String>>>(3).unwrap_or_default(),
            })
            .collect())
    }

    /// Removes messages; returns the UIDs that are gone by this.
    pub async fn expunge(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        list: &[u32],
        which: Which,
    ) -> Result<Vec<u32>, Error> {
        let only_deleted = which == Which::Deleted;
        let rows = self.retried(EXPUNGE, &[&account.0, &mailbox.0, &uids(list), &only_deleted]).await?;
        self.views.mark(account, mailbox);
        Ok(rows.iter().map(|row| row.get::<_, i64>(0) as u32).collect())
    }

    /// How many bytes these messages count for in the owner's quota.
    pub async fn sum_sizes(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        list: &[u32],
    ) -> Result<u64, Error> {
        let row = self.control.db.query_opt(SUM_SIZES, &[&account.0, &mailbox.0, &uids(list)]).await?;
        Ok(row.map_or(0, |row| row.get::<_, i64>(0) as u64))
    }

    /// Copies messages into a mailbox of the same account; `None` when there was nothing to copy, or no such mailbox.
    pub async fn copy(
        &self,
        account: AccountId,
        from: MailboxId,
        list: &[u32],
        to: MailboxId,
    ) -> Result<Option<Copied>, Error> {
        let rows = self.retried(COPY, &[&account.0, &from.0, &uids(list), &to.0]).await?;
        self.views.mark(account, to);
        Ok(copied(&rows))
    }

    /// Moves messages to another mailbox of the same account, all or none.
    pub async fn relocate(
        &self,
        account: AccountId,
        from: MailboxId,
        list: &[u32],
        to: MailboxId,
    ) -> Result<Option<Copied>, Error> {
        let mut tries = 0;
        loop {
            match self.try_relocate(account, from, list, to).await {
                Err(error) if error.is_retry() && tries < RETRIES => tries += 1,
                other => return other,
            }
        }
    }

    async fn try_relocate(
        &self,
        account: AccountId,
        from: MailboxId,
        list: &[u32],
        to: MailboxId,
    ) -> Result<Option<Copied>, Error> {
        let mut client = self.control.db.client().await?;
        let lock = client.prepare(LOCK_TWO).await?;
        let relocate = client.prepare(MOVE).await?;
        let transaction = client.transaction().await?;
        let (list, lock_values): (Vec<i64>, [&(dyn tokio_postgres::types::ToSql + Sync); 3]) =
            (uids(list), [&account.0, &from.0, &to.0]);
        let move_values: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&account.0, &from.0, &list, &to.0];
        let (locked, rows) =
            tokio::join!(transaction.query(&lock, &lock_values), transaction.query(&relocate, &move_values));
        locked?;
        let rows = rows?;
        transaction.commit().await?;
        self.views.mark(account, from);
        self.views.mark(account, to);
        Ok(copied(&rows))
    }

    /// One statement, again after a deadlock.
    pub(super) async fn retried(
        &self,
        sql: &'static str,
        values: &[&(dyn tokio_postgres::types::ToSql + Sync)],
    ) -> Result<Vec<tokio_postgres::Row>, Error> {
        let mut tries = 0;
        loop {
            match self.control.db.query(sql, values).await {
                Err(error) if error.is_retry() && tries < RETRIES => tries += 1,
                other => return other,
            }
        }
    }
}

fn copied(rows: &[tokio_postgres::Row]) -> Option<Copied> {
    let uid_validity = rows.first()?.get::<_, i64>(2) as u32;
    let pairs = rows.iter().map(|row| (row.get::<_, i64>(0) as u32, row.get::<_, i64>(1) as u32)).collect();
    Some(Copied { uid_validity, pairs })
}
