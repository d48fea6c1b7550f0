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

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use arc_swap::ArcSwap;

pub use config::Config;
pub use live::{Node, Registry, SessionHandle};
pub use supervisor::{Connection, Face, Refused, Supervisor};

use crate::db::Db;
use crate::db::listen::Bells;
use crate::net::limit::Limits;
use crate::tls::resolver::Certificates;

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
}

impl Control {
    /// Puts the parts together, with the first snapshot.
    pub fn new(db: Db, node: Node, registry: Arc<Registry>, bells: Bells, config: Config) -> Self {
        Self {
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
        }
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
