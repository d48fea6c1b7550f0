//! Writes what was noted into the tables, in batches; waits for a database that is away.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::Level;

use super::event::{Event, Unnoted};
use super::{Log, Note, Notes, Trace};
use crate::control::Control;
use crate::db::Error;
use crate::net::stop::{Stop, Stopper};
use crate::sql;

const INSERT_EVENTS: &str = sql!("log/insert_events");
const INSERT_TRACE: &str = sql!("log/insert_trace");

/// How long what was noted waits for more.
const PERIOD: Duration = Duration::from_millis(500);
/// Notes in one batch; when there are as many nothing is waited for.
const MAX_BATCH: usize = 1000;
/// Between two tries while the database is away.
const PAUSE: Duration = Duration::from_millis(500);
/// How long the end waits for the database.
const GRACE: Duration = Duration::from_secs(5);

/// The task that writes.
pub struct Writer {
    stopper: Stopper,
    task: JoinHandle<()>,
}

impl Writer {
    /// Starts it, and has the log obey the settings from now on.
    pub fn start(log: &Log, notes: Notes, control: &Arc<Control>) -> Self {
        log.obey(&control.config().log);
        let (weak, follower) = (Arc::downgrade(control), log.clone());
        control.on_change(move || {
            if let Some(control) = weak.upgrade() {
                follower.obey(&control.config().log);
            }
        });
        let (stopper, stop) = Stopper::new();
        let work = Work { log: log.clone(), notes, control: control.clone(), stop, batch: Batch::default() };
        Self { stopper, task: tokio::spawn(Unnoted::new(work.run())) }
    }

    /// Writes what is left, and ends. What comes later is dropped.
    pub async fn finish(self) {
        self.stopper.stop(Duration::ZERO);
        let task = self.task.abort_handle();
        if timeout(GRACE, self.task).await.is_err() {
            task.abort();
            tracing::warn!("the last events are not in log.event: the database does not take them");
        }
    }
}

struct Work {
    log: Log,
    notes: Notes,
    control: Arc<Control>,
    stop: Stop,
    batch: Batch,
}

/// What is written next.
#[derive(Default)]
struct Batch {
    events: Vec<Event>,
    trace: Vec<Trace>,
    /// Whether each of them is kept; else it is only counted.
    kept: Vec<bool>,
    weight: usize,
}

impl Batch {
    fn push(&mut self, note: Note) {
        self.weight += note.weight();
        match note {
            Note::Event(event) => self.events.push(*event),
            Note::Trace(rows) => self.take(rows, true),
            Note::Count(rows) => self.take(rows, false),
        }
    }

    fn take(&mut self, rows: Vec<Trace>, kept: bool) {
        self.kept.resize(self.kept.len() + rows.len(), kept);
        self.trace.extend(rows.into_iter().map(Trace::bounded));
    }
}

impl Work {
    async fn run(mut self) {
        while self.gather().await {
            self.tell_dropped();
            self.write().await;
        }
    }

    /// Gathers a batch; false when the end was asked for and nothing is left.
    async fn gather(&mut self) -> bool {
        let mut stop = self.stop.clone();
        let mut notes = Vec::new();
        tokio::select! {
            // What is there comes before the end.
            biased;
            _ = self.notes.0.recv_many(&mut notes, MAX_BATCH) => {}
            _ = stop.wait() => return false,
        }
        let enough = Instant::now() + PERIOD;
        let more = async {
            while notes.len() < MAX_BATCH {
                let room = MAX_BATCH - notes.len();
                if self.notes.0.recv_many(&mut notes, room).await == 0 {
                    return;
                }
            }
        };
        tokio::select! {
            // Both are cancel-safe: what was received is in the batch.
            _ = timeout_at(enough, more) => {}
            _ = stop.wait() => {}
        }
        notes.into_iter().for_each(|note| self.batch.push(note));
        true
    }

    /// What was dropped becomes an event.
    fn tell_dropped(&mut self) {
        let dropped = self.log.take_dropped();
        if dropped == (0, 0) {
            return;
        }
        let (events, traces) = dropped;
        let mut fields = Map::new();
        fields.insert("events".to_owned(), Value::from(events));
        fields.insert("trace".to_owned(), Value::from(traces));
        let message = format!(
            "{events} events and {traces} rows of the trace were dropped: more came than could be written"
        );
        tracing::warn!("{message}");
        self.batch.events.push(Event::own(Level::WARN, message, fields));
    }

    /// Writes the batch, when the database is there.
    async fn write(&mut self) {
        let mut batch = std::mem::take(&mut self.batch);
        loop {
            let Err(error) = self.try_write(&mut batch).await else { break };
            if error.is_unavailable() || error.is_retry() {
                sleep(PAUSE).await;
                continue;
            }
            // What is written is bounded and clean; if it is refused all the same, it would be for ever.
            tracing::error!(%error, "a batch of the log cannot be written and is dropped");
            self.log.give_back_dropped((batch.events.len() as u64, batch.trace.len() as u64));
            break;
        }
        self.log.done(batch.weight);
    }

    async fn try_write(&self, batch: &mut Batch) -> Result<(), Error> {
        let (db, node) = (&self.control.db, &self.control.node.name);
        if !batch.events.is_empty() {
            insert_events(db, node, &batch.events).await?;
            batch.events.clear();
        }
        if !batch.trace.is_empty() {
            insert_trace(db, node, &batch.trace, &batch.kept).await?;
            batch.trace.clear();
            batch.kept.clear();
        }
        Ok(())
    }
}

/// The values of one column.
macro_rules! column {
    ($rows:ident, $row:ident => $value:expr) => {
        $rows.iter().map(|$row| $value).collect::<Vec<_>>()
    };
}

async fn insert_events(db: &crate::db::Db, node: &str, events: &[Event]) -> Result<(), Error> {
    let level = column!(events, event => event.level.as_str().to_ascii_lowercase());
    let fields =
        column!(events, event => (!event.fields.is_empty()).then(|| Value::Object(event.fields.clone())));
    db.execute(
        INSERT_EVENTS,
        &[
            &node,
            &column!(events, event => event.at),
            &level,
            &column!(events, event => event.about.service.as_deref().unwrap_or_default()),
            &column!(events, event => event.message.as_str()),
            &fields,
            &column!(events, event => event.about.peer),
            &column!(events, event => event.about.login.as_deref()),
            &column!(events, event => event.about.session),
        ],
    )
    .await
    .map(drop)
}

async fn insert_trace(db: &crate::db::Db, node: &str, rows: &[Trace], kept: &[bool]) -> Result<(), Error> {
    db.execute(
        INSERT_TRACE,
        &[
            &node,
            &column!(rows, row => row.at),
            &column!(rows, row => row.message.as_str()),
            &column!(rows, row => row.step.word()),
            &column!(rows, row => row.session),
            &column!(rows, row => row.peer),
            &column!(rows, row => row.account),
            &column!(rows, row => row.command),
            &column!(rows, row => row.sender.as_deref()),
            &column!(rows, row => row.recipient.as_deref()),
            &column!(rows, row => row.size),
            &column!(rows, row => row.message_id.as_deref()),
            &column!(rows, row => row.mailbox),
            &column!(rows, row => row.uid),
            &column!(rows, row => row.queue_id),
            &column!(rows, row => row.reply.as_deref()),
            &kept,
        ],
    )
    .await
    .map(drop)
}
