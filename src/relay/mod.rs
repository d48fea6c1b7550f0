//! A message goes out: from the queue to other servers, or to a mailbox here.
//!
//! What must hold:
//! - A recipient leaves the queue only in a transaction: when another server has taken the message, with the mailbox rows that
//!   hold it, or with the report that tells its sender. Outcomes outlive the database's absence: they wait in memory until
//!   they can be committed.
//! - A message is sent twice only where the answer to its last byte, or the commit of its outcome, was lost.
//! - Nobody waits for a slow destination but its own mail: each has a line with connections of its own, and a bound on them.
//! - Never a bounce for a bounce, and never one for what could be refused at RCPT or DATA.
//!
//! The way of a message: `Relay::take` is given [`Work`] by the committer (`queue::Inlet`) or by a claim (`claims`). It goes into
//! the `line` of its next hop (`route`); a worker (`worker`) opens a connection (`hosts`, `client`), sends one message after the
//! other (`transaction`; `convert` makes it fit servers that take 7 bits only) and says what became of each (`outcome`). `settle` gathers that and has it committed; `notify` makes
//! reports (`report`) of what senders must know. Recipients whose domain is ours are delivered by `local`.
//!
//! What it costs: a message that goes out at once, one row of the queue inserted and deleted within batches that are written
//! anyway, one row of `queue.attempt`, no reading; one that waits, an indexed claim in batches of hundreds and the reading of its
//! bytes.

mod body;
mod claims;
mod client;
mod convert;
mod hosts;
mod line;
mod local;
mod mta_sts;
mod notify;
mod outcome;
mod report;
mod route;
mod settle;
mod tls;
mod tls_policy;
mod tls_report;
mod transaction;
mod worker;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use crate::control::{Config, Control};
use crate::db::Error;
use crate::directory::Directory;
use crate::dns::Dns;
use crate::intake::Committer;
use crate::net::stop::Stop;
use crate::queue::{self, Inlet, LEASE, Work};
use crate::sql;
use crate::store::Store;
use crate::verify::{Verify, report as verify_report};

use line::Lines;
use outcome::Finished;
use route::{Hop, Identity};

const IDENTITIES: &str = sql!("relay/identities");

/// How long before its end a lease is too short to begin with.
const MARGIN: Duration = Duration::from_secs(60);
/// How long a stop waits for messages that are just going out.
const GRACE: Duration = Duration::from_secs(20);

/// What the relay stands on.
pub struct Parts {
    /// Settings and the database.
    pub control: Arc<Control>,
    /// Bytes of messages.
    pub store: Arc<Store>,
    /// Who is here.
    pub directory: Arc<Directory>,
    /// Commits what became of mail.
    pub committer: Committer,
    /// Names.
    pub dns: Dns,
    /// Signs what is written or changed on the way out.
    pub verify: Arc<Verify>,
    /// Puts reports into the queue.
    pub send: verify_report::Send,
}

