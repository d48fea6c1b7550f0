//! Searches whose results are kept up to date: UPDATE (RFC 5267 §4.3).
//!
//! What must hold:
//! - The client's copy of a result is ours after each announcement: what left is told before EXPUNGE, while sequence
//!   numbers still mean it, what came after EXISTS, when they do.
//! - Only messages that came or changed are looked at again. What a search said by sequence numbers, or by `$`, means the
//!   messages that these stood for when it was made.
//! - When the database is away, what is due stays due.

use std::ops::RangeInclusive;

use super::answer::Fail;
use super::cmd::search::key::SearchKey;
use super::cmd::search::report::Sequence;
use super::cmd::search::{Seen, frozen, look_among};
use super::cmd::sort::order::{Order, Ranked, Source};
use super::selected::Selected;
use super::wire::code::{Code, Condition};
use super::wire::reply::{Line, untagged};
use super::wire::set::Numbering;
use super::wire::unit::Tag;
use crate::intake::House;
use crate::mail::UidSet;
use crate::net::out::Out;
use crate::store::Store;
use crate::store::view::View;

/// Results kept up to date for one session. RFC 5267 §4.3.1 wants one, and more where that can be.
const CONTEXTS_MAX: usize = 5;

/// Bytes that the sorted results of one session take.
const SORTED_MAX: usize = 32 << 20;

/// The results of one session.
#[derive(Default)]
pub(super) struct Contexts {
    all: Vec<Context>,
    /// Messages that have come or changed since they were looked at.
    due: UidSet,
}

/// A search and its result.
struct Context {
    tag: Tag,
    numbering: Numbering,
    key: SearchKey,
    kept: Kept,
}

/// A result.
pub(super) enum Kept {
    /// Of SEARCH.
    InMailbox(UidSet),
    /// Of SORT, in its order.
    Sorted(Order, Vec<Ranked>),
}

/// A result that a client wants to be kept up to date.
pub(super) struct Wish<'w> {
    /// What the search is called by.
    pub(super) tag: &'w Tag,
    /// What numbers the client is told.
    pub(super) numbering: Numbering,
    /// What was looked for, filters resolved.
    pub(super) key: SearchKey,
    /// What was found.
    pub(super) kept: Kept,
}

/// Messages that come to stand at a place of a result, or to stand there no longer; 0 is anywhere, the first place is 1.
#[derive(Debug, PartialEq, Eq)]
struct Run {
    position: u32,
    uids: Vec<u32>,
}

impl Kept {
    fn sequence(&self) -> Sequence {
        match self {
            Kept::InMailbox(_) => Sequence::Mailbox,
            Kept::Sorted(..) => Sequence::Sorted,
        }
    }

    fn contains(&self, uid: u32) -> bool {
        match self {
            Kept::InMailbox(uids) => uids.contains(uid),
            Kept::Sorted(_, ranked) => ranked.iter().any(|one| one.uid == uid),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Kept::InMailbox(_) => 0,
            Kept::Sorted(_, ranked) => ranked.iter().map(Ranked::bytes).sum(),
        }
    }

    /// Takes messages out, and says where they stood as they are taken one run after another.
    fn remove(&mut self, gone: &UidSet) -> Vec<Run> {
        match self {
            Kept::InMailbox(uids) => {
                let left: Vec<u32> = uids.iter().filter(|&uid| gone.contains(uid)).collect();
                if left.is_empty() {
                    return Vec::new();
                }
                *uids = uids.iter().filter(|&uid| !gone.contains(uid)).collect();
                vec![Run { position: 0, uids: left }]
            }
            Kept::Sorted(_, ranked) => {
                let mut runs = Runs::default();
                let mut kept = 0;
                ranked.retain(|one| {
                    let stays = !gone.contains(one.uid);
                    if stays {
                        kept += 1;
                    } else {
                        runs.add(kept + 1, one.uid);
                    }
                    stays
                });
                runs.0
            }
        }
    }

