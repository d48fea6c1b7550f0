//! Where mail for an address goes.
//!
//! The answer comes from `logic.resolve`, one round trip, and is remembered until settings or directory change: most
//! mail goes to few addresses, and RCPT must not cost a round trip each. What an account keeps changes with every
//! delivery and is no such change: it is remembered beside the answer, told by the committer, and asked for anew when it
//! is older than `USAGE_LASTS` or would lead to a refusal.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::checker::Checker;
use super::gate::Gate;
use super::issuer::Issuers;
use super::remembered::Remembered;
use super::sender::Senders;
use crate::control::Control;
use crate::db::Error;
use crate::dns::Dns;
use crate::mail::{AccountId, Address, MailboxId};
use crate::sql;

const RESOLVE: &str = sql!("directory/resolve");
const USAGE: &str = sql!("directory/usage");
const REMOTE_HOST: &str = sql!("directory/remote_host");
const IS_OURS: &str = sql!("directory/is_ours");
const JUNK: &str = sql!("directory/junk");
const DEFAULT_DOMAIN: &str = sql!("directory/default_domain");

/// How long an account's usage is believed.
const USAGE_LASTS: Duration = Duration::from_secs(10);
/// Addresses remembered at most; when they are more, all are forgotten.
const REMEMBERED: usize = 100_000;

/// Where mail for an address goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// The domain is none of ours.
    NotLocal,
    /// Nobody here has this address.
    Unknown,
    /// Only users who have logged in may write to it.
    Restricted,
    /// To these.
    To {
        /// Accounts here.
        accounts: Vec<Arc<Recipient>>,
        /// Addresses elsewhere.
        remotes: Vec<Remote>,
    },
}

/// An address elsewhere to which mail for an address here goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// The address.
    pub address: String,
    /// The address here that forwards to it: an alias, an account. None where we only pass on mail of its domain.
    pub forwarded_by: Option<String>,
}

impl std::ops::Deref for Remote {
    type Target = str;

    fn deref(&self) -> &str {
        &self.address
    }
}

impl Route {
    /// How many copies of a message it makes.
    pub fn copies(&self) -> usize {
        match self {
            Route::To { accounts, remotes } => accounts.len() + remotes.len(),
            Route::NotLocal => 1,
            Route::Unknown | Route::Restricted => 0,
        }
    }

    /// Whether mail for this address only passes through here: its domain is a remote one.
    pub fn is_passed_on(&self, address: &Address) -> bool {
        let Route::To { accounts, remotes } = self else { return false };
        let same = |remote: &Remote| remote.forwarded_by.is_none() && remote.address == address.key();
        accounts.is_empty() && remotes.iter().all(same)
    }

    /// The addresses here that forward mail for it to other servers.
    pub fn forwarders(&self) -> impl Iterator<Item = &str> {
        let remotes = match self {
            Route::To { remotes, .. } => &remotes[..],
            Route::NotLocal | Route::Unknown | Route::Restricted => &[],
        };
        remotes.iter().filter_map(|remote| remote.forwarded_by.as_deref())
    }
}

/// An account as delivery needs it.
#[derive(Debug)]
pub struct Recipient {
    /// The account.
    pub account: AccountId,
    /// Its INBOX.
    pub inbox: MailboxId,
    /// Its own address.
    pub address: String,
    /// Bytes it may keep; `None` = no limit.
    pub quota: Option<i64>,
    /// Largest message for it, bytes.
    pub max_message: u64,
    /// Messages it may keep; `None` = no limit.
    pub max_messages: Option<i64>,
    used: AtomicI64,
    messages: AtomicI64,
    read_at: Mutex<Instant>,
}

impl PartialEq for Recipient {
    fn eq(&self, other: &Self) -> bool {
        self.account == other.account && self.address == other.address
    }
}
impl Eq for Recipient {}

