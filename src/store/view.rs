//! The view of one mailbox: which messages it holds, in uid order, with their flags and modseqs.
//!
//! IMAP and POP3 sessions work on this, not on the tables. A [`View`] is an immutable snapshot; every session
//! on a node holds an `Arc` of the one it has told its client about, and an older snapshot vanishes when
//! the last session has moved on. [`View::apply`] makes the next snapshot out of what the tables report as
//! `modseq > last seen`; [`diff`] says what a client has to be told between two snapshots; [`hold_expunges`]
//! makes the snapshot to stand on while EXPUNGE must not be sent.
//!
//! What must hold:
//! - A snapshot never changes. Entries live in blocks of up to [`BLOCK_MAX`], shared between snapshots; a change
//!   copies the blocks that it touches and the list of blocks, nothing else. Block *pointers* that are equal
//!   stand for equal content: the cost of `diff` and `hold_expunges` rests on that.
//! - Two neighbouring blocks hold more than three quarters of a block between them, so that the number of
//!   blocks stays in proportion to the number of messages whatever was expunged.
//! - A snapshot with highest modseq `m` knows everything that was committed up to `m` (numbers are given out in
//!   commit order). So a row with a modseq up to `m` for a message that is not here is old news, and
//!   an update that comes late or twice changes nothing.
//! - Sequence numbers come from here and from nowhere else (RFC 9051 §2.3.1.2, §7.5.1).
//!
//! Memory: 16 bytes an entry, some 80 bytes a block: 16.2 bytes a message as loaded; a mailbox thinned out to
//! the worst case stays below 17. Keyword sets are stored once each and come on top ([`Keywords`]).
//!
//! Nothing here knows of SQL, tokio or IMAP syntax; uids, flags and modseqs are plain integers.

use std::ops::RangeInclusive;
use std::sync::Arc;

mod block;
mod delta;
#[cfg(test)]
mod history;
mod keywords;

use block::{Block, Builder, Edit, rewrite};

pub use block::{ANSWERED, BLOCK_MAX, DELETED, DRAFT, Entry, FLAGGED, SEEN, SYSTEM_FLAGS};
pub use delta::{Delta, Held, diff, hold, hold_expunges};
pub use keywords::{KEYWORD_NAMES_MAX, Keywords};

/// A message as the tables report it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryRow<S = String> {
    /// Its uid, from 1.
    pub uid: u32,
    /// Its system flags, [`SEEN`] to [`DRAFT`]; other bits are ignored.
    pub flags: u32,
    /// The modseq of its last change.
    pub modseq: u64,
    /// Its keywords, in any order. Names are compared byte for byte: whoever stores them decides on their case.
    pub keywords: Vec<S>,
}

/// What happened in a mailbox since a snapshot was made.
///
/// The lists may be in any order, overlap, and repeat what the snapshot knows: for each message the newest modseq
/// counts, and between a row and a tombstone of the same modseq the tombstone does.
#[derive(Clone, Debug, Default)]
pub struct Update {
    /// The mailbox's next uid when this was read.
    pub uid_next: u32,
    /// The modseq up to which this is complete.
    pub highest_modseq: u64,
    /// Messages that have arrived.
    pub added: Vec<EntryRow>,
    /// Messages whose flags or keywords have changed. One that the view has never seen counts as added.
    pub changed: Vec<EntryRow>,
    /// Messages that were expunged: uid and the modseq of the expunge.
    pub gone: Vec<(u32, u64)>,
}

/// One snapshot of a mailbox. See the module's head.
#[derive(Clone, Debug)]
pub struct View {
    uid_validity: u32,
    uid_next: u32,
    highest_modseq: u64,
    blocks: Vec<Arc<Block>>,
    /// For each block, how many entries stand before it.
    starts: Vec<u32>,
    len: u32,
    unseen: u32,
    deleted: u32,
    keywords: Arc<Keywords>,
}

/// What a snapshot says of the mailbox as a whole.
#[derive(Clone, Copy, Debug)]
struct Counters {
    uid_validity: u32,
    uid_next: u32,
    highest_modseq: u64,
}

impl View {
    /// The view of a mailbox without messages.
    pub fn empty(uid_validity: u32, uid_next: u32, highest_modseq: u64) -> View {
        let counters = Counters { uid_validity, uid_next, highest_modseq };
        View::assemble(counters, Vec::new(), Arc::default())
    }

