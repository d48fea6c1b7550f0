//! The short way from the committer to the relay of this node.
//!
//! A place is taken before the commit, so that the row can be leased in the same transaction, and given back when nothing
//! comes of it. What is handed over is bounded in recipients and in bytes; a destination that was found down takes nothing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc};

use super::{Message, Recipient};

/// Recipients that this node holds at most, handed over or claimed.
const MAX_RECIPIENTS: usize = 4000;
/// Bytes of messages in memory that were handed over.
const MAX_BYTES: usize = 32 << 20;

/// One message for one domain, leased to this node.
#[derive(Debug)]
pub struct Work {
    /// The message.
    pub message: Arc<Message>,
    /// The recipients' domain.
    pub domain: Arc<str>,
    /// Its recipients there.
    pub recipients: Vec<Recipient>,
    /// How often in a row none of the domain's servers could be reached.
    pub failures: i32,
    /// When it was leased.
    pub leased: Instant,
    short: bool,
    /// Its share of what the node may hold.
    place: Option<Place>,
}

impl Work {
    /// What was claimed.
    pub fn new(message: Arc<Message>, domain: Arc<str>, recipients: Vec<Recipient>, failures: i32) -> Self {
        Self { message, domain, recipients, failures, leased: Instant::now(), short: false, place: None }
    }

    /// What was handed over.
    pub fn handed_over(
        message: Arc<Message>,
        domain: Arc<str>,
        recipients: Vec<Recipient>,
        place: Place,
    ) -> Self {
        Self { place: Some(place), short: true, ..Self::new(message, domain, recipients, 0) }
    }

    /// The same, of which it is not known that it leads elsewhere.
    #[must_use]
    pub fn to_be_looked_up(self) -> Self {
        Self { short: false, ..self }
    }

    /// Whether it came by the short way and not by a claim.
    pub fn was_handed_over(&self) -> bool {
        self.short
    }

    /// Takes some of the recipients out, as work of their own.
    pub fn split(&mut self, most: usize) -> Option<Work> {
        if self.recipients.len() <= most {
            return None;
        }
        let rest = self.recipients.split_off(most);
        let place = self.place.as_mut().map(|place| place.split(rest.len()));
        Some(Work {
            message: self.message.clone(),
            domain: self.domain.clone(),
            recipients: rest,
            failures: self.failures,
            leased: self.leased,
            short: self.short,
            place,
        })
    }

    /// Counts claimed work against what the node may hold.
    pub fn count(&mut self, inlet: &Inlet) {
        if self.place.is_none() {
            inlet.0.recipients.fetch_add(self.recipients.len(), Ordering::Relaxed);
            self.place = Some(Place { inlet: inlet.clone(), recipients: self.recipients.len(), bytes: 0 });
        }
    }
}

/// Where work is handed over. Cheap to clone.
#[derive(Clone)]
pub struct Inlet(Arc<Shared>);

struct Shared {
    work: mpsc::UnboundedSender<Work>,
    open: AtomicBool,
    recipients: AtomicUsize,
    bytes: AtomicUsize,
    down: Mutex<HashMap<Arc<str>, Instant>>,
    waits: Notify,
}

impl std::fmt::Debug for Inlet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inlet")
    }
}

/// Room for some recipients, given back when dropped.
#[derive(Debug)]
pub struct Place {
    inlet: Inlet,
    recipients: usize,
    bytes: usize,
}

impl Place {
    /// Divides it: so many recipients have one of their own.
    pub fn split(&mut self, recipients: usize) -> Place {
        let recipients = recipients.min(self.recipients);
        self.recipients -= recipients;
        Place { inlet: self.inlet.clone(), recipients, bytes: 0 }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.inlet.0.recipients.fetch_sub(self.recipients, Ordering::Relaxed);
        self.inlet.0.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Inlet {
    /// An inlet, closed, and where its work comes out.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<Work>) {
        let (work, handed_over) = mpsc::unbounded_channel();
        let shared = Shared {
            work,
            open: AtomicBool::new(false),
            recipients: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            down: Mutex::default(),
            waits: Notify::new(),
        };
        (Self(Arc::new(shared)), handed_over)
    }

    /// Says whether anything is sent at all.
    pub fn set_open(&self, open: bool) {
        self.0.open.store(open, Ordering::Relaxed);
    }

    /// Whether anything is sent.
    pub fn is_open(&self) -> bool {
        self.0.open.load(Ordering::Relaxed)
    }

    /// Room for a message of so many bytes in memory to so many recipients there; `None`: it shall be found by a claim.
    pub fn place(&self, domain: &str, recipients: usize, bytes: usize) -> Option<Place> {
        if !self.is_open() || self.is_down(domain) {
            return None;
        }
        let taken = self.0.recipients.fetch_add(recipients, Ordering::Relaxed) + recipients;
        let held = self.0.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        // Given back by its drop when it is too much.
        let place = Place { inlet: self.clone(), recipients, bytes };
        (taken <= MAX_RECIPIENTS && held <= MAX_BYTES).then_some(place)
    }

    /// Hands over.
    pub fn hand_over(&self, work: Work) {
        // The relay is gone only when the server stops; then the lease is given back at the next start.
        self.0.work.send(work).ok();
    }

    /// Says that something waits to be claimed.
    pub fn ring(&self) {
        self.0.waits.notify_one();
    }

    /// Waits for that.
    pub async fn rung(&self) {
        self.0.waits.notified().await;
    }

    /// How many recipients the node could still take.
    pub fn room(&self) -> usize {
        MAX_RECIPIENTS.saturating_sub(self.0.recipients.load(Ordering::Relaxed))
    }

    /// Takes note that a domain's servers cannot be reached.
    pub fn down(&self, domain: Arc<str>, wait: Duration) {
        let mut down = self.0.down.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        down.retain(|_, until| *until > now);
        down.insert(domain, now + wait);
    }

    /// Takes note that they can.
    pub fn up(&self, domain: &str) {
        self.0.down.lock().unwrap_or_else(PoisonError::into_inner).remove(domain);
    }

    fn is_down(&self, domain: &str) -> bool {
        let down = self.0.down.lock().unwrap_or_else(PoisonError::into_inner);
        down.get(domain).is_some_and(|until| *until > Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn takes_what_it_has_room_for() {
        let (inlet, _work) = Inlet::new();
        assert!(inlet.place("x.test", 1, 1).is_none(), "closed");
        inlet.set_open(true);
        let first = inlet.place("x.test", MAX_RECIPIENTS, 10);
        assert!(first.is_some() && inlet.room() == 0 && inlet.place("x.test", 1, 1).is_none());
        let mut first = first.unwrap();
        let second = first.split(1000);
        drop(first);
        assert_eq!(inlet.room(), MAX_RECIPIENTS - 1000);
        drop(second);
        assert!(inlet.place("x.test", 1, MAX_BYTES + 1).is_none());
        assert_eq!(inlet.room(), MAX_RECIPIENTS);
        inlet.down("x.test".into(), Duration::from_secs(60));
        assert!(inlet.place("x.test", 1, 1).is_none() && inlet.place("y.test", 1, 1).is_some());
        inlet.up("x.test");
        assert!(inlet.place("x.test", 1, 1).is_some());
    }
}
