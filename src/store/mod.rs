//! Mailboxes and messages in their tables.
//!
//! `spool` takes a message in, in bounded memory, and makes a `Draft` of it that the committer (above, in `intake`) puts
//! into mailboxes; `content` reads bytes back, in chunks, and `source`
//! those of many messages, the small ones ahead; `view` is a mailbox as sessions see it (pure), `views` keeps
//! one for each open mailbox on this node and up to date, `ears` who wants to hear of all that happens in an account;
//! `cache` remembers what never changes of messages; `mailbox`, `sharing`, `metadata`, `change`, `fetch`, `order`, `resync` and
//! `watch` are what faces ask for, `object_id` what they call things by, `url_key` what authorizes URLs; `text` is the text of
//! messages for SEARCH, and its index; `upkeep` forgets what nobody needs any more.
//!
//! House rules: UIDs and modseqs come from the mailbox row under its lock, in the statement that uses them, and nowhere
//! earlier. Flag changes commit without waiting for the disk, everything else does wait. Raw bytes are never changed.

mod cache;
pub mod change;
pub mod content;
pub mod draft;
pub mod ears;
pub mod fetch;
pub mod filter;
pub mod mailbox;
pub mod metadata;
pub mod object_id;
pub mod order;
pub mod resync;
pub mod sharing;
pub mod source;
pub mod spool;
pub mod text;
pub mod upkeep;
pub mod url_key;
pub mod view;
pub mod views;
pub mod watch;

use std::sync::Arc;

pub use draft::{Chunk, Draft};
pub use spool::Spool;
pub use views::{OpenMailbox, Views};

use crate::control::Control;

/// The message store of this node.
pub struct Store {
    /// Settings, bells and the database.
    pub control: Arc<Control>,
    /// Mailboxes that are open on this node.
    pub views: Arc<Views>,
    cache: cache::Cache,
    ids: spool::Ids,
    budget: spool::Budget,
}

impl Store {
    /// Whether what is read of messages is kept in memory (`control.store.cache_bytes`).
    pub fn remembers(&self) -> bool {
        self.control.config().store.cache_bytes > 0
    }

    /// The store on this database; starts the task that keeps open mailboxes up to date.
    pub fn start(control: Arc<Control>) -> Arc<Self> {
        let views = Views::start(control.clone());
        let budget = spool::Budget::new(control.config().store.message_bytes_in_flight);
        let cache = cache::Cache::new(control.config().store.cache_bytes);
        let store =
            Arc::new(Self { control: control.clone(), views, cache, ids: spool::Ids::default(), budget });
        let weak = Arc::downgrade(&store);
        control.on_change(move || {
            if let Some(store) = weak.upgrade() {
                let settings = &store.control.config().store;
                store.budget.resize(settings.message_bytes_in_flight);
                store.cache.resize(settings.cache_bytes);
            }
        });
        store
    }
}
