//! What has happened, as rows: events of the daemon (`log.event`) and what became of each message (`log.trace`).
//!
//! What must hold:
//! - Nobody waits for the log. A note is handed over without blocking; where there is no room (the database is away, or more
//!   happens than can be written) it is dropped and counted, and the count becomes an event itself.
//! - What waits is bounded in number and in bytes, and so is each note.
//! - Notes are written in batches, one statement for each table, at most every half second unless there are many: a commit each
//!   for hundreds of messages, and none that waits for the disk.
//! - The log never writes about its own writing: what happens within the writer is said on standard error only.
//!
//! Of a message the trace holds what no other table keeps: who brought it and how it was answered (`accepted`, `refused`),
//! where it was put (`placed`), under which number it was queued. Attempts to deliver are rows of `queue.attempt` already,
//! written in the transaction that settles them, so they are not written twice: the view `report.trace` shows both.
//!
//! Why not in the transaction that brings the message in: its batches are what every client waits for, and each index of the trace
//! would be one more to go through before 250 is said. Here the same rows cost the client nothing, and a crash takes along half a
//! second of the story, never mail. Measured with 20 sessions sending 10 KB messages to one mailbox on two cores: 14 us of PostgreSQL's
//! time a message (165 without), no difference in messages a second that could be told from chance, 36,000 rows in 61
//! transactions. Two rows and their index entries are 650 bytes for a message of one of many senders.
//!
//! Mail is counted, too: `log.mail_count` has the sums of the trace by minute, hour and day, written by the very statement that writes a
//! batch of the trace, so that both always agree, whatever crashes; where the trace is not kept the rows are counted and thrown away.
//! Each node has rows of its own there, so that nobody waits for another, and no batch of ours for the committer's, which counts
//! attempts to deliver in the same way. `sample` looks at queue, sessions and storage each minute. A worker that reads the trace
//! afterwards and keeps a mark in it would do without the wider statement, but numbers of rows are given before they are committed:
//! it would have to wait for the oldest transaction to be sure that it leaves none out, and what is not kept it could not count.
//! Measured with batches of 1,000 rows (500 messages for 500 of 100,000 accounts in 200 domains) on two busy cores: 23 ms for the trace
//! alone, 31 ms with counting.
//! `meter` counts the same since the start of the daemon, for those who watch it (`monitor`).

mod event;
mod meter;
mod monitor;
mod sample;
mod trace;
mod upkeep;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};

use tokio::sync::mpsc;

pub use event::EventLayer;
pub use meter::{BUCKETS, Meter};
pub use monitor::{Monitor, ready};
pub use sample::sample;
pub use trace::{Step, Trace, own_name};
pub use upkeep::upkeep;
pub use writer::Writer;

use crate::control::config;
use event::Event;

/// Notes that wait at most.
const MAX_NOTES: usize = 20_000;
/// And their bytes, about.
const MAX_BYTES: usize = 16 << 20;

/// Where notes are handed over. Cheap to clone.
#[derive(Clone)]
pub struct Log(Arc<Shared>);

/// Where they come out.
pub struct Notes(mpsc::Receiver<Note>);

struct Shared {
    notes: mpsc::Sender<Note>,
    bytes: AtomicUsize,
    /// Events up to this rank are kept.
    rank: AtomicU8,
    traces: AtomicBool,
    /// Whether anybody takes notes at all.
    open: AtomicBool,
    meter: Meter,
    dropped_events: AtomicU64,
    dropped_traces: AtomicU64,
}

enum Note {
    Event(Box<Event>),
    Trace(Vec<Trace>),
    /// These are counted and not kept.
    Count(Vec<Trace>),
}

impl Note {
    /// Bytes that it takes, about.
    fn weight(&self) -> usize {
        match self {
            Note::Event(event) => event.weight(),
            Note::Trace(rows) | Note::Count(rows) => rows.iter().map(Trace::weight).sum(),
        }
    }
}

impl Log {
    /// A log, and where what is noted comes out. Until settings are known events of level info are kept, and traces.
    pub fn open() -> (Self, Notes) {
        let (notes, received) = mpsc::channel(MAX_NOTES);
        let shared = Shared {
            notes,
            bytes: AtomicUsize::new(0),
            rank: AtomicU8::new(config::EventLevel::Info as u8),
            traces: AtomicBool::new(true),
            open: AtomicBool::new(true),
            meter: Meter::default(),
            dropped_events: AtomicU64::new(0),
            dropped_traces: AtomicU64::new(0),
        };
        (Self(Arc::new(shared)), Notes(received))
    }

    /// A log that keeps nothing.
    pub fn closed() -> Self {
        let (log, _) = Self::open();
        log.obey(&config::Log::nothing());
        log.0.open.store(false, Ordering::Relaxed);
        log
    }

