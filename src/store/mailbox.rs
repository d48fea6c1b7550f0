//! Mailboxes themselves: list, create, delete, rename, subscribe, status.

use std::collections::HashMap;
use std::ops::Range;

use super::Store;
use super::sharing::Shared;
use crate::db::{Client, Error, Prepared};
use crate::mail::{AccountId, FlagMask, MailboxId, Room};
use crate::sql;

const LIST: &str = sql!("store/list_mailboxes");
const FIND: &str = sql!("store/find_mailbox");
const FIND_TARGET: &str = sql!("store/find_target");
const CREATE: &str = sql!("store/create_mailboxes");
const COUNT: &str = sql!("store/count_mailboxes");
const DELETE: &str = sql!("store/delete_mailbox");
const RENAME: &str = sql!("store/rename_mailboxes");
const SUBSCRIBE: &str = sql!("store/subscribe");
const UNSUBSCRIBE: &str = sql!("store/unsubscribe");
const STATUS: &str = sql!("store/status");
const TAKE_RECENT: &str = sql!("store/take_recent");
const LOCK_USAGE: &str = sql!("store/lock_usage");
const FIND_SPECIAL_USE: &str = sql!("store/find_special_use");

/// The constraint that keeps names apart (migrations/V0003__store.sql).
const NAME_TAKEN: &str = "this account has a mailbox of that name already";

/// A name that `LIST` knows: a mailbox, or a subscribed name without one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Full name, levels separated by `/`.
    pub name: String,
    /// The mailbox, if there is one.
    pub mailbox: Option<Mailbox>,
    /// Whether the account has subscribed to the name.
    pub subscribed: bool,
    /// Whose the mailbox is, where it is another account's.
    pub shared: Option<Shared>,
}

/// A mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    /// Its id.
    pub id: MailboxId,
    /// UIDVALIDITY.
    pub uid_validity: u32,
    /// UIDNEXT.
    pub uid_next: u32,
    /// From which UID on messages are recent.
    pub recent_uid: u32,
    /// HIGHESTMODSEQ.
    pub highest_modseq: u64,
    /// Special use with its backslash, e.g. `\Sent`.
    pub special_use: Option<String>,
}

/// What STATUS tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Status {
    /// UIDNEXT.
    pub uid_next: u32,
    /// UIDVALIDITY.
    pub uid_validity: u32,
    /// HIGHESTMODSEQ.
    pub highest_modseq: u64,
    /// MESSAGES.
    pub messages: u32,
    /// UNSEEN.
    pub unseen: u32,
    /// DELETED.
    pub deleted: u32,
    /// SIZE, bytes.
    pub size: u64,
    /// RECENT.
    pub recent: u32,
    /// DELETED-STORAGE, bytes.
    pub deleted_size: u64,
}

/// What is known without counting messages.
impl From<&Mailbox> for Status {
    fn from(mailbox: &Mailbox) -> Self {
        Status {
            uid_next: mailbox.uid_next,
            uid_validity: mailbox.uid_validity,
            highest_modseq: mailbox.highest_modseq,
            ..Status::default()
        }
    }
}

/// Why a mailbox command was refused.
#[derive(Debug, thiserror::Error)]
pub enum MailboxError {
    /// There is no such mailbox.
    #[error("there is no mailbox of that name")]
    Missing,
    /// The name is taken.
    #[error("there is a mailbox of that name already")]
    Exists,
    /// INBOX cannot be deleted, nor anything be renamed to it.
    #[error("INBOX cannot be deleted or replaced")]
    Inbox,
    /// Mailboxes below it exist.
    #[error("it has mailboxes below it: delete those first")]
    HasChildren,
    /// Another mailbox of the account has the special use.
    #[error("the mailbox {0} has this special use already")]
    UseTaken(String),
    /// It would be below itself.
    #[error("a mailbox cannot be moved below itself")]
    BelowItself,
    /// The account has as many as it may.
    #[error("an account may not have more than {0} mailboxes")]
    TooMany(i64),
    /// The account has as many subscriptions as it may have mailboxes.
    #[error("an account may not have more than {0} subscriptions")]
    TooManySubscriptions(i64),
    /// The database failed or refused.
    #[error(transparent)]
    Database(#[from] Error),
}

pub(super) fn entry(row: &tokio_postgres::Row) -> Entry {
    let mailbox = row.get::<_, Option<i64>>(1).map(|id| Mailbox {
        id: MailboxId(id),
        uid_validity: row.get::<_, i64>(2) as u32,
        uid_next: row.get::<_, i64>(3) as u32,
        recent_uid: row.get::<_, i64>(4) as u32,
        highest_modseq: row.get::<_, i64>(5) as u64,
        special_use: row.get(6),
    });
    Entry { name: row.get(0), mailbox, subscribed: row.get(7), shared: None }
}

fn status(row: &tokio_postgres::Row) -> Status {
    let int = |at: usize| row.get::<_, i64>(at);
    Status {
        uid_next: int(1) as u32,
        uid_validity: int(2) as u32,
        highest_modseq: int(3) as u64,
        messages: int(4) as u32,
        unseen: int(5) as u32,
        deleted: int(6) as u32,
        size: int(7) as u64,
        recent: int(8) as u32,
        deleted_size: int(9) as u64,
    }
}

impl Store {
    /// All mailboxes and subscribed names of an account, by name.
    pub async fn list_mailboxes(&self, account: AccountId) -> Result<Vec<Entry>, Error> {
        Ok(self.control.db.query(LIST, &[&account.0]).await?.iter().map(entry).collect())
    }