/// The relay of this node.
pub struct Relay {
    parts: Parts,
    inlet: Inlet,
    lines: Lines,
    connections: Arc<Semaphore>,
    capacity: Mutex<usize>,
    finished: mpsc::UnboundedSender<Finished>,
    held: Mutex<HashMap<i64, bool>>,
    renewed: Mutex<Instant>,
    identities: ArcSwapOption<HashMap<String, Identity>>,
    stop: Stop,
    policies: mta_sts::Policies,
    reports: tls_report::Reports,
    room: convert::Room,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is under these locks is valid between any two statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Relay {
    /// Starts the relay; `handed_over` is the other end of `inlet`. It ends by itself when `stop` is asked: what is just going
    /// out may finish, and what became of it is committed.
    pub fn start(
        parts: Parts,
        inlet: Inlet,
        handed_over: mpsc::UnboundedReceiver<Work>,
        stop: Stop,
    ) -> JoinHandle<()> {
        let (finished, outcomes) = mpsc::unbounded_channel();
        let capacity = parts.control.config().relay.max_connections;
        let relay = Arc::new(Self {
            inlet,
            lines: Lines::default(),
            connections: Arc::new(Semaphore::new(capacity)),
            capacity: Mutex::new(capacity),
            finished,
            held: Mutex::default(),
            renewed: Mutex::new(Instant::now()),
            identities: ArcSwapOption::empty(),
            stop: stop.clone(),
            policies: mta_sts::Policies::new(),
            reports: tls_report::Reports::default(),
            room: convert::Room::default(),
            parts,
        });
        let weak = Arc::downgrade(&relay);
        relay.parts.control.on_change(move || {
            if let Some(relay) = weak.upgrade() {
                relay.obey();
            }
        });
        let telling = tokio::spawn(tls_report::run(Arc::downgrade(&relay), stop.clone()));
        let settling = tokio::spawn(settle::run(Arc::downgrade(&relay), outcomes));
        tokio::spawn(relay.run(handed_over, stop, telling, settling))
    }

    async fn run(
        self: Arc<Self>,
        mut handed_over: mpsc::UnboundedReceiver<Work>,
        mut stop: Stop,
        telling: JoinHandle<()>,
        settling: JoinHandle<()>,
    ) {
        let claims = tokio::spawn(claims::run(self.clone(), stop.clone()));
        loop {
            tokio::select! {
                _ = stop.wait() => break,
                work = handed_over.recv() => match work {
                    Some(work) => self.take(work).await,
                    None => break,
                }
            }
        }
        self.inlet.set_open(false);
        claims.abort();
        let left = self.lines.stop(GRACE).await;
        if !left.is_empty() {
            let (control, ids) = (&self.parts.control, left);
            if let Err(error) = queue::return_leases(&control.db, &control.node.name, &ids).await {
                tracing::debug!(%error, "leases are not given back, and end by themselves");
            }
        }
        telling.abort();
        match tokio::time::timeout(GRACE, self.write_tls_counts()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "results for TLS reports are lost"),
            Err(_) => tracing::debug!("results for TLS reports are lost"),
        }
        // The last sender of outcomes goes with the relay; then what is left is committed.
        drop(self);
        if tokio::time::timeout(GRACE, settling).await.is_err() {
            tracing::warn!("outcomes of deliveries could not be committed; these messages may be sent again");
        }
    }

    /// Obeys the settings as they are now.
    fn obey(self: &Arc<Self>) {
        let config = self.parts.control.config();
        self.identities.store(None);
        self.policies.forget();
        self.inlet.set_open(config.relay.enabled && self.stop.asked().is_none());
        if config.relay.enabled {
            self.inlet.ring();
        } else {
            self.give_back();
        }
        let wanted = config.relay.max_connections;
        let had = std::mem::replace(&mut *lock(&self.capacity), wanted);
        if wanted > had {
            self.connections.add_permits(wanted - had);
        } else if wanted < had {
            let connections = self.connections.clone();
            tokio::spawn(async move {
                // The semaphore is never closed, and a number of connections fits a u32.
                if let Ok(permit) = connections.acquire_many(u32::try_from(had - wanted).unwrap_or(0)).await {
                    permit.forget();
                }
            });
        }
    }

    /// The next hop of a domain that has no route.
    async fn hop(&self, domain: &Arc<str>, config: &Config) -> Result<Hop, Error> {
        Ok(match self.parts.directory.remote_host(domain).await? {
            Some((host, port)) => Hop::Host(host, port.unwrap_or(config.relay.port)),
            None => Hop::Mx(domain.clone()),
        })
    }

    /// Gives back what was not begun with: nothing is to be sent any more.
    fn give_back(self: &Arc<Self>) {
        let left = self.lines.take_back();
        if left.is_empty() {
            return;
        }
        self.forget(left.iter().copied());
        let relay = self.clone();
        tokio::spawn(async move {
            let control = &relay.parts.control;
            if let Err(error) = queue::return_leases(&control.db, &control.node.name, &left).await {
                tracing::debug!(%error, "leases are not given back, and end by themselves");
            }
        });
    }