    /// Puts messages in, and says where they come to stand.
    fn insert(&mut self, fresh: Fresh) -> Vec<Run> {
        match (self, fresh) {
            (Kept::InMailbox(uids), Fresh::InMailbox(fresh)) if !fresh.is_empty() => {
                *uids = uids.union(&fresh);
                vec![Run { position: 0, uids: fresh.iter().collect() }]
            }
            (Kept::Sorted(order, ranked), Fresh::Sorted(fresh)) if !fresh.is_empty() => {
                let (mut merged, mut at) = (Vec::with_capacity(ranked.len() + fresh.len()), Vec::new());
                let mut fresh = fresh.into_iter().peekable();
                for old in std::mem::take(ranked) {
                    while let Some(new) = fresh.next_if(|new| order.compare(new, &old).is_lt()) {
                        at.push((merged.len(), new.uid));
                        merged.push(new);
                    }
                    merged.push(old);
                }
                for new in fresh {
                    at.push((merged.len(), new.uid));
                    merged.push(new);
                }
                *ranked = merged;
                runs_of(&at)
            }
            _ => Vec::new(),
        }
    }
}

/// Messages that a result gains.
enum Fresh {
    InMailbox(UidSet),
    Sorted(Vec<Ranked>),
}

/// Runs of messages that are taken from the same place.
#[derive(Default)]
struct Runs(Vec<Run>);

impl Runs {
    fn add(&mut self, position: u32, uid: u32) {
        match self.0.last_mut().filter(|run| run.position == position) {
            Some(run) => run.uids.push(uid),
            None => self.0.push(Run { position, uids: vec![uid] }),
        }
    }
}

/// Runs of messages that are put in side by side: index in the new result, and which message.
fn runs_of(at: &[(usize, u32)]) -> Vec<Run> {
    let side_by_side = at.chunk_by(|(one, _), (next, _)| one + 1 == *next);
    let run = |run: &[(usize, u32)]| {
        let position = run.first().and_then(|(at, _)| u32::try_from(at + 1).ok())?;
        Some(Run { position, uids: run.iter().map(|(_, uid)| *uid).collect() })
    };
    side_by_side.filter_map(run).collect()
}

impl Context {
    /// `* ESEARCH` with what has left, then what has come (RFC 5267 §4.3.3, §4.3.4).
    fn write(&self, view: &View, removed: &[Run], added: &[Run], out: &mut Out<'_>) {
        if removed.is_empty() && added.is_empty() {
            return;
        }
        let mut buffer = out.buffer();
        let mut line = Line::untagged(&mut buffer);
        line.raw("ESEARCH (TAG ").string(self.tag.as_str().as_bytes()).raw(")");
        if self.numbering == Numbering::Uid {
            line.raw(" UID");
        }
        for (name, runs) in [(" REMOVEFROM ", removed), (" ADDTO ", added)] {
            if !runs.is_empty() {
                line.raw(name).list(runs, |line, run| {
                    let number = |&uid: &u32| match self.numbering {
                        Numbering::Uid => Some(uid),
                        Numbering::Sequence => view.seq_of(uid),
                    };
                    let set = self.kept.sequence().set(run.uids.iter().filter_map(number));
                    line.number(run.position).raw(" ").text(&set);
                });
            }
        }
    }