    /// Obeys these settings.
    pub fn obey(&self, settings: &config::Log) {
        self.0.rank.store(settings.event_level as u8, Ordering::Relaxed);
        self.0.traces.store(settings.trace, Ordering::Relaxed);
    }

    /// Whether anybody wants to know what becomes of messages: to keep it, or to count it.
    pub fn keeps_trace(&self) -> bool {
        self.0.open.load(Ordering::Relaxed)
    }

    /// Notes what became of a message.
    pub fn trace(&self, rows: Vec<Trace>) {
        if !self.keeps_trace() || rows.is_empty() {
            return;
        }
        self.0.meter.trace(&rows);
        let kept = self.0.traces.load(Ordering::Relaxed);
        self.note(if kept { Note::Trace(rows) } else { Note::Count(rows) });
    }

    /// What has been counted since the start.
    pub fn meter(&self) -> &Meter {
        &self.0.meter
    }

    fn keeps(&self, level: tracing::Level) -> bool {
        event::rank(level) as u8 <= self.0.rank.load(Ordering::Relaxed)
    }

    fn note(&self, note: Note) {
        let weight = note.weight();
        let held = self.0.bytes.fetch_add(weight, Ordering::Relaxed) + weight;
        let refused = match held <= MAX_BYTES {
            true => self.0.notes.try_send(note).err().map(mpsc::error::TrySendError::into_inner),
            false => Some(note),
        };
        if let Some(note) = refused {
            self.0.bytes.fetch_sub(weight, Ordering::Relaxed);
            self.dropped(&note);
        }
    }

    fn dropped(&self, note: &Note) {
        match note {
            Note::Event(_) => self.0.dropped_events.fetch_add(1, Ordering::Relaxed),
            Note::Trace(rows) | Note::Count(rows) => {
                self.0.dropped_traces.fetch_add(rows.len() as u64, Ordering::Relaxed)
            }
        };
    }

    /// Takes note that this has been written, or given up.
    fn done(&self, bytes: usize) {
        self.0.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// How many events and rows of the trace have been dropped since this was asked last.
    fn take_dropped(&self) -> (u64, u64) {
        (self.0.dropped_events.swap(0, Ordering::Relaxed), self.0.dropped_traces.swap(0, Ordering::Relaxed))
    }

    /// Says after all that so many were dropped: it could not be told.
    fn give_back_dropped(&self, (events, traces): (u64, u64)) {
        self.0.dropped_events.fetch_add(events, Ordering::Relaxed);
        self.0.dropped_traces.fetch_add(traces, Ordering::Relaxed);
    }
}

/// The beginning of a text, at most so many bytes, as PostgreSQL takes it: it has no NUL.
fn cut(text: &str, most: usize) -> String {
    let text = text.get(..text.floor_char_boundary(most)).unwrap_or(text);
    match text.contains('\0') {
        true => text.replace('\0', "\u{fffd}"),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(text: &str) -> Trace {
        Trace { reply: Some(text.to_owned()), ..Trace::new(Step::Refused, "1-1") }
    }

    #[test]
    fn what_there_is_no_room_for_is_counted() {
        let (log, mut notes) = Log::open();
        for _ in 0..MAX_NOTES + 3 {
            log.trace(vec![row("x"), row("y")]);
        }
        assert_eq!(log.take_dropped(), (0, 6));
        assert_eq!(log.take_dropped(), (0, 0));
        let mut weight = 0;
        while let Ok(note) = notes.0.try_recv() {
            weight += note.weight();
        }
        log.done(weight);
        assert_eq!(log.0.bytes.load(Ordering::Relaxed), 0);
        let large = "x".repeat(MAX_BYTES / 10);
        for _ in 0..12 {
            log.trace(vec![row(&large)]);
        }
        let (events, traces) = log.take_dropped();
        assert!(events == 0 && (2..5).contains(&traces), "{traces}");
        log.give_back_dropped((1, traces));
        assert_eq!(log.take_dropped(), (1, traces));
    }

    #[test]
    fn a_closed_log_keeps_nothing() {
        let log = Log::closed();
        log.trace(vec![row("x")]);
        assert!(!log.keeps_trace() && !log.keeps(tracing::Level::ERROR));
        assert_eq!((log.0.bytes.load(Ordering::Relaxed), log.take_dropped()), (0, (0, 0)));
    }

    #[test]
    fn text_is_as_the_database_takes_it() {
        for (text, most, kept) in
            [("abc", 3, "abc"), ("abc", 2, "ab"), ("aä", 2, "a"), ("a\0b", 9, "a\u{fffd}b"), ("", 0, "")]
        {
            assert_eq!(cut(text, most), kept, "{text:?}");
        }
    }
}
