//! What lies between two snapshots of a mailbox, as IMAP clients are told it.

use std::cmp::Ordering;
use std::sync::Arc;

use super::block::{Block, Edit, Entry, rewrite};
use super::{Counters, View, keywords};

/// What a client that knows one snapshot must be told to know another. To be sent in the order of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// Sequence number and uid of each message to be reported as expunged. Sent one by one in this order, each number
    /// is right at its moment: they descend, so that no EXPUNGE shifts one that follows (RFC 9051 §7.5.1).
    pub gone: Vec<(u32, u32)>,
    /// The new number of messages, when there are new ones (EXISTS, RFC 9051 §7.4.1). After expunges alone there is
    /// nothing to send: the client has counted down.
    pub exists_changed: Option<u32>,
    /// The lowest uid of the new messages. They are all those from here on, and stand after all that the client knows.
    pub first_new_uid: Option<u32>,
    /// The messages whose flags, keywords or modseq differ, as uids in rising order. Their sequence numbers are
    /// those of the newer snapshot.
    pub changed: Vec<u32>,
    /// Whether the newer snapshot has a keyword name that the older has not: FLAGS is to be sent again, before
    /// any FETCH that shows it.
    pub keyword_added: bool,
}

impl Delta {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        *self == Delta::default()
    }
}

/// What a client that knows `old` must be told to know `new`.
///
/// Passes over blocks that both share: costs the blocks that differ, and the length of the list of blocks.
///
/// uids rise in commit order, so new messages stand at the end. Should one have been put below a message that the
/// client knows (a row written by hand with a uid of its own), EXISTS alone would shift every number above it:
/// the messages above are then reported as gone and count as new.
pub fn diff(old: &View, new: &View) -> Delta {
    let mut delta = Delta::default();
    walk(old, new, |step| match step {
        Step::OldOnly(entry, seq) => delta.gone.push((seq, entry.uid())),
        Step::NewOnly(entry) => delta.first_new_uid = delta.first_new_uid.or(Some(entry.uid())),
        Step::Shared(block, seq) if delta.first_new_uid.is_some() => {
            delta.gone.extend((seq..).zip(block.entries().iter().map(|entry| entry.uid())));
        }
        Step::Shared(..) => {}
        Step::Both(before, _, seq) if delta.first_new_uid.is_some() => delta.gone.push((seq, before.uid())),
        Step::Both(before, after, _) => {
            if is_changed((old, before), (new, after)) {
                delta.changed.push(after.uid());
            }
        }
    });
    delta.gone.reverse();
    delta.exists_changed = delta.first_new_uid.map(|_| new.len());
    delta.keyword_added = !Arc::ptr_eq(&old.keywords, &new.keywords)
        && new.keywords.names().any(|name| !old.keywords.knows(name));
    delta
}

/// The snapshot to which a session moves from `old` while EXPUNGE must not be sent: during FETCH, STORE and SEARCH
/// (RFC 9051 §7.5.1) and while no command is in progress. As [`hold`], with nothing but expunges held back.
pub fn hold_expunges(old: &View, new: &View) -> View {
    hold(old, new, Held { expunges: true, arrivals: false }).unwrap_or_else(|| new.clone())
}

/// What is not told for now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// That messages are gone.
    pub expunges: bool,
    /// That there are new ones.
    pub arrivals: bool,
}