    /// The mailbox with this name; INBOX in capitals.
    pub async fn find_mailbox(&self, account: AccountId, name: &str) -> Result<Option<Mailbox>, Error> {
        let row = self.control.db.query_opt(FIND, &[&account.0, &name]).await?;
        Ok(row.as_ref().map(entry).and_then(|entry| entry.mailbox))
    }

    /// The mailbox with this name, and what its account has room for.
    pub async fn find_target(
        &self,
        account: AccountId,
        name: &str,
    ) -> Result<Option<(Mailbox, Room)>, Error> {
        let row = self.control.db.query_opt(FIND_TARGET, &[&account.0, &name]).await?;
        Ok(row.and_then(|row| Some((entry(&row).mailbox?, Room { bytes: row.get(8), messages: row.get(9) }))))
    }

    /// Creates a mailbox and the levels above it that are missing (RFC 9051 §6.3.4).
    pub async fn create_mailbox(
        &self,
        account: AccountId,
        name: &str,
        special_use: Option<&str>,
    ) -> Result<Mailbox, MailboxError> {
        let mut names: Vec<&str> = name.match_indices('/').filter_map(|(at, _)| name.get(..at)).collect();
        names.push(name);
        let row = self.control.db.query_opt(COUNT, &[&account.0, &names]).await?;
        let (all, there) = row.as_ref().map_or((0, 0), |row| (row.get::<_, i64>(0), row.get::<_, i64>(1)));
        let max = row.and_then(|row| row.get(2)).unwrap_or_else(|| self.control.config().imap.max_mailboxes);
        let missing = names.len() as i64 - there;
        if missing > 0 && all + missing > max {
            return Err(MailboxError::TooMany(max));
        }
        let made = match special_use {
            None => self.control.db.query(CREATE, &[&account.0, &names, &special_use]).await?,
            Some(_) => self.create_special(account, &names, special_use).await?,
        };
        if !made.iter().any(|row| row.get::<_, &str>(0) == name) {
            return Err(MailboxError::Exists);
        }
        self.views.mark_names(account);
        self.find_mailbox(account, name).await?.ok_or(MailboxError::Missing)
    }

    /// As two who ask for the same special use at once would both find it free, they queue up.
    async fn create_special(
        &self,
        account: AccountId,
        names: &[&str],
        special_use: Option<&str>,
    ) -> Result<Vec<tokio_postgres::Row>, MailboxError> {
        let mut client = self.control.db.client().await?;
        let create = client.prepare(CREATE).await?;
        let uses = UseLock::prepare(&client).await?;
        let transaction = client.transaction().await?;
        uses.take(&transaction, account, special_use, None).await?;
        let made =
            transaction.query(&create, &[&account.0, &names, &special_use]).await.map_err(Error::from)?;
        transaction.commit().await.map_err(Error::from)?;
        Ok(made)
    }

    /// Deletes a mailbox with its messages, and says which it was. One with mailboxes below it is refused (RFC 9051
    /// §6.3.5 lets us).
    pub async fn delete_mailbox(&self, account: AccountId, name: &str) -> Result<MailboxId, MailboxError> {
        if name == "INBOX" {
            return Err(MailboxError::Inbox);
        }
        let below = format!("{name}/");
        let all = self.list_mailboxes(account).await?;
        let Some(mailbox) = all.iter().find(|e| e.name == name).and_then(|e| e.mailbox.as_ref()) else {
            return Err(MailboxError::Missing);
        };
        if all.iter().any(|e| e.mailbox.is_some() && e.name.starts_with(&below)) {
            return Err(MailboxError::HasChildren);
        }
        self.as_by_hand(DELETE, &[&account.0, &mailbox.id.0]).await?;
        self.views.mark(account, mailbox.id);
        self.views.mark_names(account);
        Ok(mailbox.id)
    }

