//! Has outcomes committed: all that came meanwhile at once, and again until it is done.
//!
//! An outcome that its sender must be told of goes with the report, in one transaction. While the database is away outcomes
//! wait here; what is not committed when the lease ends is done again by whoever claims it then, which sends it twice: so
//! nothing new is begun meanwhile (`Relay::may_begin`).

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::mpsc;

use super::outcome::{Finished, Voice};
use super::report::Kind;
use super::{Relay, notify};
use crate::intake::Delivery;
use crate::queue::Settled;

/// Outcomes committed at once.
const BATCH: usize = 500;
/// Between two tries while the database is away.
const PAUSE: Duration = Duration::from_millis(250);

/// Outcomes of which a sender is told together: those of one message.
pub(super) struct Told {
    pub(super) kind: Kind,
    pub(super) settled: Vec<(Settled, Voice)>,
    /// Whether what became of them is to be committed with it.
    pub(super) commit: bool,
}

/// Runs until the relay is gone and everything is committed.
pub(super) async fn run(relay: Weak<Relay>, mut outcomes: mpsc::UnboundedReceiver<Finished>) {
    let Some(parts) = relay.upgrade().map(|relay| Parts::of(&relay)) else { return };
    let mut batch = Vec::with_capacity(BATCH);
    while outcomes.recv_many(&mut batch, BATCH).await > 0 {
        let (mut told, rest) = sort(std::mem::take(&mut batch));
        let ids: Vec<i64> = told
            .values()
            .flat_map(|told| told.settled.iter().map(|(settled, _)| settled.recipient.id))
            .chain(rest.settled.iter().map(|settled| settled.recipient.id))
            .collect();
        let plain = parts.commit(rest);
        let reports = async {
            while let Some((_, told)) = told.pop_first() {
                parts.report(told).await;
            }
        };
        tokio::join!(plain, reports);
        if let Some(relay) = relay.upgrade() {
            relay.forget(ids.into_iter());
        }
    }
}

/// What settling needs of the relay, which may be gone before the last outcome is committed.
pub(super) struct Parts {
    pub(super) control: Arc<crate::control::Control>,
    pub(super) store: Arc<crate::store::Store>,
    pub(super) directory: Arc<crate::directory::Directory>,
    pub(super) verify: Arc<crate::verify::Verify>,
    committer: crate::intake::Committer,
    ids: (i64, std::sync::atomic::AtomicI64),
}

fn sort(batch: Vec<Finished>) -> (BTreeMap<(i64, Kind, bool), Told>, Delivery) {
    let mut told: BTreeMap<(i64, Kind, bool), Told> = BTreeMap::new();
    let mut rest = Delivery::default();
    for finished in batch {
        match finished {
            Finished::Recipient(settled, Some(kind), voice) => {
                tell(&mut told, *settled, kind, voice, true);
            }
            Finished::Told(settled, kind, voice) => tell(&mut told, *settled, kind, voice, false),
            Finished::Recipient(settled, None, _) => rest.settled.push(*settled),
            Finished::Destination(down) => rest.down.push(down),
        }
    }
    (told, rest)
}

fn tell(
    told: &mut BTreeMap<(i64, Kind, bool), Told>,
    settled: Settled,
    kind: Kind,
    voice: Voice,
    commit: bool,
) {
    let one = told.entry((settled.message.id, kind, commit));
    one.or_insert_with(|| Told { kind, settled: Vec::new(), commit }).settled.push((settled, voice));
}

impl Parts {
    fn of(relay: &Relay) -> Self {
        let parts = &relay.parts;
        Self {
            control: parts.control.clone(),
            store: parts.store.clone(),
            directory: parts.directory.clone(),
            verify: parts.verify.clone(),
            committer: parts.committer.clone(),
            ids: (jiff::Timestamp::now().as_millisecond(), std::sync::atomic::AtomicI64::new(0)),
        }
    }

    /// A name that no other report has.
    pub(super) fn report_id(&self) -> String {
        let count = self.ids.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        format!("{:x}.{count:x}", self.ids.0)
    }

    /// Commits outcomes that nobody is told of.
    async fn commit(&self, delivery: Delivery) {
        if delivery.settled.is_empty() && delivery.down.is_empty() {
            return;
        }
        let Delivery { settled, down, .. } = delivery;
        loop {
            let again = Delivery { settled: settled.clone(), down: down.clone(), ..Delivery::default() };
            match self.committer.deliver(again).await {
                Ok(_) => return,
                Err(error) => {
                    tracing::debug!(%error, "outcomes of deliveries wait for the database");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Commits outcomes together with the report of them.
    async fn report(&self, told: Told) {
        loop {
            let outcome = async {
                let mut delivery = notify::report(self, &told).await?;
                if told.commit {
                    delivery.settled = told.settled.iter().map(|(settled, _)| settled.clone()).collect();
                }
                self.committer.deliver(delivery).await
            };
            match outcome.await {
                Ok(_) => return,
                Err(error) => {
                    if !error.is_unavailable() {
                        tracing::error!(%error, "a report cannot be made; it is tried again");
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}
