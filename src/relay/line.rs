//! Lines: one for each next hop and identity, with what waits for it and the workers that have connections to it.
//!
//! Whoever puts work into a line wakes an idle worker, or starts one while the line has fewer than it may have. A worker that
//! finds nothing to do keeps its connection for a moment, unless others wait for one.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::route::{Hop, Identity};
use super::{Relay, lock, worker};
use crate::control::Config;
use crate::queue::Work;

/// While one server refuses further connections and others stand, no more are tried for so long.
const COOL: Duration = Duration::from_secs(10);

/// All lines of the node.
#[derive(Default)]
pub(super) struct Lines {
    lines: Mutex<HashMap<(Hop, Identity), Arc<Line>>>,
    running: Arc<Running>,
}

/// How many workers there are, and whether they shall end.
#[derive(Default)]
struct Running {
    workers: Mutex<usize>,
    gone: Notify,
    stopping: std::sync::atomic::AtomicBool,
}

/// One line.
pub(super) struct Line {
    pub(super) hop: Hop,
    pub(super) identity: Identity,
    state: Mutex<State>,
    bell: Notify,
    running: Arc<Running>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Work>,
    workers: usize,
    idle: usize,
    connected: usize,
    cool_until: Option<Instant>,
    /// Messages sent in the minute that began then.
    pace: Option<(Instant, u32)>,
}

impl Lines {
    /// Puts work into its line, and sees to it that somebody takes it.
    pub(super) fn push(
        &self,
        relay: &Arc<Relay>,
        hop: &Hop,
        identity: &Identity,
        work: Work,
        config: &Config,
    ) {
        let mut lines = lock(&self.lines);
        let key = (hop.clone(), identity.clone());
        let line = lines
            .entry(key)
            .or_insert_with(|| {
                Arc::new(Line {
                    hop: hop.clone(),
                    identity: identity.clone(),
                    state: Mutex::default(),
                    bell: Notify::new(),
                    running: self.running.clone(),
                })
            })
            .clone();
        // Under the lock of the lines, so that the line is not taken away as empty meanwhile.
        line.push(relay, work, most_connections(hop, config));
    }

    /// How many works wait for the domains that have more than `most`.
    pub(super) fn busy(&self, most: usize) -> Vec<String> {
        let lines = lock(&self.lines);
        let mut counts: HashMap<Arc<str>, usize> = HashMap::new();
        for line in lines.values() {
            for work in &lock(&line.state).waiting {
                *counts.entry(work.domain.clone()).or_default() += 1;
            }
        }
        counts.into_iter().filter(|(_, count)| *count >= most).map(|(domain, _)| domain.to_string()).collect()
    }

    /// Takes a line away that nobody needs any more.
    pub(super) fn tidy(&self, line: &Arc<Line>) {
        let mut lines = lock(&self.lines);
        let state = lock(&line.state);
        if state.workers == 0 && state.waiting.is_empty() {
            lines.remove(&(line.hop.clone(), line.identity.clone()));
        }
    }

    /// Takes back all that was not begun with, and returns its recipients.
    pub(super) fn take_back(&self) -> Vec<i64> {
        let lines = lock(&self.lines);
        let works = lines.values().flat_map(|line| line.drain());
        works.flat_map(|work| work.recipients).map(|recipient| recipient.id).collect()
    }

    /// Lets the workers finish what they are at, and returns the recipients that were not begun with.
    pub(super) async fn stop(&self, grace: Duration) -> Vec<i64> {
        self.running.stopping.store(true, std::sync::atomic::Ordering::SeqCst);
        let mut left = Vec::new();
        for line in lock(&self.lines).values() {
            for work in lock(&line.state).waiting.drain(..) {
                left.extend(work.recipients.iter().map(|recipient| recipient.id));
            }
            line.bell.notify_waiters();
        }
        let all_gone = async {
            loop {
                let gone = self.running.gone.notified();
                if *lock(&self.running.workers) == 0 {
                    return;
                }
                gone.await;
            }
        };
        if tokio::time::timeout(grace, all_gone).await.is_err() {
            tracing::warn!("messages that were just going out are cut off");
        }
        left
    }
}

/// How many connections a line may have.
fn most_connections(hop: &Hop, config: &Config) -> usize {
    let of_route = match hop {
        Hop::Route(id) => {
            config.routes.iter().find(|route| route.id == *id).map(|route| route.max_connections)
        }
        Hop::Mx(_) | Hop::Host(..) => None,
    };
    of_route.filter(|most| *most > 0).unwrap_or(config.relay.max_connections_per_destination).max(1)
}

