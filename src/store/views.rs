//! The mailboxes that are open on this node, each once, however many sessions look at it.
//!
//! A view is brought up to date by one path only: everything since the last modseq, in one statement. What sets it off
//! differs: a mark by whoever changed the mailbox on this node (before the change is acknowledged, so that the next
//! command of any session here sees it), a bell from elsewhere, or the clock, which asks for all open mailboxes at once
//! which of them have moved on. A view lives as long as a session has it, and those opened of late somewhat longer; what no
//! session looks at is brought up to date when it is opened again.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::TryStreamExt;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use tokio::sync::{Mutex as AsyncMutex, watch};
use tokio::time::{MissedTickBehavior, interval};
use tokio_postgres::types::ToSql;

use super::ears::{Ear, Ears};
use super::view::{EntryRow, Loader, Update, View};
use crate::control::Control;
use crate::db::listen::{Bell, By};
use crate::db::{Db, Error};
use crate::mail::{AccountId, MailboxId};
use crate::sql;

const LOAD: &str = sql!("store/load_view");
const CHANGES: &str = sql!("store/changes_since");
const FIND_BY_ID: &str = sql!("store/find_mailbox_by_id");
const STALE: &str = sql!("store/stale_mailboxes");
const FINGERPRINTS: &str = sql!("store/fingerprints");

/// The clock behind the bells.
const CLOCK: Duration = Duration::from_secs(3);

/// Views kept when no session has them any more: about so many, and no more than so many bytes when they were opened.
const KEPT_MAILBOXES: usize = 2000;
const KEPT_BYTES: u64 = 32 << 20;

/// What an open mailbox costs besides its view.
const OVERHEAD: u64 = 1024;

type Key = (i64, i64);

/// The open mailboxes.
pub struct Views {
    control: Arc<Control>,
    open: Mutex<HashMap<Key, Weak<OpenMailbox>>>,
    /// Those opened of late, so that a client that comes back finds its mailbox loaded.
    kept: Cache<Key, Kept, Weigh>,
    ears: Ears,
}

/// A mailbox that was open, and what it took when it was opened: the weight of what is kept must not change.
#[derive(Clone)]
struct Kept {
    #[expect(dead_code, reason = "held, not read")]
    open: Arc<OpenMailbox>,
    bytes: u64,
}

#[derive(Clone)]
struct Weigh;

impl Weighter<Key, Kept> for Weigh {
    fn weight(&self, _: &Key, kept: &Kept) -> u64 {
        kept.bytes
    }
}

/// A mailbox that is open.
pub struct OpenMailbox {
    /// The account it belongs to.
    pub account: AccountId,
    /// Its id.
    pub id: MailboxId,
    view: ArcSwap<View>,
    /// How often it was said to have changed, and how many of these the view is known to have in it. Counted, because
    /// a refresh that is under way when somebody asks may have begun before the change.
    marks: AtomicU64,
    fresh: AtomicU64,
    /// Whether the view was ever read.
    loaded: AtomicBool,
    deleted: AtomicBool,
    refreshing: AsyncMutex<()>,
    news: watch::Sender<()>,
}