    /// Takes work that is leased to this node, and gets it on its way.
    async fn take(self: &Arc<Self>, mut work: Work) {
        work.count(&self.inlet);
        {
            let mut held = lock(&self.held);
            for recipient in &work.recipients {
                held.insert(recipient.id, true);
            }
        }
        let config = self.parts.control.config();
        let identity = self.identity(&work.message.envelope.sender).await;
        let (hop, identity) = match route::route(&config, &work.domain) {
            Some(route) => {
                let identity = Identity::of_route(route).or(&identity);
                match route.host {
                    Some(_) => (Hop::Route(route.id), identity),
                    None => (Hop::Mx(work.domain.clone()), identity),
                }
            }
            // By DNS it might come back to us: it waits.
            None => match self.hop(&work.domain, &config).await {
                Ok(hop) => (hop, identity),
                Err(error) => return local::postpone(self, work, &error),
            },
        };
        let identity = identity.or(&Identity::of_server(&config));
        let most = config.relay.max_recipients_per_message;
        let mut rest = work.split(most);
        self.lines.push(self, &hop, &identity, work, &config);
        while let Some(mut next) = rest {
            rest = next.split(most);
            self.lines.push(self, &hop, &identity, next, &config);
        }
    }

    /// Who we are for the users of the sender's domain.
    async fn identity(&self, sender: &str) -> Identity {
        let Some((_, domain)) = sender.rsplit_once('@') else { return Identity::default() };
        let known = match self.identities.load_full() {
            Some(known) => known,
            None => match self.read_identities().await {
                Ok(read) => {
                    let read = Arc::new(read);
                    self.identities.store(Some(read.clone()));
                    read
                }
                Err(error) => {
                    tracing::debug!(%error, "the domains' own addresses are not known now");
                    return Identity::default();
                }
            },
        };
        known.get(domain).cloned().unwrap_or_default()
    }

    async fn read_identities(&self) -> Result<HashMap<String, Identity>, Error> {
        let rows = self.parts.control.db.query(IDENTITIES, &[]).await?;
        Ok(rows
            .iter()
            .map(|row| {
                let identity = Identity {
                    helo: row.get(1),
                    v4: row.get::<_, Option<String>>(2).and_then(|text| text.parse().ok()),
                    v6: row.get::<_, Option<String>>(3).and_then(|text| text.parse().ok()),
                };
                (row.get(0), identity)
            })
            .collect())
    }

    /// Whether work may begin: its leases last long enough, and nobody has cancelled or held it. What may not is forgotten.
    fn may_begin(&self, work: &mut Work) -> bool {
        let renewed = *lock(&self.renewed);
        let in_time = work.leased.max(renewed).elapsed() <= LEASE - MARGIN;
        let mut held = lock(&self.held);
        work.recipients.retain(|recipient| {
            let wanted = in_time && held.get(&recipient.id).copied().unwrap_or(false);
            if !wanted {
                held.remove(&recipient.id);
            }
            wanted
        });
        !work.recipients.is_empty()
    }

    /// All recipients that are leased to this node.
    fn held(&self) -> Vec<i64> {
        lock(&self.held).keys().copied().collect()
    }

    /// Takes note which of these are still to be delivered to.
    fn still_wanted(&self, asked: &[i64], wanted: &[i64]) {
        let wanted: std::collections::HashSet<i64> = wanted.iter().copied().collect();
        let mut held = lock(&self.held);
        for id in asked {
            if !wanted.contains(id)
                && let Some(is_wanted) = held.get_mut(id)
            {
                *is_wanted = false;
            }
        }
    }

    fn forget(&self, recipients: impl Iterator<Item = i64>) {
        let mut held = lock(&self.held);
        for id in recipients {
            held.remove(&id);
        }
    }
}
