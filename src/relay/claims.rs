//! What is due in the tables: found by bells and by the clock, leased, and given to the relay. And the upkeep of leases.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};

use super::{Relay, lock};
use crate::control::lease;
use crate::db::Error;
use crate::db::listen::Bell;
use crate::net::stop::Stop;
use crate::queue::{self, LEASE};
use crate::sql;

const NEXT_LOOK: &str = sql!("queue/next_look");

/// Recipients of one domain taken in one claim.
const EACH: usize = 200;
/// A domain with so many works waiting takes no more.
const ENOUGH: usize = 100;
/// The clock behind the bells.
const CLOCK: Duration = Duration::from_secs(5);
/// How often leases are renewed, and what was cancelled by others is looked for.
const RENEW: Duration = Duration::from_secs(60);
/// How often what a crash may have left is looked for, by one node.
const MEND: Duration = Duration::from_secs(60);

/// Claims what is due until the task is aborted.
pub(super) async fn run(relay: Arc<Relay>, mut stop: Stop) {
    let control = relay.parts.control.clone();
    let mut ear = control.bells.listen();
    let mut upkeep = interval(RENEW.min(MEND));
    upkeep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut released = false;
    loop {
        if !released {
            released = queue::release(&control.db, &control.node.name).await.is_ok();
            if released {
                relay.obey();
            }
        }
        let pause = match released && relay.inlet.is_open() {
            true => match claim(&relay).await {
                Ok(pause) => pause,
                Err(error) => {
                    if !error.is_unavailable() {
                        tracing::error!(%error, "the queue cannot be looked at");
                    }
                    Duration::from_secs(1)
                }
            },
            false => Duration::from_secs(1),
        };
        tokio::select! {
            _ = stop.wait() => return,
            () = relay.inlet.rung() => {}
            () = changed(&mut ear) => log(look_after(&relay).await),
            () = tokio::time::sleep(pause) => {}
            _ = upkeep.tick() => {
                log(renew(&relay).await);
                log(mend(&relay).await);
            }
        }
    }
}

/// Somebody has changed the queue by SQL, or may have.
async fn changed(ear: &mut crate::db::listen::Ear) {
    while !matches!(ear.next().await, Bell::Queue | Bell::Gap) {}
}

/// Claims once; returns how long nothing will be due.
async fn claim(relay: &Arc<Relay>) -> Result<Duration, Error> {
    let control = &relay.parts.control;
    let room = relay.inlet.room();
    if room < EACH {
        return Ok(Duration::from_millis(50));
    }
    let busy = relay.lines.busy(ENOUGH);
    let found = queue::claim(&control.db, &control.node.name, EACH.min(room), &busy).await?;
    let any = !found.is_empty();
    for work in found {
        relay.take(work).await;
    }
    if any {
        // There may be more. What is busy now is looked at again soon.
        return Ok(Duration::ZERO);
    }
    if !busy.is_empty() {
        return Ok(Duration::from_millis(50));
    }
    let row = control.db.query_opt(NEXT_LOOK, &[]).await?;
    let seconds = row.and_then(|row| row.get::<_, Option<f64>>(0)).unwrap_or(f64::MAX);
    Ok(Duration::from_secs_f64(seconds.clamp(0.01, CLOCK.as_secs_f64())))
}

/// Finds out what of this node's work has been cancelled or held.
async fn look_after(relay: &Relay) -> Result<(), Error> {
    let control = &relay.parts.control;
    let held = relay.held();
    if !held.is_empty() {
        let wanted = queue::still_wanted(&control.db, &control.node.name, &held).await?;
        relay.still_wanted(&held, &wanted);
    }
    Ok(())
}

async fn renew(relay: &Relay) -> Result<(), Error> {
    let control = &relay.parts.control;
    let held = relay.held();
    let asked = Instant::now();
    if !held.is_empty() {
        let wanted = queue::renew(&control.db, &control.node.name, &held).await?;
        relay.still_wanted(&held, &wanted);
    }
    *lock(&relay.renewed) = asked;
    Ok(())
}

async fn mend(relay: &Relay) -> Result<(), Error> {
    let control = &relay.parts.control;
    if lease::take(&control.db, "queue.upkeep", &control.node.name, LEASE).await? {
        queue::mend(&control.db).await?;
        queue::prune(&control.db, control.config().relay.attempt_days).await?;
    }
    Ok(())
}

fn log(outcome: Result<(), Error>) {
    match outcome {
        Ok(()) => {}
        Err(error) if error.is_unavailable() => tracing::debug!(%error, "the queue is looked after later"),
        Err(error) => tracing::error!(%error, "the queue cannot be looked after"),
    }
}
