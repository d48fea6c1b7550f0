//! What accounts keep and may keep (RFC 9208): read, and changed by those who may.

use super::resolve::Directory;
use crate::db::Error;
use crate::mail::{AccountId, Room};
use crate::sql;

const QUOTA: &str = sql!("directory/quota");
const ROOM: &str = sql!("directory/room");
const FIND_QUOTA: &str = sql!("directory/find_quota");
const SET_QUOTA: &str = sql!("directory/set_quota");

/// What an account keeps of something, and how much it may keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Used {
    /// How much it keeps.
    pub used: u64,
    /// How much it may keep; `None` = no limit.
    pub limit: Option<u64>,
}

impl Used {
    fn new(used: Option<i64>, limit: Option<i64>) -> Self {
        let whole = |number: i64| u64::try_from(number).unwrap_or(0);
        Used { used: used.map_or(0, whole), limit: limit.map(whole) }
    }
}

/// An account's quota.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Quota {
    /// The account's address, which names the quota.
    pub address: String,
    /// Bytes of its messages.
    pub bytes: Used,
    /// Its messages.
    pub messages: Used,
    /// Its mailboxes.
    pub mailboxes: Used,
}

/// Limits that an account gets of its own; `None` is what its domain says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Bytes.
    pub bytes: Option<i64>,
    /// Messages.
    pub messages: Option<i64>,
    /// Mailboxes.
    pub mailboxes: Option<i32>,
}

impl Directory {
    /// What an account keeps and may keep; `None` when there is no such account any more.
    pub async fn quota(&self, account: AccountId) -> Result<Option<Quota>, Error> {
        let row = self.control.db.query_opt(QUOTA, &[&account.0]).await?;
        Ok(row.map(|row| Quota {
            address: row.get(6),
            bytes: Used::new(row.get(0), row.get(1)),
            messages: Used::new(row.get(2), row.get(3)),
            mailboxes: Used::new(row.get(4), row.get(5)),
        }))
    }

    /// What an account that is at work here has room for; asks the database.
    pub async fn room(&self, account: AccountId) -> Result<Room, Error> {
        let row = self.control.db.query_opt(ROOM, &[&account.0]).await?;
        Ok(row.map_or(Room { bytes: None, messages: None }, |row| Room {
            bytes: row.get(0),
            messages: row.get(1),
        }))
    }

    /// The account with this address, if `account` may see its quota: its own, or one of the domain that it manages; and
    /// whether it may set it.
    pub async fn find_quota(
        &self,
        account: AccountId,
        address: &str,
    ) -> Result<Option<(AccountId, bool)>, Error> {
        let row = self.control.db.query_opt(FIND_QUOTA, &[&address, &account.0]).await?;
        Ok(row.map(|row| (AccountId(row.get(0)), row.get(1))))
    }

    /// Gives an account limits of its own, in the name of `actor`, who is connected from `peer`.
    pub async fn set_quota(
        &self,
        account: AccountId,
        limits: Limits,
        (actor, peer): (&str, &str),
    ) -> Result<(), Error> {
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&account.0, &limits.bytes, &limits.messages, &limits.mailboxes];
        self.as_person((actor, peer), SET_QUOTA, &values).await.map(drop)
    }
}