    fn assemble(counters: Counters, mut blocks: Vec<Arc<Block>>, keywords: Arc<Keywords>) -> View {
        blocks.shrink_to_fit();
        let (mut len, mut unseen, mut deleted) = (0, 0, 0);
        let mut starts = Vec::with_capacity(blocks.len());
        for block in &blocks {
            starts.push(len);
            len += block.len();
            unseen += block.unseen();
            deleted += block.deleted();
        }
        let Counters { uid_validity, uid_next, highest_modseq } = counters;
        let after_last = blocks.last().map_or(1, |block| block.last_uid().saturating_add(1));
        let uid_next = uid_next.max(after_last);
        View { uid_validity, uid_next, highest_modseq, blocks, starts, len, unseen, deleted, keywords }
    }

    /// The mailbox's uidvalidity. Views of different uidvalidity are views of different mailboxes: [`diff`] and
    /// [`hold_expunges`] between them mean nothing.
    pub fn uid_validity(&self) -> u32 {
        self.uid_validity
    }

    /// A uid that no message has had yet; above every uid in the view.
    pub fn uid_next(&self) -> u32 {
        self.uid_next
    }

    /// The modseq up to which the view is complete: what to ask the tables for is `modseq >` this.
    pub fn highest_modseq(&self) -> u64 {
        self.highest_modseq
    }

    /// The number of messages, which is also the highest sequence number.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether there is no message.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of messages without `\Seen`.
    pub fn unseen(&self) -> u32 {
        self.unseen
    }

    /// The number of messages with `\Deleted`.
    pub fn deleted(&self) -> u32 {
        self.deleted
    }

    /// The highest uid in the view: what `*` means in a uid set (RFC 9051 §9, seq-number).
    pub fn last_uid(&self) -> Option<u32> {
        self.blocks.last().map(|block| block.last_uid())
    }

    /// The uid at a sequence number (from 1).
    pub fn uid_of(&self, seq: u32) -> Option<u32> {
        self.entry_at(seq).map(|entry| entry.uid())
    }

    /// The sequence number of a uid.
    pub fn seq_of(&self, uid: u32) -> Option<u32> {
        let (block, offset) = self.find(uid).ok()?;
        Some(self.seq_at(block, offset))
    }

    /// The message with this uid.
    pub fn entry(&self, uid: u32) -> Option<Entry> {
        let (block, offset) = self.find(uid).ok()?;
        self.blocks.get(block)?.entries().get(offset).copied()
    }

    /// The message at a sequence number (from 1).
    pub fn entry_at(&self, seq: u32) -> Option<Entry> {
        let (block, offset) = self.place_of(seq)?;
        self.blocks.get(block)?.entries().get(offset).copied()
    }

    /// Whether this view still shows a message that is expunged in `newer`: asked of what [`hold_expunges`] made.
    pub fn is_gone(&self, newer: &View, uid: u32) -> bool {
        newer.entry(uid).is_none() && self.entry(uid).is_some()
    }