    /// Looks at messages again, and tells the difference.
    async fn look_again(
        &mut self,
        store: &Store,
        selected: &Selected,
        due: &[u32],
        out: &mut Out<'_>,
    ) -> Result<(), Fail> {
        let seen = look_among(store, selected, &self.key, due, out).await?;
        let matching: UidSet = seen.uids.iter().copied().collect();
        let gone: UidSet = due.iter().copied().filter(|&uid| !matching.contains(uid)).collect();
        let fresh: Vec<u32> = seen.uids.iter().copied().filter(|&uid| !self.kept.contains(uid)).collect();
        // Read before anything is changed: what fails here is tried again as a whole.
        let fresh = match &self.kept {
            Kept::InMailbox(_) => Fresh::InMailbox(fresh.into_iter().collect()),
            Kept::Sorted(order, _) => {
                let Seen { scores, .. } = &seen;
                Fresh::Sorted(order.ranked(&Source { store, selected, scores }, &fresh, None).await?)
            }
        };
        let removed = self.kept.remove(&gone);
        let added = self.kept.insert(fresh);
        self.write(selected.view(), &removed, &added, out);
        out.page().await?;
        Ok(())
    }
}

impl Contexts {
    /// Some messages are about to be reported as expunged: sequence number in `view`, and UID.
    pub(super) fn leave(&mut self, view: &View, gone: &[(u32, u32)], out: &mut Out<'_>) {
        if gone.is_empty() || self.all.is_empty() {
            return;
        }
        let gone: UidSet = gone.iter().map(|&(_, uid)| uid).collect();
        for context in &mut self.all {
            let removed = context.kept.remove(&gone);
            context.write(view, &removed, &[], out);
        }
    }

    /// Messages have come, and others changed.
    pub(super) fn changed(&mut self, view: &View, fresh: Option<RangeInclusive<u32>>, changed: &[u32]) {
        if self.all.is_empty() {
            return;
        }
        changed.iter().for_each(|&uid| self.due.insert(uid));
        if let Some(fresh) = fresh {
            view.range_uids(fresh).for_each(|(_, entry)| self.due.insert(entry.uid()));
        }
    }

    /// Stops keeping the results of these searches up to date; those that are not kept need no stopping.
    pub(super) fn cancel(&mut self, tags: &[Tag]) {
        self.all.retain(|context| !tags.contains(&context.tag));
    }

    async fn settle(&mut self, store: &Store, selected: &Selected, out: &mut Out<'_>) -> Result<(), Fail> {
        let due: Vec<u32> = self.due.iter().collect();
        let mut given_up = Vec::new();
        for context in &mut self.all {
            match context.look_again(store, selected, &due, out).await {
                Ok(()) => {}
                Err(Fail::No(..) | Fail::Bad(_)) => given_up.push(context.tag.clone()),
                Err(fail) => return Err(fail),
            }
        }
        self.due = UidSet::new();
        given_up.iter().for_each(|tag| refuse(tag, "this result can be kept up to date no longer", out));
        self.cancel(&given_up);
        Ok(())
    }
}

impl Selected {
    /// Whether the result of a search by this tag is kept up to date.
    pub(super) fn has_context(&self, tag: &Tag) -> bool {
        self.contexts.all.iter().any(|context| context.tag == *tag)
    }

    /// Keeps a result up to date, or says that it will not be (RFC 5267 §4.3.1).
    pub(super) fn keep_context(&mut self, wish: Wish<'_>, out: &mut Out<'_>) {
        let Wish { tag, numbering, key, kept } = wish;
        let bytes: usize = self.contexts.all.iter().map(|context| context.kept.bytes()).sum();
        if self.contexts.all.len() >= CONTEXTS_MAX {
            return refuse(tag, "too many results are kept up to date: use CANCELUPDATE", out);
        }
        if bytes + kept.bytes() > SORTED_MAX {
            return refuse(tag, "the result is too large to be kept up to date", out);
        }
        match frozen(key, self) {
            Ok(key) => self.contexts.all.push(Context { tag: tag.clone(), numbering, key, kept }),
            Err(_) => refuse(tag, "this cannot be kept up to date", out),
        }
    }

