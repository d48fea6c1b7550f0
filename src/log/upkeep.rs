//! Forgets events, traces and numbers that are older than the settings say. One node does it at a time, in small steps, so that
//! nothing waits for it.

use std::sync::Arc;
use std::time::Duration;

use crate::control::{Control, lease};
use crate::db::Error;
use crate::net::stop::Stop;
use crate::sql;

const PRUNE_EVENTS: &str = sql!("log/prune_events");
const PRUNE_TRACE: &str = sql!("log/prune_trace");
const PRUNE_COUNTS: &str = sql!("log/prune_counts");

/// How often it looks, and at once when a setting has changed.
const PERIOD: Duration = Duration::from_secs(300);
/// Rows that one statement forgets at most.
const STEP: u64 = 10_000;

/// Runs until told to stop.
pub async fn upkeep(control: Arc<Control>, mut stop: Stop) {
    let changed = Arc::new(tokio::sync::Notify::new());
    let bell = changed.clone();
    let days = |control: &Control| {
        let config = control.config();
        let log = &config.log;
        [log.event_days, log.trace_days, log.minute_days, log.count_days]
    };
    let (weak, known) = (Arc::downgrade(&control), std::sync::Mutex::new(days(&control)));
    control.on_change(move || {
        let Some(control) = weak.upgrade() else { return };
        let mut known = known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if *known != days(&control) {
            *known = days(&control);
            bell.notify_one();
        }
    });
    loop {
        tokio::select! {
            _ = stop.wait() => return,
            () = tokio::time::sleep(PERIOD) => {}
            () = changed.notified() => {}
        }
        match tidy(&control).await {
            Ok(()) => {}
            Err(error) if error.is_unavailable() => tracing::debug!(%error, "old events are forgotten later"),
            Err(error) => tracing::error!(%error, "old events cannot be forgotten"),
        }
    }
}

/// One round; nothing when another node has the lease.
async fn tidy(control: &Control) -> Result<(), Error> {
    if !lease::take(&control.db, "log.upkeep", &control.node.name, PERIOD * 2).await? {
        return Ok(());
    }
    let settings = &control.config().log;
    while control.db.execute(PRUNE_EVENTS, &[&settings.event_days]).await? == STEP {}
    while control.db.execute(PRUNE_TRACE, &[&settings.trace_days]).await? == STEP {}
    control.db.execute(PRUNE_COUNTS, &[&settings.minute_days, &settings.count_days]).await?;
    Ok(())
}
