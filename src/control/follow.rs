//! The node's own loop: hears bells, looks at the clock, obeys what was committed, and reports.
//!
//! A bell says only that there is something to see. What there is to obey is the generation: read at every bell and at
//! every beat of the clock, so a lost bell costs two seconds and nothing else. A change counts as obeyed
//! (`live.node.applied_generation`) when the new snapshot is in place, listeners and sessions are as it says, and what
//! was remembered of the directory is forgotten.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::config::Config;
use super::{Control, Supervisor};
use crate::db::Error;
use crate::db::listen::{Bell, Ear};
use crate::net::stop::Stop;
use crate::sql;

const SNAPSHOT: &str = sql!("control/snapshot");
const HEARTBEAT: &str = sql!("control/heartbeat");
const REPORT_APPLIED: &str = sql!("control/report_applied");

/// Changes that come close together are obeyed together.
const DEBOUNCE: Duration = Duration::from_millis(20);
/// How often `live.session` is written.
const WRITE: Duration = Duration::from_millis(500);
/// The clock behind the bells.
const CLOCK: Duration = Duration::from_secs(2);

/// Reads the snapshot.
pub async fn load(db: &crate::db::Db) -> Result<Config, Error> {
    let row = db.query_opt(SNAPSHOT, &[]).await?.ok_or_else(|| Error::Fault("no snapshot".to_owned()))?;
    Config::parse(row.get(0)).map_err(|e| Error::Fault(e.to_string()))
}

/// Follows the control plane until told to stop.
pub async fn follow(control: Arc<Control>, supervisor: Arc<Supervisor>, stop: Stop) {
    let mut follower =
        Follower { ear: control.bells.listen(), control, supervisor, applied: -1, reported_error: None };
    follower.run(stop).await;
}

struct Follower {
    control: Arc<Control>,
    supervisor: Arc<Supervisor>,
    ear: Ear,
    applied: i64,
    reported_error: Option<String>,
}

impl Follower {
    async fn run(&mut self, mut stop: Stop) {
        let mut write = interval(WRITE);
        let mut clock = interval(CLOCK);
        write.set_missed_tick_behavior(MissedTickBehavior::Delay);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut look_at: Option<Instant> = None;
        loop {
            tokio::select! {
                _ = stop.wait() => return,
                bell = self.ear.next() => match bell {
                    Bell::Control | Bell::Gap => {
                        look_at.get_or_insert_with(|| Instant::now() + DEBOUNCE);
                        if bell == Bell::Gap {
                            self.log(self.control.registry.obey_deletions(&self.control.db).await);
                        }
                    }
                    Bell::Session => self.log(self.control.registry.obey_deletions(&self.control.db).await),
                    Bell::Mailbox { .. } | Bell::Queue => {}
                },
                () = sleep_until(look_at.unwrap_or_else(Instant::now)), if look_at.is_some() => {
                    look_at = None;
                    let outcome = self.look().await;
                    self.log(outcome);
                }
                _ = write.tick() => {
                    self.log_failure(self.control.registry.write(&self.control.db).await);
                    self.log_failure(self.supervisor.report(&self.control).await);
                }
                _ = clock.tick() => {
                    let outcome = self.look().await;
                    self.log(outcome);
                    self.supervisor.retry_failed(&self.control).await;
                    self.log(self.control.registry.obey_deletions(&self.control.db).await);
                }
            }
        }
    }

    /// A database that is away is no news here: whoever needs it says so, and the clock tries again.
    fn log(&self, outcome: Result<(), Error>) {
        if outcome.is_ok() {
            self.control.database_is(true);
        }
        self.log_failure(outcome);
    }

    /// The same for what asks the database only when there is something to write: that it went well says nothing.
    fn log_failure(&self, outcome: Result<(), Error>) {
        match outcome {
            Ok(()) => {}
            Err(error) if error.is_unavailable() => {
                self.control.database_is(false);
                tracing::debug!(%error, "control plane");
            }
            Err(error) => tracing::error!(%error, "control plane"),
        }
    }

    /// Looks at the generation and obeys what is new.
    async fn look(&mut self) -> Result<(), Error> {
        let control = self.control.clone();
        let node = &control.node;
        let row = control.db.query_opt(HEARTBEAT, &[&node.name, &node.boot_text()]).await?;
        let row = row.ok_or_else(|| Error::Fault("control.generation is empty".to_owned()))?;
        let (value, config, registered): (i64, i64, bool) = (row.get(0), row.get(1), row.get(2));
        control.count_other_nodes(row.get(3));
        if !registered {
            // The tables were emptied by a crash of the database, or this node is new.
            node.register(&control.db, self.applied.max(0)).await?;
            control.registry.write_all_again();
            self.supervisor.write_all_again();
        }
        if value == self.applied && registered && self.reported_error.is_none() {
            return Ok(());
        }
        let mut error = None;
        if config > control.config().config_generation || self.reported_error.is_some() || self.applied < 0 {
            match load(&control.db).await {
                Ok(config) => {
                    control.replace_config(config);
                    self.supervisor.reconcile(&control).await;
                }
                Err(e) if e.is_unavailable() => return Err(e),
                Err(e) => error = Some(e.to_string()),
            }
        }
        control.directory_changed();
        if error.is_none() {
            self.applied = value;
        } else if error != self.reported_error {
            tracing::error!(error, "a change of settings cannot be obeyed");
        }
        control.db.execute(REPORT_APPLIED, &[&node.name, &node.boot_text(), &value, &error]).await?;
        self.reported_error = error;
        Ok(())
    }
}