impl OpenMailbox {
    /// The newest view known.
    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Whether the mailbox itself has been deleted.
    pub fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Relaxed)
    }

    /// Hears of newer views: `changed()` on it is cancel-safe.
    pub fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// The newest view; asks the database only when the mailbox is marked as changed.
    pub async fn current(&self, db: &Db) -> Result<Arc<View>, Error> {
        if self.is_stale() {
            let _one_at_a_time = self.refreshing.lock().await;
            // Whoever was ahead of us may have brought it.
            if self.is_stale() {
                self.refresh(db).await?;
            }
        }
        Ok(self.view())
    }

    /// The view as the database has it now.
    pub async fn refreshed(&self, db: &Db) -> Result<Arc<View>, Error> {
        let _one_at_a_time = self.refreshing.lock().await;
        self.refresh(db).await?;
        Ok(self.view())
    }

    /// Has a view that is as new as modseq `known`, or without it as the database has it now.
    async fn bring_up_to(&self, db: &Db, known: Option<u64>) -> Result<(), Error> {
        let is_enough = || {
            let as_new = known.is_some_and(|known| self.view.load().highest_modseq() >= known);
            as_new && self.loaded.load(Ordering::Acquire) && !self.is_stale()
        };
        if !is_enough() {
            let _one_at_a_time = self.refreshing.lock().await;
            if !is_enough() {
                self.refresh(db).await?;
            }
        }
        Ok(())
    }

    /// Never waits: while somebody reads what is new, what comes here is read next.
    fn apply(&self, update: Update) {
        let Ok(_one_at_a_time) = self.refreshing.try_lock() else {
            self.mark();
            return;
        };
        let known = self.view();
        if known.highest_modseq() == update.highest_modseq && !self.is_stale() {
            return;
        }
        // Where nothing was changed the number is that of an earlier change, which may be news.
        let is_change = !update.added.is_empty() || !update.changed.is_empty() || !update.gone.is_empty();
        let follows = is_change && known.highest_modseq() + 1 == update.highest_modseq;
        if !follows || self.is_stale() || !self.loaded.load(Ordering::Acquire) {
            self.mark();
            return;
        }
        self.view.store(Arc::new(known.apply(update)));
        self.news.send_replace(());
    }

    /// A mailbox of which nothing has been read yet.
    fn unread(account: AccountId, id: MailboxId) -> Self {
        Self {
            account,
            id,
            view: ArcSwap::from_pointee(View::empty(1, 1, 0)),
            marks: AtomicU64::new(0),
            fresh: AtomicU64::new(0),
            loaded: AtomicBool::new(false),
            deleted: AtomicBool::new(false),
            refreshing: AsyncMutex::default(),
            news: watch::Sender::new(()),
        }
    }

    /// Whether a session waits for news.
    fn is_watched(&self) -> bool {
        self.news.receiver_count() > 0
    }

    fn mark(&self) {
        self.marks.fetch_add(1, Ordering::AcqRel);
    }

    fn is_stale(&self) -> bool {
        self.fresh.load(Ordering::Acquire) < self.marks.load(Ordering::Acquire)
    }

    async fn refresh(&self, db: &Db) -> Result<(), Error> {
        // Read first: what is marked from here on may not be part of what is read below.
        let marks = self.marks.load(Ordering::Acquire);
        let read = match self.loaded.load(Ordering::Acquire) {
            true => self.catch_up(db).await,
            false => self.load(db).await,
        };
        read.inspect_err(|_| self.mark())?;
        self.fresh.store(marks, Ordering::Release);
        Ok(())
    }

    async fn load(&self, db: &Db) -> Result<(), Error> {
        match load(db, self.account, self.id).await? {
            Some(view) => {
                self.view.store(Arc::new(view));
                self.loaded.store(true, Ordering::Release);
            }
            None => self.deleted.store(true, Ordering::Relaxed),
        }
        Ok(())
    }

    async fn catch_up(&self, db: &Db) -> Result<(), Error> {
        let known = self.view();
        let (modseq, uid_next) = (known.highest_modseq() as i64, i64::from(known.uid_next()));
        let rows = db.query(CHANGES, &[&self.account.0, &self.id.0, &modseq, &uid_next]).await?;
        let mut update = Update {
            uid_next: 0,
            highest_modseq: 0,
            added: Vec::new(),
            changed: Vec::new(),
            gone: Vec::new(),
        };
        let mut exists = false;
        let mut history_cut = false;
        for row in &rows {
            let entry = entry_row(row, 1);
            match row.get::<_, i32>(0) {
                0 => {
                    exists = true;
                    update.uid_next = entry.uid;
                    update.highest_modseq = entry.modseq;
                    history_cut = entry.flags != 0;
                }
                1 => update.added.push(entry),
                2 => update.changed.push(entry),
                _ => update.gone.push((entry.uid, entry.modseq)),
            }
        }
        if !exists {
            self.deleted.store(true, Ordering::Relaxed);
            self.news.send_replace(());
            return Ok(());
        }
        if update.highest_modseq == known.highest_modseq() {
            return Ok(());
        }
        let next = if history_cut {
            load(db, self.account, self.id).await?.unwrap_or_else(|| known.apply(update))
        } else {
            known.apply(update)
        };
        self.view.store(Arc::new(next));
        self.news.send_replace(());
        Ok(())
    }
}