/// The snapshot to which a session moves from `old` while some of what has happened is not told; `None` when that is
/// `new` itself, because nothing of the kind has happened.
///
/// It has everything of `new`, but what was expunged since `old` is still there, as `old` had it, so that the
/// sequence numbers of `old` stay valid; which these are, [`View::is_gone`] tells. A message put below one that
/// `old` has (see [`diff`]) is left out for now, and so is every new one where arrivals are held back. `diff` from this
/// snapshot to a newer one yields what was held back.
///
/// As long as anything is held back, the highest modseq stays that of `old`: a client that is told a higher one
/// and loses its connection would not ask for these expunges again (RFC 7162 §3.2.5).
pub fn hold(old: &View, new: &View, held: Held) -> Option<View> {
    let mut edits = Vec::new();
    let mut keywords = Arc::clone(&new.keywords);
    let last_known = old.last_uid().unwrap_or(0);
    walk(old, new, |step| match step {
        Step::OldOnly(entry, _) if held.expunges => {
            let set = keywords::carry(&mut keywords, &old.keywords, entry.keyword_set());
            edits.push(Edit { uid: entry.uid(), to: Some(entry.with_keyword_set(set)) });
        }
        Step::NewOnly(entry) if held.arrivals || (held.expunges && entry.uid() < last_known) => {
            edits.push(Edit { uid: entry.uid(), to: None });
        }
        Step::OldOnly(..) | Step::NewOnly(_) | Step::Both(..) | Step::Shared(..) => {}
    });
    if edits.is_empty() {
        return None;
    }
    let counters = Counters {
        uid_validity: new.uid_validity,
        uid_next: if held.arrivals { old.uid_next } else { new.uid_next },
        highest_modseq: old.highest_modseq,
    };
    Some(View::assemble(counters, rewrite(&new.blocks, &edits), keywords))
}

fn is_changed((old, before): (&View, Entry), (new, after): (&View, Entry)) -> bool {
    before.modseq() != after.modseq()
        || before.flags() != after.flags()
        || !old.keywords.is_same_set(before.keyword_set(), &new.keywords, after.keyword_set())
}

/// What is met on the way through two snapshots side by side. Sequence numbers are those of the older.
enum Step<'a> {
    Shared(&'a Block, u32),
    Both(Entry, Entry, u32),
    OldOnly(Entry, u32),
    NewOnly(Entry),
}

/// Goes through two snapshots in uid order.
///
/// A shared block is recognised when both sides stand at its start. They always come to stand there together: it
/// starts with the same uid on both sides, and the side with the lower uid moves first.
fn walk<'a>(old: &'a View, new: &'a View, mut meet: impl FnMut(Step<'a>)) {
    let mut left = Cursor { blocks: &old.blocks, offset: 0 };
    let mut right = Cursor { blocks: &new.blocks, offset: 0 };
    let mut seq = 1;
    loop {
        if let Some(block) = left.shared_with(&right) {
            meet(Step::Shared(block, seq));
            seq += block.len();
            left.skip_block();
            right.skip_block();
            continue;
        }
        let order = match (left.entry(), right.entry()) {
            (None, None) => return,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(before), Some(after)) => before.uid().cmp(&after.uid()),
        };
        match (order, left.entry(), right.entry()) {
            (Ordering::Equal, Some(before), Some(after)) => meet(Step::Both(before, after, seq)),
            (Ordering::Less, Some(before), _) => meet(Step::OldOnly(before, seq)),
            (_, _, Some(after)) => meet(Step::NewOnly(after)),
            (_, _, None) => return,
        }
        if order.is_le() {
            left.advance();
            seq += 1;
        }
        if order.is_ge() {
            right.advance();
        }
    }
}

/// A place in a list of blocks.
struct Cursor<'a> {
    blocks: &'a [Arc<Block>],
    offset: usize,
}

impl<'a> Cursor<'a> {
    fn entry(&self) -> Option<Entry> {
        self.blocks.first()?.entries().get(self.offset).copied()
    }

    fn advance(&mut self) {
        self.offset += 1;
        if self.blocks.first().is_some_and(|block| self.offset >= block.entries().len()) {
            self.skip_block();
        }
    }

    fn skip_block(&mut self) {
        self.blocks = self.blocks.get(1..).unwrap_or_default();
        self.offset = 0;
    }

    /// The block that both stand at the start of.
    fn shared_with(&self, other: &Cursor<'_>) -> Option<&'a Block> {
        let (mine, theirs) = (self.blocks.first()?, other.blocks.first()?);
        (self.offset == 0 && other.offset == 0 && Arc::ptr_eq(mine, theirs)).then_some(&**mine)
    }
}
