//! Forgets what nobody needs any more: old expunged messages and flag changes, contents without references. One node
//! does it at a time, in small steps, so that delivery never waits for it.

use std::sync::Arc;
use std::time::Duration;

use super::Store;
use crate::control::lease;
use crate::db::Error;
use crate::net::stop::Stop;
use crate::sql;

const COLLECT: &str = sql!("store/collect");
const PRUNE: &str = sql!("store/prune");

/// How often it looks.
const PERIOD: Duration = Duration::from_secs(300);
/// Contents judged in one transaction.
const BATCH: i64 = 500;

impl Store {
    /// Runs until told to stop.
    pub async fn upkeep(self: Arc<Self>, mut stop: Stop) {
        loop {
            tokio::select! {
                _ = stop.wait() => return,
                () = tokio::time::sleep(PERIOD) => {}
            }
            if let Err(error) = self.tidy().await {
                tracing::debug!(%error, "upkeep of the store is put off");
            }
        }
    }

    /// One round; nothing when another node has the lease. Returns how many contents were judged.
    pub async fn tidy(&self) -> Result<u64, Error> {
        let control = &self.control;
        if !lease::take(&control.db, "store.upkeep", &control.node.name, PERIOD * 2).await? {
            return Ok(0);
        }
        let settings = &control.config().store;
        control.db.execute(PRUNE, &[&settings.expunged_retention_days]).await?;
        let mut judged = 0;
        loop {
            let row = control.db.query_opt(COLLECT, &[&settings.content_grace_hours, &BATCH]).await?;
            let count = row.map_or(0, |row| row.get::<_, i64>(0));
            judged += count as u64;
            if count < BATCH {
                return Ok(judged);
            }
        }
    }
}