fn entry_row(row: &tokio_postgres::Row, at: usize) -> EntryRow {
    EntryRow {
        uid: row.get::<_, i64>(at) as u32,
        modseq: row.get::<_, i64>(at + 1) as u64,
        flags: row.get::<_, i32>(at + 2) as u32,
        keywords: row.get::<_, Option<Vec<String>>>(at + 3).unwrap_or_default(),
    }
}

/// Loads a mailbox in a stream. The mailbox row is read first: what changes meanwhile is met again by the next update.
async fn load(db: &Db, account: AccountId, mailbox: MailboxId) -> Result<Option<View>, Error> {
    let client = db.client().await?;
    let (find, statement) = (client.prepare(FIND_BY_ID).await?, client.prepare(LOAD).await?);
    let values: [&(dyn ToSql + Sync); 2] = [&account.0, &mailbox.0];
    // Sent together, in this order: one round trip.
    let (found, rows) = tokio::join!(
        client.raw().query_opt(&find, &values),
        client.raw().query_raw(&statement, [account.0, mailbox.0])
    );
    let Some(row) = found? else { return Ok(None) };
    let int = |at: usize| row.get::<_, i64>(at);
    let mut loader = Loader::new(int(0) as u32, int(1) as u32, int(2) as u64);
    let mut rows = std::pin::pin!(rows?);
    while let Some(row) = rows.try_next().await? {
        loader.push(&entry_row(&row, 0)).map_err(|e| Error::Fault(e.to_string()))?;
    }
    Ok(Some(loader.finish()))
}

impl Views {
    /// Starts the task that keeps them up to date.
    pub(super) fn start(control: Arc<Control>) -> Arc<Self> {
        let kept = Cache::with_weighter(KEPT_MAILBOXES, KEPT_BYTES, Weigh);
        let views = Arc::new(Self { control, open: Mutex::default(), ears: Ears::default(), kept });
        tokio::spawn(views.clone().keep());
        views
    }

    /// Opens a mailbox; `None` when it is not there. `known` is its highest modseq, if the caller has just read that: a view
    /// that has come so far need not be asked for again.
    pub async fn open(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        known: Option<u64>,
    ) -> Result<Option<Arc<OpenMailbox>>, Error> {
        let open = self.entry(account, mailbox);
        open.bring_up_to(&self.control.db, known).await?;
        if open.is_deleted() {
            return Ok(None);
        }
        let bytes = open.view().footprint() as u64 + OVERHEAD;
        self.kept.insert((account.0, mailbox.0), Kept { open: open.clone(), bytes });
        Ok(Some(open))
    }

    /// The mailbox among those that are open. One that was not is from here on, so that no change is missed while it is
    /// loaded.
    fn entry(&self, account: AccountId, mailbox: MailboxId) -> Arc<OpenMailbox> {
        let mut all = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.get(&(account.0, mailbox.0)).and_then(Weak::upgrade);
        known.filter(|open| !open.is_deleted()).unwrap_or_else(|| {
            let open = Arc::new(OpenMailbox::unread(account, mailbox));
            all.insert((account.0, mailbox.0), Arc::downgrade(&open));
            open
        })
    }

