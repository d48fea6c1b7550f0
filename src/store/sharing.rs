//! Mailboxes of others, and who may do what in them (RFC 4314). What the rights are is said by `logic.rights`, here as in SQL.

use super::Store;
use super::mailbox::{Entry, Mailbox, entry};
use crate::db::Error;
use crate::mail::{AccountId, MailboxId, Rights};
use crate::sql;

const FIND_SHARED: &str = sql!("store/find_shared");
const FIND_RIGHTS_ABOVE: &str = sql!("store/find_rights_above");
const RIGHTS: &str = sql!("store/rights");
const LIST_NAMES: &str = sql!("store/list_names");
const GET_ACL: &str = sql!("store/get_acl");
const FIND_GRANTEE: &str = sql!("store/find_grantee");
const GIVE_RIGHTS: &str = sql!("store/give_rights");
const TAKE_RIGHTS: &str = sql!("store/take_rights");

/// The owner of a mailbox that is another account's, as names say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The part of the address before the `@`.
    pub local_part: String,
    /// Its domain in ASCII; `None` for the domain of whoever asks.
    pub domain: Option<String>,
    /// Whether it is a public account.
    pub public: bool,
}

/// What there is to know of a mailbox that is another account's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    /// The owner.
    pub account: AccountId,
    /// How the owner is named.
    pub owner: Owner,
    /// What may be done there.
    pub rights: Rights,
}

/// An entry of an access control list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AclEntry {
    /// Whom it is for; with `-` in front it takes rights away.
    pub identifier: String,
    /// Which rights.
    pub rights: Rights,
}

/// Whom an entry is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grantee {
    account: Option<i64>,
    domain: Option<i64>,
}

impl Grantee {
    /// Whether it is this account.
    pub fn is(self, account: AccountId) -> bool {
        self.account == Some(account.0)
    }
}

/// What becomes of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AclChange {
    /// It has these rights.
    Set(Rights),
    /// It has these too.
    Add(Rights),
    /// It has these no more.
    Remove(Rights),
}

/// The letters of a column; the database holds no others.
fn rights(letters: &str) -> Rights {
    Rights::parse(letters).unwrap_or_default()
}

impl Store {
    /// The mailbox of another account with this name, its owner, and what `who` may do there, if anything.
    pub async fn find_shared(
        &self,
        who: AccountId,
        owner: &Owner,
        name: &str,
    ) -> Result<Option<(AccountId, Mailbox, Rights)>, Error> {
        let Owner { local_part, domain, public } = owner;
        let row =
            self.control.db.query_opt(FIND_SHARED, &[&who.0, local_part, domain, public, &name]).await?;
        Ok(row.and_then(|row| {
            let rights = rights(row.get(9));
            let mailbox = entry(&row).mailbox.filter(|_| !rights.is_empty())?;
            Some((AccountId(row.get(8)), mailbox, rights))
        }))
    }

    /// The account of this owner, and what `who` may do above the name: whether it may be made.
    pub async fn find_rights_above(
        &self,
        who: AccountId,
        owner: &Owner,
        name: &str,
    ) -> Result<Option<(AccountId, Rights)>, Error> {
        let Owner { local_part, domain, public } = owner;
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
            [&who.0, local_part, domain, public, &name];
        let row = self.control.db.query_opt(FIND_RIGHTS_ABOVE, &values).await?;
        Ok(row.map(|row| (AccountId(row.get(0)), rights(row.get(1)))))
    }

    /// What `who` may do in a mailbox.
    pub async fn rights(
        &self,
        (account, mailbox): (AccountId, MailboxId),
        who: AccountId,
    ) -> Result<Rights, Error> {
        let row = self.control.db.query_opt(RIGHTS, &[&account.0, &mailbox.0, &who.0]).await?;
        Ok(row.map_or(Rights::NONE, |row| rights(row.get(0))))
    }

    /// All mailboxes and subscribed names of an account, and the mailboxes of others that it may look up, under the names
    /// that these have with their owners.
    pub async fn list_names(&self, who: AccountId) -> Result<Vec<Entry>, Error> {
        let rows = self.control.db.query(LIST_NAMES, &[&who.0]).await?;
        Ok(rows
            .iter()
            .map(|row| {
                let shared = row.get::<_, Option<i64>>(8).map(|account| Shared {
                    account: AccountId(account),
                    owner: Owner { local_part: row.get(10), domain: row.get(11), public: row.get(12) },
                    rights: rights(row.get(9)),
                });
                Entry { shared, ..entry(row) }
            })
            .collect())
    }

    /// Who has rights in a mailbox.
    pub async fn acl(&self, account: AccountId, mailbox: MailboxId) -> Result<Vec<AclEntry>, Error> {
        let rows = self.control.db.query(GET_ACL, &[&account.0, &mailbox.0]).await?;
        let entry = |row: &tokio_postgres::Row| {
            Some(AclEntry { identifier: row.get::<_, Option<String>>(1)?, rights: rights(row.get(2)) })
        };
        Ok(rows.iter().filter_map(entry).collect())
    }

    /// Whom an identifier without its `-` means in mailboxes of this account.
    pub async fn grantee(&self, account: AccountId, identifier: &str) -> Result<Option<Grantee>, Error> {
        let row = self.control.db.query_opt(FIND_GRANTEE, &[&identifier, &account.0]).await?;
        let grantee = row.map(|row| Grantee { account: row.get(0), domain: row.get(1) });
        Ok(grantee.filter(|grantee| grantee.account.is_some() || grantee.domain.is_some()))
    }

    /// Changes the entry of a grantee, the one that gives rights or the one that takes them away (`negative`).
    pub async fn change_acl(
        &self,
        (account, mailbox): (AccountId, MailboxId),
        grantee: Grantee,
        negative: bool,
        change: AclChange,
    ) -> Result<(), Error> {
        let Grantee { account: who, domain } = grantee;
        let (letters, added) = match change {
            AclChange::Set(rights) if rights.is_empty() => (None, false),
            AclChange::Add(rights) if rights.is_empty() => return Ok(()),
            AclChange::Set(rights) => (Some(rights.to_string()), false),
            AclChange::Add(rights) => (Some(rights.to_string()), true),
            AclChange::Remove(_) => (None, false),
        };
        let db = &self.control.db;
        match letters {
            Some(letters) => {
                db.execute(GIVE_RIGHTS, &[&account.0, &mailbox.0, &who, &domain, &negative, &letters, &added])
                    .await?
            }
            None => {
                let taken = if let AclChange::Remove(rights) = change { rights } else { Rights::ALL };
                let taken = taken.to_string();
                db.execute(TAKE_RIGHTS, &[&account.0, &mailbox.0, &who, &domain, &negative, &taken]).await?
            }
        };
        self.views.mark(account, mailbox);
        Ok(())
    }
}