impl Line {
    fn push(self: &Arc<Self>, relay: &Arc<Relay>, work: Work, most: usize) {
        let mut state = lock(&self.state);
        let place = state
            .waiting
            .iter()
            .rposition(|other| other.message.envelope.priority >= work.message.envelope.priority);
        match place {
            Some(place) if place + 1 < state.waiting.len() => state.waiting.insert(place + 1, work),
            None if !state.waiting.is_empty() => state.waiting.push_front(work),
            _ => state.waiting.push_back(work),
        }
        if state.idle > 0 {
            // Taken for this work; the next push wakes another.
            state.idle -= 1;
            self.bell.notify_one();
        } else if state.workers < most && !state.is_cooling() {
            state.workers += 1;
            self.spawn(relay);
        }
    }

    fn spawn(self: &Arc<Self>, relay: &Arc<Relay>) {
        *lock(&self.running.workers) += 1;
        let leave = Leave { line: self.clone(), relay: relay.clone(), connected: false, left: false };
        tokio::spawn(worker::run(relay.clone(), leave));
    }

    /// The next work.
    pub(super) fn next(&self) -> Option<Work> {
        lock(&self.state).waiting.pop_front()
    }

    /// Everything that waits.
    pub(super) fn drain(&self) -> Vec<Work> {
        lock(&self.state).waiting.drain(..).collect()
    }

    /// Puts work back at the front.
    pub(super) fn put_back(&self, work: Work) {
        lock(&self.state).waiting.push_front(work);
    }

    /// Waits for work, not longer than this.
    pub(super) async fn wait(&self, patience: Duration) -> Option<Work> {
        lock(&self.state).idle += 1;
        let rung = tokio::time::timeout(patience, self.bell.notified()).await.is_ok();
        let mut state = lock(&self.state);
        if !rung && state.idle > 0 {
            state.idle -= 1;
        }
        state.waiting.pop_front()
    }

    /// How long to wait until another message may be sent, at so many a minute.
    pub(super) fn pause(&self, most: u32) -> Option<Duration> {
        const MINUTE: Duration = Duration::from_secs(60);
        if most == 0 {
            return None;
        }
        let mut state = lock(&self.state);
        match &mut state.pace {
            Some((began, sent)) if began.elapsed() < MINUTE => {
                if *sent >= most {
                    return Some(MINUTE.saturating_sub(began.elapsed()));
                }
                *sent += 1;
            }
            pace => *pace = Some((Instant::now(), 1)),
        }
        None
    }

    /// Whether the workers shall end.
    pub(super) fn is_stopping(&self) -> bool {
        self.running.stopping.load(std::sync::atomic::Ordering::SeqCst)
    }

    /// Whether another worker has a connection; then no more are tried for a while.
    pub(super) fn is_reached_by_others(&self) -> bool {
        let mut state = lock(&self.state);
        if state.connected == 0 {
            return false;
        }
        state.cool_until = Some(Instant::now() + COOL);
        true
    }
}

impl State {
    fn is_cooling(&self) -> bool {
        self.workers > 0 && self.cool_until.is_some_and(|until| until > Instant::now())
    }
}

/// A worker's place in its line; given up when dropped, however the worker ends.
///
/// Work that came in while the worker was about to end is not forgotten: the last of a line that leaves work behind starts
/// another one.
pub(super) struct Leave {
    pub(super) line: Arc<Line>,
    relay: Arc<Relay>,
    connected: bool,
    left: bool,
}

impl Leave {
    /// Takes note that the worker has a connection, or has none any more.
    pub(super) fn set_connected(&mut self, connected: bool) {
        if self.connected != connected {
            let mut state = lock(&self.line.state);
            if connected {
                state.connected += 1;
            } else {
                state.connected -= 1;
            }
            self.connected = connected;
        }
    }

    /// Gives the place up, unless work came in meanwhile: then it is this worker's.
    pub(super) fn unless_needed(&mut self) -> Option<Work> {
        let mut state = lock(&self.line.state);
        let work = state.waiting.pop_front();
        if work.is_none() && !self.left {
            // Under the lock: who puts work in afterwards sees that this worker has gone.
            state.workers -= 1;
            self.left = true;
        }
        work
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.set_connected(false);
        let mut state = lock(&self.line.state);
        if !self.left {
            state.workers -= 1;
        }
        if state.workers == 0 && !state.waiting.is_empty() && !self.line.is_stopping() {
            state.workers += 1;
            self.line.spawn(&self.relay);
        }
        drop(state);
        *lock(&self.line.running.workers) -= 1;
        self.line.running.gone.notify_waiters();
    }
}
