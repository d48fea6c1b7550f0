//! The control plane: what the tables say is what this node does.
//!
//! `config` is the snapshot of all settings, `follow` hears of changes and obeys them, `supervisor` opens and closes
//! listeners and runs sessions (the "super service"), `live` shows what is running. There is no other way to configure
//! the daemon: no file, no signal, no restart.

pub mod config;
pub mod follow;
pub mod lease;
pub mod live;
pub mod supervisor;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use tokio::sync::mpsc;

pub use config::Config;
pub use live::{Node, Registry, SessionHandle};
pub use supervisor::{Connection, Face, Refused, Supervisor};

use crate::db::Db;
use crate::db::listen::{Bell, Bells, By};
use crate::net::limit::Limits;
use crate::sql;
use crate::tls::resolver::Certificates;

const RING_MAILBOXES: &str = sql!("control/ring_mailboxes");

/// What everybody on this node shares of the control plane.
pub struct Control {
    /// The database.
    pub db: Db,
    /// This node.
    pub node: Node,
    /// Its sessions.
    pub registry: Arc<Registry>,
    /// Where changes are heard.
    pub bells: Bells,
    /// Connections counted.
    pub limits: Arc<Limits>,
    /// Certificates served, by name.
    pub certificates: Arc<Certificates>,
    config: ArcSwap<Config>,
    forget: std::sync::Mutex<Vec<Box<dyn Fn() + Send + Sync>>>,
    database_there: AtomicBool,
    other_nodes: AtomicI64,
    changed: mpsc::UnboundedSender<(i64, i64)>,
}

impl Control {
    /// Puts the parts together, with the first snapshot, and starts the task that rings for mailboxes.
    pub fn start(db: Db, node: Node, registry: Arc<Registry>, bells: Bells, config: Config) -> Arc<Self> {
        let (changed, rung) = mpsc::unbounded_channel();
        let control = Arc::new(Self {
            db,
            node,
            registry,
            bells,
            limits: Limits::new(),
            certificates: Arc::default(),
            config: ArcSwap::from_pointee(config),
            forget: std::sync::Mutex::default(),
            database_there: AtomicBool::new(true),
            other_nodes: AtomicI64::new(0),
            changed,
        });
        tokio::spawn(ring(Arc::downgrade(&control), rung));
        control
    }

    /// Rings for a mailbox that has changed: here at once, on the other nodes soon.
    pub fn changed_mailbox(&self, account: i64, mailbox: i64) {
        // The receiver lives as long as this does.
        self.changed.send((account, mailbox)).ok();
    }

    /// The settings as they are now.
    pub fn config(&self) -> Arc<Config> {
        self.config.load_full()
    }

    pub(crate) fn replace_config(&self, config: Config) {
        self.config.store(Arc::new(config));
    }

    /// Has `forget` called whenever settings or directory have changed, before the change counts as obeyed.
    pub fn on_change(&self, forget: impl Fn() + Send + Sync + 'static) {
        self.forget.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(Box::new(forget));
    }

    pub(crate) fn directory_changed(&self) {
        for forget in self.forget.lock().unwrap_or_else(std::sync::PoisonError::into_inner).iter() {
            forget();
        }
    }

    /// How many other nodes were alive at the last beat of the clock.
    pub fn other_nodes(&self) -> i64 {
        self.other_nodes.load(Ordering::Relaxed)
    }

    /// For those who follow no control plane and so count no nodes: the import rings for every mailbox it changes.
    pub(crate) fn assume_other_nodes(&self) {
        self.count_other_nodes(1);
    }

    pub(crate) fn count_other_nodes(&self, count: i64) {
        self.other_nodes.store(count, Ordering::Relaxed);
    }

    /// Notes whether the database answers, and logs when that changes.
    pub(crate) fn database_is(&self, there: bool) {
        if self.database_there.swap(there, Ordering::Relaxed) != there {
            if there {
                tracing::info!("the database answers again");
            } else {
                tracing::warn!("the database does not answer; mail is refused temporarily until it does");
            }
        }
    }
}

/// Rings mailbox bells: on this node at once, on the others in one statement for all that came meanwhile.
async fn ring(control: Weak<Control>, mut rung: mpsc::UnboundedReceiver<(i64, i64)>) {
    let mut batch = Vec::new();
    while rung.recv_many(&mut batch, 1000).await > 0 {
        let Some(control) = control.upgrade() else { return };
        let mailboxes: BTreeSet<(i64, i64)> = batch.drain(..).collect();
        for &(account, mailbox) in &mailboxes {
            control.bells.ring(Bell::Mailbox { account, mailbox, by: By::Us });
        }
        if control.other_nodes() > 0 {
            let payloads: Vec<String> =
                mailboxes.iter().map(|(account, mailbox)| format!("{account}:{mailbox}")).collect();
            if let Err(error) = control.db.query(RING_MAILBOXES, &[&payloads]).await {
                tracing::debug!(%error, "bell not rung; the other nodes will look by themselves");
            }
        }
    }
}
