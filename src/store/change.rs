//! What clients do to messages: flags, expunge, copy, move. One round trip each, two for a move. Who may do it was asked
//! before.

use super::Store;
use super::view::{EntryRow, Update};
use crate::db::Error;
use crate::mail::{AccountId, FlagMask, Flags, MailboxId};
use crate::sql;

const SET_FLAGS: &str = sql!("store/set_flags");
const EXPUNGE: &str = sql!("store/expunge");
const SUM_SIZES: &str = sql!("store/sum_sizes");
const COPY: &str = sql!("store/copy_messages");
const LOCK_TWO: &str = sql!("store/lock_two");
const MOVE: &str = sql!("store/move_messages");
const GIVE: &str = sql!("store/give_messages");

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
    /// FLAGS by somebody who may change these only: the others stay.
    ReplaceAmong(FlagMask),
}

impl Combine {
    /// As the statement has it: which system flags stay, which come, and what happens to keywords, if anything.
    fn parameters(self, flags: Flags, keywords: &[String]) -> (i32, i32, Option<i32>) {
        let (all, flags) = (FlagMask::ALL.bits(), i32::from(flags.bits()));
        let listed = |how| (!keywords.is_empty()).then_some(how);
        match self {
            Combine::Replace => (0, flags, Some(0)),
            Combine::ReplaceAmong(mask) => {
                let bits = mask.bits();
                (all & !bits, flags & bits, mask.keywords.then_some(0))
            }
            Combine::Add => (all, flags, listed(1)),
            Combine::Remove => (all & !flags, 0, listed(2)),
        }
    }
}

/// UIDs of copies: old and new, in the order of the old, and the target's UIDVALIDITY (COPYUID, RFC 4315).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// UIDVALIDITY of the target.
    pub uid_validity: u32,
    /// Old and new UIDs.
    pub pairs: Vec<(u32, u32)>,
}

/// What became of a COPY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Copying {
    /// The messages that were still there have been copied.
    Done(Copied),
    /// The messages are gone, or the mailbox they were to go to.
    Nothing,
    /// They would have been more than the account may keep.
    NoRoom,
}

/// Which messages EXPUNGE removes of those named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Those with `\Deleted`.
    Deleted,
    /// All.
    All,
}

/// A parameter of a statement.
type Value<'a> = &'a (dyn tokio_postgres::types::ToSql + Sync);

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
        let (stay, come, how) = combine.parameters(flags, keywords);
        let values: [Value<'_>; 8] =
            [&account.0, &mailbox.0, &uids(list), &limit, &stay, &come, &how, &keywords];
        let rows = self.retried(SET_FLAGS, &values).await?;
        // The first row is the mailbox's.
        let Some((first, rows)) = rows.split_first() else { return Ok(Vec::new()) };
        let changed: Vec<EntryRow> = rows
            .iter()
            .map(|row| EntryRow {
                uid: row.get::<_, i64>(0) as u32,
                modseq: row.get::<_, i64>(1) as u64,
                flags: row.get::<_, i32>(2) as u32,
                keywords: row.get::<_, Option<Vec<String>>>(3).unwrap_or_default(),
            })
            .collect();
        let highest_modseq = first.get::<_, i64>(1) as u64;
        let update = Update { highest_modseq, changed: changed.clone(), ..Update::default() };
        self.views.apply(account, mailbox, update);
        Ok(changed)
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
        let Some((first, rows)) = rows.split_first() else { return Ok(Vec::new()) };
        let gone: Vec<u32> = rows.iter().map(|row| row.get::<_, i64>(0) as u32).collect();
        let highest_modseq = first.get::<_, i64>(1) as u64;
        let tombstones = gone.iter().map(|&uid| (uid, highest_modseq)).collect();
        let update = Update { highest_modseq, gone: tombstones, ..Update::default() };
        self.views.apply(account, mailbox, update);
        Ok(gone)
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

    /// Copies messages into another mailbox, of this account or another, with the flags that `mask` lets through, if its
    /// account has room for them.
    pub async fn copy(
        &self,
        (account, mailbox): (AccountId, MailboxId),
        list: &[u32],
        to: (AccountId, MailboxId),
        mask: FlagMask,
    ) -> Result<Copying, Error> {
        let values: [Value<'_>; 6] = [&account.0, &mailbox.0, &uids(list), &to.0.0, &to.1.0, &mask.bits()];
        let rows = self.retried(COPY, &values).await?;
        let Some(enough) = rows.first().map(|row| row.get::<_, Option<bool>>(3)) else {
            return Ok(Copying::Nothing);
        };
        if rows.iter().any(|row| row.get::<_, Option<i64>>(1).is_none()) {
            return Ok(if enough == Some(false) { Copying::NoRoom } else { Copying::Nothing });
        }
        self.views.mark(to.0, to.1);
        Ok(copied(&rows).map_or(Copying::Nothing, Copying::Done))
    }

    /// Moves messages to another mailbox, all or none. In another account only the flags that `mask` lets through go
    /// along.
    pub async fn relocate(
        &self,
        from: (AccountId, MailboxId),
        list: &[u32],
        to: (AccountId, MailboxId),
        mask: FlagMask,
    ) -> Result<Option<Copied>, Error> {
        let mut tries = 0;
        loop {
            match self.try_relocate(from, list, to, mask).await {
                Err(error) if error.is_retry() && tries < RETRIES => tries += 1,
                other => return other,
            }
        }
    }

    async fn try_relocate(
        &self,
        from: (AccountId, MailboxId),
        list: &[u32],
        to: (AccountId, MailboxId),
        mask: FlagMask,
    ) -> Result<Option<Copied>, Error> {
        let (list, mask) = (uids(list), mask.bits());
        let within: [Value<'_>; 4] = [&from.0.0, &from.1.0, &list, &to.1.0];
        let across: [Value<'_>; 6] = [&from.0.0, &from.1.0, &list, &to.0.0, &to.1.0, &mask];
        // What only changes its mailbox keeps its row.
        let (sql, values): (_, &[Value<'_>]) = if from.0 == to.0 { (MOVE, &within) } else { (GIVE, &across) };
        let mut client = self.control.db.client().await?;
        let lock = client.prepare(LOCK_TWO).await?;
        let relocate = client.prepare(sql).await?;
        let transaction = client.transaction().await?;
        let lock_values: [Value<'_>; 4] = [&from.0.0, &from.1.0, &to.0.0, &to.1.0];
        let (locked, rows) =
            tokio::join!(transaction.query(&lock, &lock_values), transaction.query(&relocate, values));
        locked?;
        let rows = rows?;
        transaction.commit().await?;
        self.views.mark(from.0, from.1);
        self.views.mark(to.0, to.1);
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