impl Recipient {
    /// Takes note of what the account keeps after the delivery of one message.
    pub fn now_keeps(&self, bytes: i64) {
        self.used.store(bytes, Ordering::Relaxed);
        self.messages.fetch_add(1, Ordering::Relaxed);
        // Others may have delivered too, of which only the bytes tell.
        if self.max_messages.is_none() {
            *self.read_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
    }

    fn read(&self, bytes: i64, messages: i64) {
        self.used.store(bytes, Ordering::Relaxed);
        self.messages.store(messages, Ordering::Relaxed);
        *self.read_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// An account that is in no table.
    #[cfg(test)]
    pub(crate) fn sample(id: i64) -> Self {
        Self {
            account: AccountId(id),
            inbox: MailboxId(id),
            address: format!("account{id}@x.test"),
            quota: None,
            max_message: u64::MAX,
            max_messages: None,
            used: AtomicI64::new(0),
            messages: AtomicI64::new(0),
            read_at: Mutex::new(Instant::now()),
        }
    }

    fn has_room(&self, bytes: i64) -> bool {
        let (used, messages) = (self.used.load(Ordering::Relaxed), self.messages.load(Ordering::Relaxed));
        self.quota.is_none_or(|quota| used.saturating_add(bytes) <= quota)
            && self.max_messages.is_none_or(|max| messages < max)
    }
}

/// The directory as delivery sees it.
pub struct Directory {
    pub(super) control: Arc<Control>,
    pub(super) checker: Checker,
    pub(super) senders: Senders,
    pub(super) issuers: Issuers,
    remembered: Mutex<HashMap<(String, bool), Arc<Route>>>,
    remote_hosts: Mutex<HashMap<Arc<str>, Option<RemoteHost>>>,
    epoch: AtomicU64,
}

/// The host that a remote domain names, and the port if it names one.
pub type RemoteHost = (Arc<str>, Option<u16>);

impl Directory {
    /// The directory on this database; forgets what it remembers whenever something changes.
    pub fn start(control: Arc<Control>, dns: Dns) -> Result<Arc<Self>, Error> {
        let remembered =
            Remembered::new().ok_or_else(|| Error::Fault("the system gives no random numbers".to_owned()))?;
        let checker = Checker::new(Gate::new(), remembered);
        let directory = Arc::new(Self {
            control: control.clone(),
            checker,
            senders: Senders::default(),
            issuers: Issuers::new(dns),
            remembered: Mutex::default(),
            remote_hosts: Mutex::default(),
            epoch: AtomicU64::new(0),
        });
        let weak = Arc::downgrade(&directory);
        control.on_change(move || {
            if let Some(directory) = weak.upgrade() {
                directory.forget();
            }
        });
        Ok(directory)
    }

    /// Forgets everything: something has changed.
    pub fn forget(&self) {
        // First the epoch: an answer that was asked for before is then not remembered.
        self.epoch.fetch_add(1, Ordering::SeqCst);
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.remote_hosts.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.senders.forget();
    }

    /// The host to which mail for this domain (in ASCII) is passed on, if it is a remote domain that names one.
    pub async fn remote_host(&self, domain: &Arc<str>) -> Result<Option<RemoteHost>, Error> {
        if let Some(host) = self.remote_hosts.lock().unwrap_or_else(PoisonError::into_inner).get(domain) {
            return Ok(host.clone());
        }
        let epoch = self.epoch.load(Ordering::SeqCst);
        let row = self.control.db.query_opt(REMOTE_HOST, &[&&**domain]).await?;
        let host = row.map(|row| {
            let port = row.get::<_, Option<i32>>(1).and_then(|port| u16::try_from(port).ok());
            (Arc::from(row.get::<_, &str>(0)), port)
        });
        let mut remembered = self.remote_hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if self.epoch.load(Ordering::SeqCst) == epoch {
            if remembered.len() >= REMEMBERED {
                remembered.clear();
            }
            remembered.insert(domain.clone(), host.clone());
        }
        Ok(host)
    }

    /// Where mail for this address goes, for a sender who has logged in or not.
    pub async fn resolve(&self, address: &Address, authenticated: bool) -> Result<Arc<Route>, Error> {
        let key = (address.key(), authenticated);
        if let Some(route) = self.remembered.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(route.clone());
        }
        let epoch = self.epoch.load(Ordering::SeqCst);
        let (local, domain) = key.0.rsplit_once('@').unwrap_or((&key.0, ""));
        let rows = self.control.db.query(RESOLVE, &[&local, &domain, &authenticated]).await?;
        let route = Arc::new(route(&rows));
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if self.epoch.load(Ordering::SeqCst) == epoch {
            if remembered.len() >= REMEMBERED {
                remembered.clear();
            }
            remembered.insert(key, route.clone());
        }
        Ok(route)
    }

    /// Whether people of this domain (in ASCII) have their mail here. Asks the database: only for mail that is forwarded.
    pub async fn is_ours(&self, domain: &str) -> Result<bool, Error> {
        let row = self.control.db.query_opt(IS_OURS, &[&domain]).await?;
        Ok(row.is_some_and(|row| row.get(0)))
    }

    /// Whom `<Postmaster>` without a domain means (RFC 5321 §4.5.1): that of the default domain, or of the first where
    /// none is the default; nobody where there is no domain at all.
    pub async fn postmaster(&self) -> Result<Option<Address>, Error> {
        let row = self.control.db.query_opt(DEFAULT_DOMAIN, &[]).await?;
        Ok(row.and_then(|row| Address::from_parts("postmaster", row.get(0)).ok()))
    }

    /// The Junk mailboxes of accounts; those that have none are left out.
    pub async fn junk(&self, accounts: &[i64]) -> Result<HashMap<AccountId, MailboxId>, Error> {
        let rows = self.control.db.query(JUNK, &[&accounts]).await?;
        Ok(rows.iter().map(|row| (AccountId(row.get(0)), MailboxId(row.get(1)))).collect())
    }

    /// Whether an account has room for one more message of so many bytes.
    pub async fn has_room(&self, recipient: &Recipient, bytes: u64) -> Result<bool, Error> {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        if recipient.quota.is_none() && recipient.max_messages.is_none() {
            return Ok(true);
        }
        let fresh = recipient.read_at.lock().unwrap_or_else(PoisonError::into_inner).elapsed() < USAGE_LASTS;
        if fresh && recipient.has_room(bytes) {
            return Ok(true);
        }
        if let Some(row) = self.control.db.query_opt(USAGE, &[&recipient.account.0]).await? {
            recipient.read(row.get(0), row.get(1));
        }
        Ok(recipient.has_room(bytes))
    }
}

fn route(rows: &[tokio_postgres::Row]) -> Route {
    let mut accounts = Vec::new();
    let mut remotes = Vec::new();
    let mut restricted = false;
    for row in rows {
        match row.get::<_, &str>(0) {
            "not local" => return Route::NotLocal,
            "restricted" => restricted = true,
            "remote" => remotes.push(Remote { address: row.get(1), forwarded_by: row.get(7) }),
            "account" => {
                // An account whose INBOX was deleted by hand has nowhere to put mail.
                let Some(inbox) = row.get::<_, Option<i64>>(3) else { continue };
                accounts.push(Arc::new(Recipient {
                    account: AccountId(row.get(2)),
                    inbox: MailboxId(inbox),
                    address: row.get(1),
                    quota: row.get(4),
                    max_message: row.get::<_, Option<i64>>(6).map_or(u64::MAX, |bytes| bytes as u64),
                    max_messages: row.get(9),
                    used: AtomicI64::new(row.get::<_, Option<i64>>(5).unwrap_or_default()),
                    messages: AtomicI64::new(row.get::<_, Option<i64>>(8).unwrap_or_default()),
                    read_at: Mutex::new(Instant::now()),
                }));
            }
            _ => {}
        }
    }
    match (accounts.is_empty() && remotes.is_empty(), restricted) {
        (false, _) => Route::To { accounts, remotes },
        (true, true) => Route::Restricted,
        (true, false) => Route::Unknown,
    }
}
