//! The part of the daemon that takes messages in and reads them back, without listeners: for import and export. It is no
//! node: it has no row in `live.node`, follows no control plane, and takes no part in the nodes' work.

use std::sync::Arc;

use super::failure::Failure;
use super::password::FIND_ACCOUNT;
use super::user::{Key, no_such_user};
use crate::control::{Control, Node, Registry, follow};
use crate::db::listen::Bells;
use crate::db::{Db, Target};
use crate::intake::Committer;
use crate::log::Log;
use crate::mail::{AccountId, Address, MailboxId};
use crate::queue::Inlet;
use crate::sql;
use crate::store::Store;

const RING: &str = sql!("cli/ring_mailbox");

/// Connections: the committer has its own beside these.
const POOL: usize = 8;

/// What import and export work with.
pub struct Office {
    /// The message store.
    pub store: Arc<Store>,
    /// Takes messages in, in order.
    pub committer: Committer,
    /// Whose mail it is.
    pub account: AccountId,
    db: Db,
}

impl Office {
    /// Opens the office for one account of the server with this database.
    pub async fn open(target: Target, address: &Address) -> Result<Self, Failure> {
        let db = Db::new(target, POOL)?;
        let key = Key::from(address);
        let row = db.query_opt(FIND_ACCOUNT, &[&key.local, &key.domain]).await?;
        let account = AccountId(row.ok_or_else(|| no_such_user(address))?.get(0));
        let node = Node { name: format!("office {}", std::process::id()), boot: [0; 16] };
        let registry = Registry::open(&db, &node.name).await?;
        let config = follow::load(&db).await?;
        let control = Control::start(db.clone(), node, registry, Bells::default(), config);
        control.assume_other_nodes();
        let store = Store::start(control);
        let committer = Committer::start(&store, Inlet::new().0, Log::closed());
        Ok(Self { store, committer, account, db })
    }

    /// The database.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// Rings for a mailbox and waits until that has been heard: what was rung in the background may be lost when the
    /// process ends.
    pub async fn ring(&self, mailbox: MailboxId) -> Result<(), Failure> {
        self.db.query(RING, &[&self.account.0, &mailbox.0]).await?;
        Ok(())
    }
}