    fn get(&self, key: Key) -> Option<Arc<OpenMailbox>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).get(&key).and_then(Weak::upgrade)
    }

    /// Takes a change that was made here into the view, if the view knows all that came before it; else the mailbox is
    /// marked, and the change is read like any other. Before the change is acknowledged, like [`Views::mark`].
    pub fn apply(&self, account: AccountId, mailbox: MailboxId, update: Update) {
        if let Some(open) = self.get((account.0, mailbox.0)) {
            open.apply(update);
        }
        self.control.changed_mailbox(account.0, mailbox.0);
    }

    /// Says that a mailbox has changed; before the change is acknowledged to whoever made it. Sessions here look at
    /// their next command; those in IDLE and other nodes are rung.
    pub fn mark(&self, account: AccountId, mailbox: MailboxId) {
        if let Some(open) = self.get((account.0, mailbox.0)) {
            open.mark();
        }
        self.control.changed_mailbox(account.0, mailbox.0);
    }

    /// Says that mailboxes of an account have come, gone or got other names, or its subscriptions have changed.
    pub fn mark_names(&self, account: AccountId) {
        self.control.changed_mailbox(account.0, 0);
    }

    /// Hears of everything that happens in these accounts.
    pub fn listen(&self, accounts: impl IntoIterator<Item = AccountId>) -> Ear {
        self.ears.listen(accounts)
    }

    async fn keep(self: Arc<Self>) {
        let mut ear = self.control.bells.listen();
        let mut fingerprints = HashMap::new();
        let mut clock = interval(CLOCK);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                bell = ear.next() => match bell {
                    Bell::Mailbox { account, mailbox, by } => {
                        self.hear((account, mailbox), by);
                        self.ears.ring(account, mailbox);
                    }
                    Bell::Gap => {
                        self.look_at_all().await;
                        self.ears.ring_all();
                    }
                    Bell::Control | Bell::Session | Bell::Queue => {}
                },
                _ = clock.tick() => {
                    self.look_at_all().await;
                    self.look_at_accounts(&mut fingerprints).await;
                }
            }
        }
    }

    /// Asks which of the accounts that somebody listens to look different than they did, and rings for these.
    async fn look_at_accounts(&self, known: &mut HashMap<i64, String>) {
        let accounts = self.ears.accounts();
        if accounts.is_empty() {
            known.clear();
            return;
        }
        match self.control.db.query(FINGERPRINTS, &[&accounts]).await {
            Ok(rows) => {
                let now: HashMap<i64, String> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
                // One that is seen for the first time may have changed since its session looked.
                now.iter().filter(|(account, mark)| known.get(account) != Some(mark)).for_each(
                    |(account, _)| {
                        self.ears.ring(*account, 0);
                    },
                );
                *known = now;
            }
            Err(error) => tracing::debug!(%error, "watched accounts could not be checked"),
        }
    }

    /// Refreshes an open mailbox in the background, if a session looks at it. Many marks in a row are one refresh:
    /// whoever comes second finds it fresh.
    fn hear(&self, key: Key, by: By) {
        let Some(open) = self.get(key) else { return };
        if by == By::Others {
            open.mark();
        }
        if !open.is_watched() || !open.is_stale() {
            return;
        }
        let db = self.control.db.clone();
        tokio::spawn(async move {
            if let Err(error) = open.current(&db).await {
                tracing::debug!(%error, "a mailbox could not be brought up to date; the clock tries again");
            }
        });
    }

    /// Asks which of the open mailboxes have moved on, and forgets those that nobody has open any more.
    async fn look_at_all(&self) {
        let known: Vec<Arc<OpenMailbox>> = {
            let mut all = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|_, open| open.strong_count() > 0);
            all.values().filter_map(Weak::upgrade).filter(|open| open.is_watched()).collect()
        };
        if known.is_empty() {
            return;
        }
        let accounts: Vec<i64> = known.iter().map(|open| open.account.0).collect();
        let ids: Vec<i64> = known.iter().map(|open| open.id.0).collect();
        let modseqs: Vec<i64> = known.iter().map(|open| open.view().highest_modseq() as i64).collect();
        match self.control.db.query(STALE, &[&accounts, &ids, &modseqs]).await {
            Ok(rows) => {
                let stale: HashSet<Key> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
                stale.into_iter().for_each(|key| self.hear(key, By::Others));
            }
            Err(error) => tracing::debug!(%error, "open mailboxes could not be checked"),
        }
    }
}