    /// Tells of what came or changed. While the database is away nothing is told; it is told later.
    pub(super) async fn tell_contexts(&mut self, house: &House, out: &mut Out<'_>) -> Result<(), Fail> {
        if self.contexts.due.is_empty() {
            return Ok(());
        }
        let mut contexts = std::mem::take(&mut self.contexts);
        let settled = contexts.settle(&house.store, self, out).await;
        self.contexts = contexts;
        match settled {
            Err(Fail::Database(error)) => {
                tracing::debug!(%error, "results of searches could not be brought up to date; the next change tries again");
                Ok(())
            }
            settled => settled,
        }
    }
}

/// RFC 5267 §4.3.1.
fn refuse(tag: &Tag, why: &str, out: &mut Out<'_>) {
    untagged(&mut out.buffer(), Condition::No, Some(Code::NoUpdate(tag.as_str())), why);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(position: u32, uids: &[u32]) -> Run {
        Run { position, uids: uids.to_vec() }
    }

    fn set(uids: &[u32]) -> UidSet {
        uids.iter().copied().collect()
    }

    fn sorted(uids: &[u32]) -> Kept {
        Kept::Sorted(Order::by_size(), uids.iter().map(|&uid| Ranked::of_size(uid, order_of(uid))).collect())
    }

    /// An order that is not that of the UIDs.
    fn order_of(uid: u32) -> i64 {
        i64::from(uid * 7 % 10)
    }

    fn fresh(uids: &[u32]) -> Fresh {
        Fresh::Sorted(uids.iter().map(|&uid| Ranked::of_size(uid, order_of(uid))).collect())
    }

    fn in_order(mut uids: Vec<u32>) -> Vec<u32> {
        uids.sort_by_key(|&uid| (order_of(uid), uid));
        uids
    }

    /// What a client makes of what it is told.
    fn follow(mut list: Vec<u32>, removed: &[Run], added: &[Run]) -> Vec<u32> {
        for run in removed {
            let at = run.position as usize - 1;
            assert_eq!(list[at..at + run.uids.len()], run.uids);
            list.drain(at..at + run.uids.len());
        }
        for run in added {
            let at = run.position as usize - 1;
            list.splice(at..at, run.uids.iter().copied());
        }
        list
    }

    #[test]
    fn results_in_the_order_of_the_mailbox() {
        let mut kept = Kept::InMailbox(set(&[1, 3, 5]));
        assert_eq!(kept.remove(&set(&[2, 3])), [run(0, &[3])]);
        assert_eq!(kept.remove(&set(&[3])), []);
        assert_eq!(kept.insert(Fresh::InMailbox(set(&[2, 9]))), [run(0, &[2, 9])]);
        assert_eq!(kept.insert(Fresh::InMailbox(UidSet::new())), []);
        assert!(kept.contains(9) && !kept.contains(3));
    }

    #[test]
    fn sorted_results_say_where() {
        // In order: 3 (1), 6 (2), 9 (3), 2 (4), 5 (5), 8 (6).
        let mut kept = sorted(&[3, 6, 9, 2, 5, 8]);
        assert_eq!(kept.remove(&set(&[6, 9, 5])), [run(2, &[6, 9]), run(3, &[5])]);
        assert_eq!(kept.insert(fresh(&[6, 9, 1])), [run(2, &[6, 9]), run(6, &[1])]);
    }

    proptest! {
        #[test]
        fn the_client_can_follow(
            start in proptest::collection::btree_set(1u32..60, 0..30),
            gone in proptest::collection::btree_set(1u32..60, 0..20),
            come in proptest::collection::btree_set(60u32..90, 0..10),
        ) {
            let start = in_order(start.into_iter().collect());
            let come = in_order(come.into_iter().collect());
            let mut kept = sorted(&start);
            let removed = kept.remove(&gone.iter().copied().collect());
            let added = kept.insert(fresh(&come));
            let left = start.iter().copied().filter(|uid| !gone.contains(uid));
            let expected = in_order(left.chain(come.iter().copied()).collect());
            prop_assert_eq!(follow(start.clone(), &removed, &added), expected);
        }
    }
}
