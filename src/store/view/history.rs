//! Tests of views: refusals, sizes, and random histories of a mailbox against a plain model, told to clients.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use super::block::MERGE_MAX;
use super::*;

fn row(uid: u32, flags: u32, modseq: u64, keywords: &[&str]) -> EntryRow {
    EntryRow { uid, flags, modseq, keywords: keywords.iter().map(|name| (*name).to_owned()).collect() }
}

fn load(rows: impl IntoIterator<Item = EntryRow>, highest_modseq: u64) -> View {
    let mut loader = Loader::new(7, 1, highest_modseq);
    for row in rows {
        loader.push(&row).unwrap();
    }
    loader.finish()
}

/// uids 1 to `count`, nothing seen.
fn plain(count: u32) -> View {
    load((1..=count).map(|uid| row(uid, 0, 1, &[])), 1)
}

fn uids(view: &View) -> Vec<u32> {
    view.iter().map(|(_, entry)| entry.uid()).collect()
}

fn shared_blocks(old: &View, new: &View) -> usize {
    let old: BTreeSet<*const Block> = old.blocks.iter().map(Arc::as_ptr).collect();
    new.blocks.iter().filter(|block| old.contains(&Arc::as_ptr(block))).count()
}

#[test]
fn a_stream_out_of_order_is_refused() {
    for (rows, uid, after) in [(&[0][..], 0, 0), (&[1, 1], 1, 1), (&[2, 5, 4], 4, 5)] {
        let mut loader = Loader::new(1, 1, 1);
        let refused = rows.iter().find_map(|uid| loader.push(&row(*uid, 0, 1, &[])).err());
        assert_eq!(refused, Some(LoadError::OutOfOrder { uid, after }));
    }
}

#[test]
fn nothing_is_found_where_nothing_is() {
    let empty = View::empty(7, 3, 9);
    assert_eq!((empty.uid_validity(), empty.uid_next(), empty.highest_modseq()), (7, 3, 9));
    for view in [empty, load([row(10, SEEN, 1, &[]), row(20, SEEN, 1, &[])], 1)] {
        for absent in [0, 1, 15, 21, u32::MAX] {
            assert_eq!(view.seq_of(absent), None);
            assert!(view.entry(absent).is_none());
        }
        for seq in [0, 3, u32::MAX] {
            assert_eq!(view.uid_of(seq), None);
        }
        assert_eq!(view.first_unseen_seq(), None);
        assert_eq!(view.range_uids(11..=19).count(), 0);
        assert_eq!(view.range_uids(RangeInclusive::new(20, 10)).count(), 0);
        assert_eq!(view.range_uids(21..=u32::MAX).count(), 0);
        assert_eq!(view.range_seqs(3..=u32::MAX).count(), 0);
        assert_eq!(view.range_uids(0..=u32::MAX).len(), view.len() as usize);
    }
}

#[test]
fn old_news_changes_nothing() {
    let view = load([row(5, SEEN, 20, &["a"]), row(9, 0, 4, &[])], 20);
    let stale = Update {
        uid_next: 3,
        highest_modseq: 10,
        added: vec![row(5, 0, 20, &[]), row(5, 0, 3, &[]), row(7, 0, 20, &[]), row(0, 0, 99, &[])],
        changed: vec![row(8, 0, 11, &[])],
        gone: vec![(5, 19), (6, 30), (9, 3)],
    };
    let after = view.apply(stale);
    assert_eq!(shared_blocks(&view, &after), 1);
    assert_eq!((after.len(), after.uid_next(), after.highest_modseq()), (2, 10, 20));
    assert!(diff(&view, &after).is_empty());
}