    /// All messages in order.
    pub fn iter(&self) -> Iter<'_> {
        self.range_seqs(1..=self.len)
    }

    /// The messages with sequence numbers in this range, as far as there are any.
    pub fn range_seqs(&self, seqs: RangeInclusive<u32>) -> Iter<'_> {
        let seq = (*seqs.start()).max(1);
        let last = (*seqs.end()).min(self.len);
        let (block, offset) = self.place_of(seq).unwrap_or((self.blocks.len(), 0));
        Iter { view: self, block, offset, seq, last }
    }

    /// The messages with uids in this range. Costs what it finds, not what the range spans.
    pub fn range_uids(&self, uids: RangeInclusive<u32>) -> Iter<'_> {
        let first = match self.find(*uids.start()) {
            Ok((block, offset)) | Err((block, offset)) => self.seq_at(block, offset),
        };
        let last = match self.find(*uids.end()) {
            Ok((block, offset)) => self.seq_at(block, offset),
            Err((block, offset)) => self.seq_at(block, offset).saturating_sub(1),
        };
        self.range_seqs(first..=last)
    }

    /// The messages whose modseq is above `modseq` (RFC 7162 §3.1.4.1, CHANGEDSINCE), in order. Blocks
    /// without one are passed over whole.
    pub fn changed_since(&self, modseq: u64) -> impl Iterator<Item = (u32, Entry)> + '_ {
        self.blocks
            .iter()
            .zip(&self.starts)
            .filter(move |(block, _)| block.max_modseq() > modseq)
            .flat_map(|(block, start)| (start + 1..).zip(block.entries().iter().copied()))
            .filter(move |(_, entry)| entry.modseq() > modseq)
    }

    /// The sequence number of the first message without `\Seen`.
    pub fn first_unseen_seq(&self) -> Option<u32> {
        let block = self.blocks.iter().position(|block| block.unseen() > 0)?;
        let offset = self.blocks.get(block)?.entries().iter().position(|entry| !entry.has(SEEN))?;
        Some(self.seq_at(block, offset))
    }

    /// The keywords of an entry of this view, sorted.
    pub fn keywords_of(&self, entry: Entry) -> &[Arc<str>] {
        self.keywords.names_of(entry.keyword_set())
    }

    /// The mailbox's keywords.
    pub fn keywords(&self) -> &Keywords {
        &self.keywords
    }

    /// The memory this view would take if it shared nothing, in bytes.
    pub fn footprint(&self) -> usize {
        let lists =
            self.blocks.capacity() * size_of::<Arc<Block>>() + self.starts.capacity() * size_of::<u32>();
        let blocks: usize = self.blocks.iter().map(|block| block.footprint()).sum();
        size_of::<View>() + lists + blocks + self.keywords.footprint()
    }

    /// The next snapshot: this one with `update` worked in.
    ///
    /// Costs the blocks it touches and the list of blocks; new mail touches the last block only.
    pub fn apply(&self, update: Update) -> View {
        let counters = Counters {
            uid_validity: self.uid_validity,
            uid_next: self.uid_next.max(update.uid_next),
            highest_modseq: self.highest_modseq.max(update.highest_modseq),
        };
        let mut keywords = Arc::clone(&self.keywords);
        let edits = self.edits(update, &mut keywords);
        let mut blocks = rewrite(&self.blocks, &edits);
        if !Arc::ptr_eq(&keywords, &self.keywords) && keywords.is_overgrown() {
            (blocks, keywords) = rebuild_keywords(&blocks, &keywords);
        }
        View::assemble(counters, blocks, keywords)
    }

    /// What of an update is news, one edit for a message, in uid order.
    fn edits(&self, update: Update, keywords: &mut Arc<Keywords>) -> Vec<Edit> {
        let rows = update.added.into_iter().chain(update.changed);
        let rows = rows.map(|row| (row.uid, row.modseq, Some(row)));
        let tombstones = update.gone.into_iter().map(|(uid, modseq)| (uid, modseq, None));
        let mut news: Vec<(u32, u64, Option<EntryRow>)> = rows.chain(tombstones).collect();
        // The last word on each uid comes last: by modseq, and a tombstone after a row.
        news.sort_by_key(|(uid, modseq, row)| (*uid, *modseq, row.is_none()));
        let mut edits = Vec::with_capacity(news.len());
        for same_uid in news.chunk_by(|a, b| a.0 == b.0) {
            let Some((uid, modseq, row)) = same_uid.last() else { continue };
            let is_news = match (self.entry(*uid), row) {
                (Some(known), Some(_)) => *modseq > known.modseq(),
                (Some(known), None) => *modseq >= known.modseq(),
                (None, Some(_)) => *modseq > self.highest_modseq && *uid > 0,
                (None, None) => false,
            };
            if is_news {
                let to = row.as_ref().map(|row| pack(row, keywords));
                edits.push(Edit { uid: *uid, to });
            }
        }
        edits
    }

    /// Block and offset of a uid, or where it would stand.
    fn find(&self, uid: u32) -> Result<(usize, usize), (usize, usize)> {
        let at = self.blocks.partition_point(|block| block.last_uid() < uid);
        let Some(block) = self.blocks.get(at) else { return Err((at, 0)) };
        match block.entries().binary_search_by_key(&uid, |entry| entry.uid()) {
            Ok(offset) => Ok((at, offset)),
            Err(offset) => Err((at, offset)),
        }
    }

    /// The sequence number at a place; one past the last for the place after the last block.
    fn seq_at(&self, block: usize, offset: usize) -> u32 {
        // An offset is below BLOCK_MAX.
        self.starts.get(block).map_or(self.len, |start| start + offset as u32).saturating_add(1)
    }

    /// Block and offset of a sequence number.
    fn place_of(&self, seq: u32) -> Option<(usize, usize)> {
        let before = seq.checked_sub(1).filter(|before| *before < self.len)?;
        let block = self.starts.partition_point(|start| *start <= before).checked_sub(1)?;
        let start = self.starts.get(block)?;
        Some((block, (before - start) as usize))
    }
}