    /// Renames a mailbox and all below it, the owner's subscriptions with them; INBOX gives its messages away and stays (RFC 9051 §6.3.6).
    pub async fn rename_mailbox(&self, account: AccountId, from: &str, to: &str) -> Result<(), MailboxError> {
        let source = self.find_mailbox(account, from).await?.ok_or(MailboxError::Missing)?;
        if to == "INBOX" {
            return Err(MailboxError::Inbox);
        }
        if self.find_mailbox(account, to).await?.is_some() {
            return Err(MailboxError::Exists);
        }
        if from == "INBOX" {
            let target = self.create_mailbox(account, to, None).await?;
            let inbox = self.views.open(account, source.id, None).await?.ok_or(MailboxError::Missing)?.view();
            let uids: Vec<u32> = inbox.iter().map(|(_, entry)| entry.uid()).collect();
            let (from, to) = ((account, source.id), (account, target.id));
            self.relocate(from, &uids, to, FlagMask::ALL).await?;
            return Ok(());
        }
        if to.strip_prefix(from).is_some_and(|rest| rest.starts_with('/')) {
            return Err(MailboxError::BelowItself);
        }
        if let Some((parent, _)) = to.rsplit_once('/')
            && self.find_mailbox(account, parent).await?.is_none()
        {
            match self.create_mailbox(account, parent, None).await {
                Ok(_) | Err(MailboxError::Exists) => {}
                Err(error) => return Err(error),
            }
        }
        match self.control.db.execute(RENAME, &[&account.0, &from, &to]).await {
            Ok(_) => {
                self.views.mark_names(account);
                Ok(())
            }
            Err(error) if error.constraint() == Some(NAME_TAKEN) => Err(MailboxError::Exists),
            Err(error) => Err(error.into()),
        }
    }

    /// Subscribes to a name, whether there is a mailbox or not.
    pub async fn subscribe(&self, account: AccountId, name: &str) -> Result<(), MailboxError> {
        let max = self.control.config().imap.max_mailboxes;
        let row = self.control.db.query_opt(SUBSCRIBE, &[&account.0, &name, &max]).await?;
        self.views.mark_names(account);
        if row.is_some_and(|row| row.get(0)) { Ok(()) } else { Err(MailboxError::TooManySubscriptions(max)) }
    }

    /// Takes a subscription back.
    pub async fn unsubscribe(&self, account: AccountId, name: &str) -> Result<(), Error> {
        self.control.db.execute(UNSUBSCRIBE, &[&account.0, &name]).await?;
        self.views.mark_names(account);
        Ok(())
    }

    /// STATUS of these mailboxes, in one query that counts their messages; those that are gone are not among the answers.
    pub async fn statuses(
        &self,
        mailboxes: &[(AccountId, MailboxId)],
    ) -> Result<HashMap<MailboxId, Status>, Error> {
        let (accounts, ids): (Vec<i64>, Vec<i64>) =
            mailboxes.iter().map(|(account, mailbox)| (account.0, mailbox.0)).unzip();
        let rows = self.control.db.query(STATUS, &[&accounts, &ids]).await?;
        Ok(rows.iter().map(|row| (MailboxId(row.get(0)), status(row))).collect())
    }

    /// Takes `\Recent` for a session: messages with UIDs in the range returned are recent for it, whether it knows them
    /// already or not, and for no other.
    pub async fn take_recent(
        &self,
        account: AccountId,
        mailbox: MailboxId,
    ) -> Result<Option<Range<u32>>, Error> {
        let rows = self.retried(TAKE_RECENT, &[&account.0, &mailbox.0]).await?;
        Ok(rows.first().map(|row| row.get::<_, i64>(0) as u32..row.get::<_, i64>(1) as u32))
    }

    /// Runs a statement as if a person had written it, so that the triggers number, count and note what it does.
    async fn as_by_hand(
        &self,
        sql: &'static str,
        values: &[&(dyn tokio_postgres::types::ToSql + Sync)],
    ) -> Result<(), Error> {
        let mut client = self.control.db.client().await?;
        let statement = client.prepare(sql).await?;
        let transaction = client.transaction().await?;
        transaction.batch_execute("set local mailwright.daemon = 'off'").await?;
        transaction.execute(&statement, values).await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// The right to give a special use, which one at a time has in an account.
pub(super) struct UseLock {
    lock: Prepared,
    find: Prepared,
}

impl UseLock {
    pub(super) async fn prepare(client: &Client) -> Result<Self, Error> {
        Ok(Self { lock: client.prepare(LOCK_USAGE).await?, find: client.prepare(FIND_SPECIAL_USE).await? })
    }

    /// Takes it until the transaction ends, and makes sure that no mailbox but `except` has this use.
    pub(super) async fn take(
        &self,
        transaction: &tokio_postgres::Transaction<'_>,
        account: AccountId,
        special_use: Option<&str>,
        except: Option<MailboxId>,
    ) -> Result<(), MailboxError> {
        transaction.query(&self.lock, &[&account.0]).await.map_err(Error::from)?;
        // A client that asks for a second one would not find its way: the first is the one that others use.
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
            [&account.0, &special_use, &except.map(|mailbox| mailbox.0)];
        match transaction.query_opt(&self.find, &values).await.map_err(Error::from)? {
            Some(row) => Err(MailboxError::UseTaken(row.get(0))),
            None => Ok(()),
        }
    }
}