#[test]
fn the_newest_word_on_a_message_counts_and_a_tombstone_wins_a_tie() {
    let update = Update {
        uid_next: 9,
        highest_modseq: 9,
        added: vec![row(1, 0, 2, &[]), row(2, 0, 2, &[]), row(3, 0, 8, &[]), row(4, DRAFT, 2, &["x"])],
        changed: vec![row(4, SEEN, 3, &["b", "a", "b"]), row(4, 0, 1, &[])],
        gone: vec![(1, 2), (2, 3), (3, 7)],
    };
    let view = View::empty(7, 1, 0).apply(update);
    assert_eq!(uids(&view), [3, 4]);
    let entry = view.entry(4).unwrap();
    assert_eq!((entry.flags(), entry.modseq()), (SEEN, 3));
    assert_eq!(view.keywords_of(entry).iter().map(|name| &**name).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn expunges_descend_and_wait_while_held() {
    let first = plain(5);
    let second = first.apply(Update {
        uid_next: 7,
        highest_modseq: 3,
        added: vec![row(6, 0, 2, &[])],
        changed: vec![row(5, SEEN, 2, &[])],
        gone: vec![(2, 3), (4, 3)],
    });
    let told = diff(&first, &second);
    assert_eq!(told.gone, [(4, 4), (2, 2)]);
    assert_eq!((told.exists_changed, told.first_new_uid), (Some(4), Some(6)));
    assert_eq!(told.changed, [5]);

    let held = hold_expunges(&first, &second);
    assert_eq!(uids(&held), [1, 2, 3, 4, 5, 6]);
    assert!(held.is_gone(&second, 2) && !held.is_gone(&second, 3) && !held.is_gone(&second, 99));
    assert_eq!((held.highest_modseq(), held.uid_next()), (1, 7));
    let told = diff(&first, &held);
    assert_eq!((told.gone.len(), told.exists_changed, told.changed), (0, Some(6), vec![5]));
    let told = diff(&held, &second);
    assert_eq!((told.gone, told.exists_changed, told.changed), (vec![(4, 4), (2, 2)], None, vec![]));
}

#[test]
fn a_message_put_below_known_ones_announces_those_anew() {
    let first = load([row(1, 0, 1, &[]), row(5, 0, 1, &[]), row(9, 0, 1, &[])], 1);
    let added = vec![row(3, 0, 2, &[])];
    let second = first.apply(Update { uid_next: 10, highest_modseq: 2, added, ..Update::default() });
    assert_eq!(uids(&second), [1, 3, 5, 9]);
    let told = diff(&first, &second);
    assert_eq!(
        (told.gone, told.exists_changed, told.first_new_uid),
        (vec![(3, 9), (2, 5)], Some(4), Some(3))
    );
    let held = hold_expunges(&first, &second);
    assert_eq!(uids(&held), [1, 5, 9]);
    assert!(diff(&first, &held).is_empty());
}

#[test]
fn a_new_keyword_is_announced_once() {
    let first = load([row(1, 0, 1, &["a"]), row(2, 0, 1, &["b"])], 1);
    let both = first.apply(Update { changed: vec![row(1, 0, 2, &["a", "b"])], ..Update::default() });
    assert!(!diff(&first, &both).keyword_added);
    let new = both.apply(Update { changed: vec![row(1, 0, 3, &["c"])], ..Update::default() });
    assert!(diff(&both, &new).keyword_added);
    assert_eq!(diff(&both, &new).changed, [1]);
}

#[test]
fn keyword_sets_no_longer_used_are_dropped_and_nothing_else_changes() {
    let mut view = load((1..=2000).map(|uid| row(uid, 0, 1, if uid == 1500 { &["kept"] } else { &[] })), 1);
    let (start, mut most) = (view.clone(), 0);
    for modseq in 2..3000 {
        let held = view.clone();
        let name = format!("k{modseq}");
        let changed = vec![row(1, 0, modseq, &[&name])];
        view = view.apply(Update { highest_modseq: modseq, changed, ..Update::default() });
        assert_eq!(diff(&held, &view).changed, [1]);
        assert_eq!(&*view.keywords_of(view.entry(1).unwrap())[0], name);
        assert_eq!(&*view.keywords_of(view.entry(1500).unwrap())[0], "kept");
        most = most.max(view.keywords().names_len());
    }
    assert!(most < 1024, "{most} names kept for 2 in use");
    assert_eq!(diff(&start, &view).changed, [1]);
    assert!(shared_blocks(&start, &view) >= 2, "blocks without keywords stay shared");
}

#[test]
fn what_is_held_keeps_its_keywords_when_the_table_is_rebuilt() {
    let old = load([row(1, 0, 1, &["a"]), row(2, 0, 1, &["b"]), row(3, 0, 1, &["c"])], 1);
    let mut now = old.apply(Update { highest_modseq: 2, gone: vec![(2, 2)], ..Update::default() });
    for modseq in 3..1000 {
        let changed = vec![row(1, 0, modseq, &[&format!("k{modseq}")])];
        now = now.apply(Update { highest_modseq: modseq, changed, ..Update::default() });
    }
    assert!(now.keywords().names_len() < 900, "the table was rebuilt");
    let held = hold_expunges(&old, &now);
    let keywords: Vec<&str> =
        held.iter().flat_map(|(_, entry)| held.keywords_of(entry)).map(|name| &**name).collect();
    assert_eq!(keywords, ["k999", "b", "c"]);
    assert_eq!(diff(&old, &held).changed, [1]);
}

#[test]
fn small_blocks_that_become_neighbours_are_joined() {
    let mut view = plain(3 * BLOCK_MAX as u32);
    let full = BLOCK_MAX as u32;
    for (from, to, blocks) in [(101, full, 3), (2 * full + 101, 3 * full, 3), (full + 1, 2 * full, 1)] {
        let gone = (from..=to).map(|uid| (uid, 2)).collect();
        view = view.apply(Update { gone, ..Update::default() });
        assert_eq!(view.blocks.len(), blocks);
        check_shape(&view);
    }
}

#[test]
fn a_million_messages_take_little_memory_and_new_mail_copies_little() {
    let view = plain(1_000_000);
    let bytes_each = view.footprint() as f64 / f64::from(view.len());
    assert!(bytes_each <= 16.25, "{bytes_each} bytes a message");

    let mut now = view.clone();
    for modseq in 2..1200u64 {
        let uid = now.uid_next();
        let added = vec![row(uid, 0, modseq, &[])];
        let next =
            now.apply(Update { uid_next: uid + 1, highest_modseq: modseq, added, ..Update::default() });
        let new_blocks = next.blocks.len() - shared_blocks(&now, &next);
        let lost_blocks = now.blocks.len() - shared_blocks(&now, &next);
        assert!(new_blocks == 1 && lost_blocks <= 1, "{new_blocks} blocks made for one message");
        let told = diff(&now, &next);
        assert_eq!((told.exists_changed, told.first_new_uid), (Some(next.len()), Some(uid)));
        now = next;
        if modseq == 20 {
            // The rest from a smaller mailbox: the list of two thousand blocks has been walked often enough.
            now = plain(2000);
        }
    }

    let gone = (1..1_000_000).filter(|uid| uid % 40 != 0).map(|uid| (uid, 2)).collect();
    let thin = view.apply(Update { gone, ..Update::default() });
    assert_eq!(thin.len(), 25_000);
    let bytes_each = thin.footprint() as f64 / f64::from(thin.len());
    assert!(bytes_each <= 17.0, "{bytes_each} bytes a message after expunging most");
}

/// What the tables hold of a message.
type Stored = (u32, Vec<String>, u64);

/// A message as a client knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    uid: u32,
    flags: u32,
    modseq: u64,
    keywords: Vec<Arc<str>>,
}

fn known(view: &View, entry: Entry) -> Known {
    let keywords = view.keywords_of(entry).to_vec();
    Known { uid: entry.uid(), flags: entry.flags(), modseq: entry.modseq(), keywords }
}

/// A client, and the snapshot that its session stands on.
struct Client {
    view: Arc<View>,
    messages: Vec<Known>,
}

impl Client {
    fn tell(&mut self, next: Arc<View>) {
        let delta = diff(&self.view, &next);
        for (seq, uid) in delta.gone {
            let gone = self.messages.remove(seq as usize - 1);
            assert_eq!(gone.uid, uid, "EXPUNGE {seq} hit another message");
        }
        if let Some(exists) = delta.exists_changed {
            let had = self.messages.len() as u32;
            assert!(exists > had, "EXISTS {exists} to a client that has {had}");
            assert_eq!(delta.first_new_uid, next.uid_of(had + 1));
            self.messages.extend(next.range_seqs(had + 1..=exists).map(|(_, entry)| known(&next, entry)));
        }
        for uid in delta.changed {
            let seq = next.seq_of(uid).unwrap();
            let old = &mut self.messages[seq as usize - 1];
            let new = known(&next, next.entry(uid).unwrap());
            assert!(old.uid == uid && *old != new, "FETCH {seq} that tells nothing");
            *old = new;
        }
        let told: Vec<Known> = next.iter().map(|(_, entry)| known(&next, entry)).collect();
        assert!(self.messages == told, "the client knows something else than its session");
        self.view = next;
    }

    fn sync(&mut self, now: &Arc<View>) {
        self.tell(Arc::clone(now));
    }

    fn hold(&mut self, now: &Arc<View>) {
        let held = hold_expunges(&self.view, now);
        check_shape(&held);
        assert!(diff(&self.view, &held).gone.is_empty(), "EXPUNGE while held");
        for (seq, entry) in self.view.iter() {
            assert_eq!(held.uid_of(seq), Some(entry.uid()));
            assert_eq!(held.is_gone(now, entry.uid()), now.entry(entry.uid()).is_none());
        }
        let last = self.view.last_uid().unwrap_or(0);
        for (_, entry) in
            now.iter().filter(|(_, entry)| self.view.entry(entry.uid()).is_some() || entry.uid() > last)
        {
            assert_eq!(held.entry(entry.uid()).map(|mine| known(&held, mine)), Some(known(now, entry)));
        }
        self.tell(Arc::new(held));
    }
}

#[derive(Clone, Debug)]
enum Event {
    Add { count: u32, gap: u32, keyword: u8 },
    Late { near: u32 },
    Flag { from: u32, count: u32, stride: u32, flags: u32, keyword: u8 },
    Expunge { from: u32, count: u32, stride: u32 },
    Replay { which: usize },
    Sync { who: usize },
    Hold { who: usize },
}

fn event() -> impl Strategy<Value = Event> {
    let count = prop_oneof![1u32..4, 1u32..700];
    let count2 = prop_oneof![1u32..4, 1u32..2000];
    let stride = prop_oneof![Just(1u32), 1u32..9];
    prop_oneof![
        4 => (count, 0u32..3, any::<u8>()).prop_map(|(count, gap, keyword)| Event::Add { count, gap, keyword }),
        1 => any::<u32>().prop_map(|near| Event::Late { near }),
        3 => (any::<u32>(), count2.clone(), stride.clone(), 0u32..32, any::<u8>())
            .prop_map(|(from, count, stride, flags, keyword)| Event::Flag { from, count, stride, flags, keyword }),
        3 => (any::<u32>(), count2, stride)
            .prop_map(|(from, count, stride)| Event::Expunge { from, count, stride }),
        1 => any::<usize>().prop_map(|which| Event::Replay { which }),
        3 => (0usize..3).prop_map(|who| Event::Sync { who }),
        4 => (0usize..3).prop_map(|who| Event::Hold { who }),
    ]
}

fn keywords_for(keyword: u8) -> Vec<String> {
    (0..2)
        .filter(|bit| keyword & (1 << bit) != 0)
        .map(|bit| format!("${}", u32::from(keyword) >> bit))
        .collect()
}

/// A mailbox as the tables have it, and the node's view of it.
struct World {
    messages: BTreeMap<u32, Stored>,
    issued: BTreeSet<u32>,
    uid_next: u32,
    modseq: u64,
    now: Arc<View>,
    past: Vec<Update>,
}

impl World {
    fn happen(&mut self, event: &Event) -> Update {
        self.modseq += 1;
        let mut update = Update::default();
        match *event {
            Event::Add { count, gap, keyword } => {
                for _ in 0..count {
                    let uid = self.uid_next;
                    self.uid_next += 1 + gap;
                    update.added.push(self.put(uid, 0, keyword));
                }
            }
            Event::Late { near } => {
                let from = near % self.uid_next;
                if let Some(uid) = (from.max(1)..self.uid_next).find(|uid| !self.issued.contains(uid)) {
                    update.added.push(self.put(uid, FLAGGED, 0));
                }
            }
            Event::Flag { from, count, stride, flags, keyword } => {
                for uid in self.pick(from, count, stride) {
                    update.changed.push(self.put(uid, flags, keyword));
                }
            }
            Event::Expunge { from, count, stride } => {
                for uid in self.pick(from, count, stride) {
                    self.messages.remove(&uid);
                    update.gone.push((uid, self.modseq));
                }
            }
            Event::Replay { .. } | Event::Sync { .. } | Event::Hold { .. } => {}
        }
        (update.uid_next, update.highest_modseq) = (self.uid_next, self.modseq);
        update
    }

    fn put(&mut self, uid: u32, flags: u32, keyword: u8) -> EntryRow {
        let keywords = keywords_for(keyword);
        self.issued.insert(uid);
        self.messages.insert(uid, (flags, keywords.clone(), self.modseq));
        EntryRow { uid, flags, keywords, modseq: self.modseq }
    }

    fn pick(&self, from: u32, count: u32, stride: u32) -> Vec<u32> {
        let from = from as usize % self.messages.len().max(1);
        self.messages.keys().skip(from).step_by(stride as usize).take(count as usize).copied().collect()
    }

    fn check(&self) {
        let view = &self.now;
        check_shape(view);
        assert_eq!((view.uid_next(), view.highest_modseq()), (self.uid_next, self.modseq));
        assert_eq!(view.len() as usize, self.messages.len());
        for ((uid, (flags, keywords, modseq)), (seq, entry)) in self.messages.iter().zip(view.iter()) {
            assert_eq!((*uid, *flags, *modseq), (entry.uid(), entry.flags(), entry.modseq()));
            let wanted: BTreeSet<&str> = keywords.iter().map(String::as_str).collect();
            assert!(view.keywords_of(entry).iter().map(|name| &**name).eq(wanted));
            assert_eq!((view.seq_of(*uid), view.uid_of(seq)), (Some(seq), Some(*uid)));
        }
        let (from, to) = (self.uid_next / 3, self.uid_next / 2);
        let range: Vec<u32> = view.range_uids(from..=to).map(|(_, entry)| entry.uid()).collect();
        assert!(self.messages.range(from..=to).map(|(uid, _)| uid).eq(&range));
        let since = self.modseq / 2;
        let changed = view.changed_since(since).map(|(seq, entry)| (seq, entry.uid()));
        let wanted = (1u32..).zip(&self.messages).filter(|(_, (_, stored))| stored.2 > since);
        assert!(wanted.map(|(seq, (uid, _))| (seq, *uid)).eq(changed));
        let unseen = self.messages.values().filter(|(flags, ..)| flags & SEEN == 0).count();
        let deleted = self.messages.values().filter(|(flags, ..)| flags & DELETED != 0).count();
        assert_eq!((view.unseen() as usize, view.deleted() as usize), (unseen, deleted));
        let first = self.messages.values().position(|(flags, ..)| flags & SEEN == 0);
        assert_eq!(view.first_unseen_seq().map(|seq| seq as usize - 1), first);
    }
}

fn check_shape(view: &View) {
    assert!(view.blocks.iter().all(|block| (1..=BLOCK_MAX).contains(&block.entries().len())));
    assert!(view.blocks.windows(2).all(|pair| (pair[0].len() + pair[1].len()) as usize > MERGE_MAX));
    assert!(view.iter().map(|(_, entry)| entry.uid()).is_sorted_by(|a, b| a < b));
    assert_eq!(view.iter().len(), view.iter().count());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever happens, the view is what the tables hold, and what clients were told, by sessions that hold
    /// expunges back or not, is what their sessions see.
    #[test]
    fn clients_know_what_their_sessions_see(events in prop::collection::vec(event(), 1..50)) {
        let empty = Arc::new(View::empty(7, 1, 1));
        let mut clients: Vec<Client> =
            (0..3).map(|_| Client { view: Arc::clone(&empty), messages: Vec::new() }).collect();
        let (messages, issued, past) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
        let mut world = World { messages, issued, uid_next: 1, modseq: 1, now: empty, past };
        for event in &events {
            match *event {
                Event::Sync { who } => clients[who].sync(&world.now),
                Event::Hold { who } => clients[who].hold(&world.now),
                Event::Replay { which } if !world.past.is_empty() => {
                    let again = world.now.apply(world.past[which % world.past.len()].clone());
                    prop_assert_eq!(shared_blocks(&world.now, &again), world.now.blocks.len());
                    prop_assert_eq!(again.len(), world.now.len());
                }
                Event::Replay { .. } => {}
                _ => {
                    let update = world.happen(event);
                    world.now = Arc::new(world.now.apply(update.clone()));
                    world.past.push(update);
                    world.check();
                }
            }
        }
        for client in &mut clients {
            client.hold(&world.now);
            client.sync(&world.now);
            prop_assert_eq!(client.messages.len(), world.messages.len());
        }
        // All that happened, told at once and in any order, makes the same view.
        let mut all = Update { uid_next: world.uid_next, highest_modseq: world.modseq, ..Update::default() };
        for update in world.past.into_iter().rev() {
            all.added.extend(update.added);
            all.changed.extend(update.changed);
            all.gone.extend(update.gone);
        }
        let at_once = View::empty(7, 1, 1).apply(all);
        prop_assert_eq!(Delta { keyword_added: false, ..diff(&at_once, &world.now) }, Delta::default());
    }
}
