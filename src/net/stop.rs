//! The two ways a session is asked to end: with all others of its service, or alone.
//!
//! A stop is graceful: it names an instant by which all must be over, and a session in the middle of a message may use
//! that time. A termination is an administrator's word about one session and is obeyed at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// The end that asks a whole service to stop. Dropping it asks nothing.
#[derive(Debug)]
pub struct Stopper(watch::Sender<Option<Instant>>);

/// The end that is asked; cheap to clone, one for each session.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<Option<Instant>>);

impl Stopper {
    /// A pair of the two ends.
    pub fn new() -> (Self, Stop) {
        let (sender, receiver) = watch::channel(None);
        (Self(sender), Stop(receiver))
    }

    /// Asks for the end: idle sessions at once, busy ones within `grace`. Asked again, the earlier deadline holds.
    pub fn stop(&self, grace: Duration) {
        let deadline = Instant::now() + grace;
        self.0.send_modify(|asked| *asked = Some(asked.map_or(deadline, |earlier| earlier.min(deadline))));
    }
}

impl Stop {
    /// A stop that is never asked for.
    pub fn never() -> Self {
        Stopper::new().1
    }

    /// The deadline, when the end has been asked for.
    pub fn asked(&self) -> Option<Instant> {
        *self.0.borrow()
    }

    /// Waits until the end is asked for, and gives the deadline. Cancel-safe.
    pub async fn wait(&mut self) -> Instant {
        // An error means that the other end is gone and will never ask.
        match self.0.wait_for(Option::is_some).await.map(|asked| *asked) {
            Ok(Some(deadline)) => deadline,
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// Waits until the time that was given is over. Cancel-safe.
    pub async fn overdue(&mut self) {
        // A second, stricter request may move the deadline nearer while the first runs.
        let mut deadline = self.wait().await;
        while Instant::now() < deadline {
            tokio::select! {
                () = tokio::time::sleep_until(deadline) => return,
                changed = self.0.changed() => match changed {
                    Ok(()) => deadline = self.asked().unwrap_or(deadline),
                    Err(_) => return tokio::time::sleep_until(deadline).await,
                },
            }
        }
    }
}

/// Ends one session; all clones mean the same session.
#[derive(Clone, Debug, Default)]
pub struct Termination(Arc<(AtomicBool, Notify)>);

impl Termination {
    /// One for a new session.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the session it was given to.
    pub fn terminate(&self) {
        self.0.0.store(true, Ordering::SeqCst);
        self.0.1.notify_waiters();
    }

    /// Whether the end was asked for.
    pub fn asked(&self) -> bool {
        self.0.0.load(Ordering::SeqCst)
    }

    /// Waits until the end is asked for. Cancel-safe.
    pub async fn wait(&self) {
        // Made before the flag is read: a termination between the two still wakes it.
        let woken = self.0.1.notified();
        if !self.asked() {
            woken.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_earlier_deadline_holds() {
        let (stopper, mut stop) = Stopper::new();
        assert_eq!(stop.asked(), None);
        stopper.stop(Duration::from_secs(3600));
        let late = stop.wait().await;
        stopper.stop(Duration::from_secs(7200));
        assert_eq!(stop.wait().await, late);
        let waiting = tokio::spawn({
            let mut stop = stop.clone();
            async move { stop.overdue().await }
        });
        tokio::task::yield_now().await;
        stopper.stop(Duration::ZERO);
        tokio::time::timeout(Duration::from_secs(5), waiting).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_termination_is_seen_before_and_while_waiting() {
        let termination = Termination::new();
        let waiting = tokio::spawn({
            let termination = termination.clone();
            async move { termination.wait().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        termination.terminate();
        tokio::time::timeout(Duration::from_secs(5), waiting).await.unwrap().unwrap();
        termination.wait().await;
    }
}