impl<'a> IntoIterator for &'a View {
    type Item = (u32, Entry);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

fn pack<S: AsRef<str>>(row: &EntryRow<S>, keywords: &mut Arc<Keywords>) -> Entry {
    Entry::new(row.uid, row.flags, keywords::intern(keywords, &row.keywords), row.modseq)
}

/// A keyword table with the sets in use only, and the blocks that go with it. Blocks without keywords stay shared.
fn rebuild_keywords(blocks: &[Arc<Block>], keywords: &Keywords) -> (Vec<Arc<Block>>, Arc<Keywords>) {
    let mut fresh = Arc::new(Keywords::default());
    let moved = blocks.iter().map(|block| {
        if block.entries().iter().all(|entry| entry.keyword_set() == 0) {
            return Arc::clone(block);
        }
        let moved = block.entries().iter().map(|entry| {
            let set = keywords::intern(&mut fresh, keywords.names_of(entry.keyword_set()));
            entry.with_keyword_set(set)
        });
        Arc::new(Block::new(moved.collect()))
    });
    let blocks = moved.collect();
    Arc::make_mut(&mut fresh).settle();
    (blocks, fresh)
}

/// Messages of a view in order, each with its sequence number.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    view: &'a View,
    block: usize,
    offset: usize,
    seq: u32,
    last: u32,
}

impl Iterator for Iter<'_> {
    type Item = (u32, Entry);

    fn next(&mut self) -> Option<(u32, Entry)> {
        if self.seq > self.last {
            return None;
        }
        let entries = self.view.blocks.get(self.block)?.entries();
        let item = (self.seq, *entries.get(self.offset)?);
        self.seq = self.seq.saturating_add(1);
        self.offset += 1;
        if self.offset == entries.len() {
            (self.block, self.offset) = (self.block + 1, 0);
        }
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.last.saturating_add(1).saturating_sub(self.seq) as usize;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Iter<'_> {}

/// Why rows could not be loaded. It is a bug of whoever reads them: the view can't be made from this stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Rows must come in rising uid order, from 1, each uid once.
    #[error("message rows out of order: uid {uid} after uid {after}")]
    OutOfOrder {
        /// The uid of the row refused.
        uid: u32,
        /// The uid of the row before it; 0 at the start.
        after: u32,
    },
}

/// Builds the first view of a mailbox from its rows, as they stream in.
///
/// `highest_modseq` must have been read no later than the rows: a change between the two is then met a second
/// time by the first update, which is harmless; the other way round it would be missed.
#[derive(Debug)]
pub struct Loader {
    counters: Counters,
    builder: Builder,
    keywords: Arc<Keywords>,
    last_uid: u32,
}

impl Loader {
    /// A loader that has seen no row yet.
    pub fn new(uid_validity: u32, uid_next: u32, highest_modseq: u64) -> Loader {
        let counters = Counters { uid_validity, uid_next, highest_modseq };
        Loader { counters, builder: Builder::default(), keywords: Arc::default(), last_uid: 0 }
    }

    /// Takes the next row, in uid order.
    pub fn push<S: AsRef<str>>(&mut self, row: &EntryRow<S>) -> Result<(), LoadError> {
        if row.uid <= self.last_uid {
            return Err(LoadError::OutOfOrder { uid: row.uid, after: self.last_uid });
        }
        self.last_uid = row.uid;
        self.builder.push(pack(row, &mut self.keywords));
        Ok(())
    }

    /// The view of all rows taken.
    pub fn finish(mut self) -> View {
        Arc::make_mut(&mut self.keywords).settle();
        View::assemble(self.counters, self.builder.finish(), self.keywords)
    }
}
