//! Threads by what messages refer to: REFERENCES (RFC 5256 §3, after Jamie Zawinski) and REFS
//! (draft-ietf-morg-inthread), which does not gather by subject and puts the thread with the newest mail last.
//!
//! Messages are taken in one by one in the order of the mailbox, each with the ids it refers to; what is kept of one is
//! some dozen numbers, however long its header. Pure; time is nearly linear in messages and references, depth costs
//! nothing, and nothing recurses.

use std::collections::{HashMap, HashSet};

use super::forest::{Forest, Node};
use super::tree::{At, Place, Tree};
use super::{Facts, SubjectKey};
use crate::mime::message_id::MessageId;

/// How far threads are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gather {
    /// By references, and then threads with the same subject together: REFERENCES.
    BySubjectToo,
    /// By references alone: REFS.
    ByReferences,
}

/// Takes messages in.
#[derive(Debug, Default)]
pub(super) struct References {
    forest: Forest,
    by_id: HashMap<MessageId, Node>,
    /// Of each node its message; none for what is only referred to.
    messages: Vec<Option<Facts>>,
}

impl References {
    /// How much is kept: messages, and messages referred to.
    pub(super) fn len(&self) -> usize {
        self.forest.len()
    }

    /// Takes the next message: its own id, and those it refers to, the oldest first (steps 1.A and 1.B).
    pub(super) fn add(&mut self, facts: Facts, id: Option<MessageId>, references: &[MessageId]) {
        let node = self.own_node(id);
        if let Some(slot) = self.messages.get_mut(node as usize) {
            *slot = Some(facts);
        }
        let mut last = None;
        for reference in references {
            let next = self.node(*reference);
            if let Some(parent) = last
                && self.forest.parent(next).is_none()
            {
                self.forest.link(next, parent);
            }
            last = Some(next);
        }
        // What others said before is not as good as what it says itself.
        if self.forest.parent(node) != last {
            self.forest.cut(node);
            if let Some(parent) = last {
                self.forest.link(node, parent);
            }
        }
    }

    /// The node of a message. Without an id, or with one that another message has already, it is nobody's reference.
    fn own_node(&mut self, id: Option<MessageId>) -> Node {
        let known = id.map(|id| self.node(id));
        let is_free = |node: &Node| self.messages.get(*node as usize).is_some_and(Option::is_none);
        known.filter(is_free).unwrap_or_else(|| self.new_node())
    }

    fn node(&mut self, id: MessageId) -> Node {
        if let Some(&node) = self.by_id.get(&id) {
            return node;
        }
        let node = self.new_node();
        self.by_id.insert(id, node);
        node
    }

    fn new_node(&mut self) -> Node {
        self.messages.push(None);
        self.forest.add()
    }

    /// The threads (steps 2 to 6).
    pub(super) fn finish(self, gather: Gather) -> Tree {
        let mut threads = self.pruned();
        threads.sort_below();
        threads.sort_tops(|threads, at| threads.first(at).map(|facts| (facts.sent, facts.number)));
        match gather {
            Gather::BySubjectToo => {
                threads.gather_by_subject();
                threads.sort_below();
                threads.sort_tops(|threads, at| threads.first(at).map(|facts| (facts.sent, facts.number)));
            }
            Gather::ByReferences => {
                let newest = threads.newest();
                threads.sort_tops(|threads, at| {
                    let number = threads.first(at).map_or(0, |facts| facts.number);
                    (newest.get(at).copied(), number)
                });
            }
        }
        threads.tree()
    }

    /// Step 3: what is only referred to goes, and what was below it moves up, unless that would make several threads of
    /// one.
    fn pruned(self) -> Threads {
        let count = self.messages.len();
        let mut below = vec![Vec::new(); count];
        let mut roots = Vec::new();
        for node in 0..count {
            match self.forest.parent(node as Node) {
                Some(parent) => push(&mut below, parent as At, node),
                None => roots.push(node),
            }
        }
        let mut kept: Vec<Vec<At>> = vec![Vec::new(); count];
        // Nodes whose message is known, or that stand at the top, and for each node which of these it is below.
        let mut due: Vec<(At, At)> = roots.iter().map(|&root| (root, root)).collect();
        while let Some((node, above)) = due.pop() {
            let is_there = self.messages.get(node).is_some_and(Option::is_some);
            if is_there && node != above {
                push(&mut kept, above, node);
            }
            let above = if is_there { node } else { above };
            due.extend(below.get(node).into_iter().flatten().map(|&child| (child, above)));
        }
        let mut tops = Vec::new();
        for root in roots {
            let is_there = self.messages.get(root).is_some_and(Option::is_some);
            match kept.get(root).map(Vec::as_slice) {
                _ if is_there => tops.push(root),
                None | Some([]) => {}
                Some([only]) => tops.push(*only),
                Some(_) => tops.push(root),
            }
        }
        Threads { facts: self.messages, below: kept, tops }
    }
}

fn push(lists: &mut [Vec<At>], at: At, what: At) {
    if let Some(list) = lists.get_mut(at) {
        list.push(what);
    }
}

/// Threads as they are put in order. Only tops may be without a message.
struct Threads {
    facts: Vec<Option<Facts>>,
    below: Vec<Vec<At>>,
    tops: Vec<At>,
}

impl Threads {
    fn facts(&self, at: At) -> Option<&Facts> {
        self.facts.get(at).and_then(Option::as_ref)
    }

    fn below(&self, at: At) -> &[At] {
        self.below.get(at).map_or(&[], Vec::as_slice)
    }

    /// The message at a place, or the first below it where there is none.
    fn first(&self, at: At) -> Option<&Facts> {
        self.facts(at).or_else(|| self.below(at).first().and_then(|&first| self.facts(first)))
    }

    /// Steps 4 and 6: siblings by the date they were sent, and by their number where that is the same.
    fn sort_below(&mut self) {
        let facts = &self.facts;
        let key = |at: &At| facts.get(*at).and_then(Option::as_ref).map(|facts| (facts.sent, facts.number));
        self.below.iter_mut().for_each(|siblings| siblings.sort_unstable_by_key(key));
    }

    fn sort_tops<K: Ord>(&mut self, key: impl Fn(&Threads, At) -> K) {
        let mut tops = std::mem::take(&mut self.tops);
        tops.sort_by_cached_key(|&at| key(self, at));
        self.tops = tops;
    }

    /// When the newest message of each thread arrived, by its top.
    fn newest(&self) -> Vec<Option<i64>> {
        let mut newest = vec![None; self.facts.len()];
        for &top in &self.tops {
            let (mut latest, mut due) = (None, vec![top]);
            while let Some(at) = due.pop() {
                latest = latest.max(self.facts(at).map(|facts| facts.arrived));
                due.extend(self.below(at));
            }
            if let Some(slot) = newest.get_mut(top) {
                *slot = latest;
            }
        }
        newest
    }

    /// Step 5: threads with the same subject become one.
    fn gather_by_subject(&mut self) {
        let mut table = self.subject_table();
        let mut joined = HashSet::new();
        for top in std::mem::take(&mut self.tops) {
            // One that has come below another meanwhile is no top any more.
            if joined.contains(&top) {
                continue;
            }
            let Some((subject, other)) = self.named(top, &table).filter(|(_, other)| *other != top) else {
                self.tops.push(top);
                continue;
            };
            match (self.facts(top).copied(), self.facts(other).copied()) {
                // Both are without their first message: what is below this one joins the other.
                (None, None) => {
                    let moved = self.below.get_mut(top).map(std::mem::take).unwrap_or_default();
                    moved.into_iter().for_each(|at| push(&mut self.below, other, at));
                }
                (Some(_), None) => push(&mut self.below, other, top),
                (Some(this), Some(that)) if this.subject.is_reply && !that.subject.is_reply => {
                    push(&mut self.below, other, top);
                }
                // The table prefers threads without their first message, so that this one is in it, or was replaced by
                // another such.
                (None, Some(_)) => {
                    push(&mut self.below, top, other);
                    joined.insert(other);
                    table.insert(subject, top);
                    self.tops.push(top);
                }
                (Some(_), Some(_)) => {
                    let both = self.facts.len();
                    self.facts.push(None);
                    self.below.push(vec![other, top]);
                    joined.insert(other);
                    table.insert(subject, both);
                    self.tops.push(both);
                }
            }
        }
        self.tops.retain(|top| !joined.contains(top));
    }

    /// Steps 5.A and 5.B: for each subject the thread that the others join.
    fn subject_table(&self) -> HashMap<SubjectKey, At> {
        let mut table: HashMap<SubjectKey, At> = HashMap::new();
        for &top in &self.tops {
            let Some(first) = self.first(top).filter(|first| !first.subject.is_empty) else { continue };
            let known = *table.entry(first.subject.key).or_insert(top);
            let better = self.facts(known).is_some_and(|known| {
                self.facts(top).is_none_or(|this| known.subject.is_reply && !this.subject.is_reply)
            });
            if better {
                table.insert(first.subject.key, top);
            }
        }
        table
    }

    /// The subject of a thread, and what the table has for it; none for an empty one.
    fn named(&self, top: At, table: &HashMap<SubjectKey, At>) -> Option<(SubjectKey, At)> {
        let first = self.first(top).filter(|first| !first.subject.is_empty)?;
        table.get(&first.subject.key).map(|&at| (first.subject.key, at))
    }

    fn tree(self) -> Tree {
        let place =
            |(facts, below): (Option<Facts>, Vec<At>)| Place { message: facts.map(|f| f.number), below };
        Tree { places: self.facts.into_iter().zip(self.below).map(place).collect(), tops: self.tops }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tree::tests::written;
    use super::*;
    use crate::mime::message_id::message_ids;
    use crate::mime::subject::BaseSubject;

    /// A message: its id, what it refers to, its subject; numbers and dates ascend.
    type Given<'a> = (&'a str, &'a str, &'a str);

    fn facts(number: u32, sent: i64, subject: &str) -> Facts {
        Facts { number, sent, arrived: sent, subject: (&BaseSubject::of_text(subject)).into() }
    }

    fn id(text: &str) -> Option<MessageId> {
        message_ids(format!("<{text}@x>").as_bytes()).next()
    }

    fn threaded(messages: &[Given<'_>], gather: Gather) -> String {
        let mut references = References::default();
        for (at, (own, refers_to, subject)) in messages.iter().enumerate() {
            let ids: Vec<MessageId> = refers_to.split_whitespace().filter_map(id).collect();
            let own = id(own).filter(|_| !own.is_empty());
            references.add(facts(at as u32 + 1, at as i64, subject), own, &ids);
        }
        written(&references.finish(gather))
    }

    fn by_references(messages: &[Given<'_>]) -> String {
        threaded(messages, Gather::ByReferences)
    }

    fn by_subject(messages: &[Given<'_>]) -> String {
        threaded(messages, Gather::BySubjectToo)
    }

    #[test]
    fn links() {
        for (messages, threads) in [
            (&[][..], ""),
            (&[("a", "", "")], "(1)"),
            (&[("a", "", ""), ("b", "a", ""), ("c", "a b", "")], "(1 2 3)"),
            (&[("a", "", ""), ("b", "a", ""), ("c", "a", "")], "(1 (2)(3))"),
            // A reply that came before what it answers.
            (&[("b", "a", ""), ("a", "", "")], "(2 1)"),
            // What is not there has one reply, or several.
            (&[("b", "a", "")], "(1)"),
            (&[("b", "a", ""), ("c", "a", "")], "((1)(2))"),
            (&[("c", "a b", ""), ("d", "a b", "")], "((1)(2))"),
            (&[("a", "", ""), ("c", "a b", ""), ("d", "a b", "")], "(1 (2)(3))"),
            // A message that refers to itself, and two to each other.
            (&[("a", "a", "")], "(1)"),
            (&[("a", "b", ""), ("b", "a", "")], "(2 1)"),
            (&[("a", "b c a", ""), ("b", "a b c", ""), ("c", "c a b", "")], "(2 3 1)"),
            // The same id twice: the first has it.
            (&[("a", "", ""), ("a", "", ""), ("b", "a", "")], "(2)(1 3)"),
            (&[("", "", ""), ("", "", "")], "(1)(2)"),
            // What a message says of itself is better than what others say.
            (&[("c", "a b", ""), ("a", "", ""), ("x", "", ""), ("b", "x", "")], "(2)(3 4 1)"),
            (&[("c", "a b", ""), ("a", "", ""), ("b", "", "")], "(2)(3 1)"),
        ] {
            assert_eq!(by_references(messages), threads, "{messages:?}");
        }
    }

    #[test]
    fn subjects_gather() {
        for (messages, threads) in [
            (&[("a", "", "x"), ("b", "", "y"), ("c", "", "Re: x")][..], "(1 3)(2)"),
            (&[("a", "", "Re: x"), ("b", "", "x")], "(2 1)"),
            (&[("a", "", "x"), ("b", "", "X")], "((1)(2))"),
            (&[("a", "", "x"), ("b", "", "x"), ("c", "", "x"), ("d", "", "Re: x")], "((1)(2)(3)(4))"),
            (&[("a", "", "Re: x"), ("b", "", "Re: x")], "((1)(2))"),
            (&[("a", "", "Re: x"), ("b", "", "Re: x"), ("c", "", "x")], "(3 (1)(2))"),
            (&[("a", "", ""), ("b", "", "Re:")], "(1)(2)"),
            // Threads without their first message.
            (&[("a", "p", "x"), ("b", "p", "x"), ("c", "q", "x"), ("d", "q", "y")], "((1)(2)(3)(4))"),
            (&[("a", "p", "x"), ("b", "p", "x"), ("c", "", "x")], "((1)(2)(3))"),
            (&[("c", "", "x"), ("a", "p", "x"), ("b", "p", "x")], "((1)(2)(3))"),
            (&[("c", "", "x"), ("d", "", "x"), ("a", "p", "x"), ("b", "p", "x")], "((1)(2)(3)(4))"),
            // Only tops gather.
            (&[("a", "", "x"), ("b", "a", "y"), ("c", "", "y")], "(1 2)(3)"),
        ] {
            assert_eq!(by_subject(messages), threads, "{messages:?}");
        }
    }

    #[test]
    fn threads_with_new_mail_come_last_by_refs() {
        assert_eq!(by_references(&[("a", "", "x"), ("b", "", "x"), ("c", "a", "x")]), "(2)(1 3)");
        assert_eq!(by_subject(&[("a", "", "x"), ("b", "", "y"), ("c", "a", "x")]), "(1 3)(2)");
    }

    #[test]
    fn siblings_by_the_date_they_were_sent() {
        let mut references = References::default();
        for (number, sent) in [(1, 50), (2, 30), (3, 30), (4, 10)] {
            let refers_to: Vec<MessageId> = id("p").into_iter().collect();
            references.add(facts(number, sent, "x"), None, &refers_to);
        }
        references.add(facts(5, 20, "y"), None, &[]);
        assert_eq!(written(&references.finish(Gather::BySubjectToo)), "((4)(2)(3)(1))(5)");
    }

    /// Threads of a hundred thousand messages, each with its references in the worst of orders.
    #[test]
    fn depth_and_order_cost_nothing() {
        const MANY: u32 = 100_000;
        let ids: Vec<MessageId> = (0..=MANY).filter_map(|at| id(&at.to_string())).collect();
        let orders: [fn(u32) -> u32; 2] = [|at| MANY - 1 - at, |at| (at * 7_919) % MANY];
        for order in orders {
            let mut references = References::default();
            for at in (0..MANY).map(order) {
                let (parent, own) = (ids[at as usize], ids[at as usize + 1]);
                references.add(facts(at + 1, at.into(), "x"), Some(own), &[parent]);
            }
            let text = written(&references.finish(Gather::BySubjectToo));
            assert!(
                text.starts_with("(1 2 3 4 ") && text.ends_with(" 99999 100000)"),
                "{} bytes",
                text.len()
            );
        }
        // One message lays out a whole chain, and the others tear it apart again, from the bottom up.
        const TORN: usize = 30_000;
        let mut references = References::default();
        references.add(facts(1, 0, "x"), None, &ids[..=TORN]);
        for at in (0..TORN).rev() {
            let others = [ids[(at * 31) % (at + 1)], ids[at / 2]];
            references.add(facts(at as u32 + 2, at as i64, "y"), Some(ids[at]), &others);
        }
        assert_eq!(numbers(&written(&references.finish(Gather::BySubjectToo))).len(), TORN + 1);
    }

    #[test]
    fn one_subject_a_hundred_thousand_times() {
        for (first, rest) in [("x", "x"), ("x", "Re: x"), ("Re: x", "x"), ("Re: x", "Re: x")] {
            let mut references = References::default();
            for at in 0..100_000u32 {
                references.add(facts(at + 1, at.into(), if at == 0 { first } else { rest }), None, &[]);
            }
            assert_eq!(numbers(&written(&references.finish(Gather::BySubjectToo))).len(), 100_000);
        }
    }

    fn numbers(text: &str) -> Vec<u32> {
        text.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect()
    }

    /// Steps 1 to 3, word by word, with a walk for each question.
    fn plainly(messages: &[(usize, Vec<usize>)]) -> Vec<Option<usize>> {
        // Ids 0 to 7 are nodes 0 to 7; messages whose id is taken come behind.
        let mut parents: Vec<Option<usize>> = vec![None; 8 + messages.len()];
        let mut is_there = vec![false; 8 + messages.len()];
        let is_above = |parents: &[Option<usize>], above: usize, below: usize| {
            std::iter::successors(Some(below), |&at| parents[at]).any(|at| at == above)
        };
        let mut nodes = Vec::new();
        for (at, (own, refers_to)) in messages.iter().enumerate() {
            let node = if is_there[*own] { 8 + at } else { *own };
            is_there[node] = true;
            nodes.push(node);
            for pair in refers_to.windows(2) {
                if parents[pair[1]].is_none() && !is_above(&parents, pair[1], pair[0]) {
                    parents[pair[1]] = Some(pair[0]);
                }
            }
            let last = refers_to.last().copied();
            if parents[node] != last {
                parents[node] = None;
                parents[node] = last.filter(|&last| !is_above(&parents, node, last));
            }
        }
        // Of each message the message above it.
        let there = |at: &usize| is_there[*at];
        let above = |node: usize| std::iter::successors(parents[node], |&at| parents[at]).find(there);
        nodes
            .iter()
            .map(|&node| above(node).and_then(|above| nodes.iter().position(|n| *n == above)))
            .collect()
    }

    proptest! {
        #[test]
        fn every_message_once_below_the_message_it_belongs_to(
            messages in proptest::collection::vec((0usize..8, proptest::collection::vec(0usize..8, 0..4), 0usize..6), 0..12)
        ) {
            let subjects = ["", "x", "Re: x", "y", "Re: y", "z (fwd)"];
            let words: Vec<(String, String)> = messages.iter().map(|(own, refers_to, _)| {
                let refers_to: Vec<String> = refers_to.iter().map(ToString::to_string).collect();
                (own.to_string(), refers_to.join(" "))
            }).collect();
            let given: Vec<Given<'_>> = words.iter().zip(&messages)
                .map(|((own, refers_to), (_, _, subject))| (own.as_str(), refers_to.as_str(), subjects[*subject])).collect();
            let mut all = numbers(&by_subject(&given));
            all.sort_unstable();
            prop_assert_eq!(all, (1..=messages.len() as u32).collect::<Vec<_>>());

            let mut references = References::default();
            for (at, (own, refers_to, subject)) in given.iter().enumerate() {
                let ids: Vec<MessageId> = refers_to.split_whitespace().filter_map(id).collect();
                references.add(facts(at as u32 + 1, at as i64, subject), id(own), &ids);
            }
            let tree = references.finish(Gather::ByReferences);
            let mut above = vec![None; messages.len()];
            for place in &tree.places {
                for &child in &place.below {
                    if let (Some(parent), Some(message)) = (place.message, tree.places[child].message) {
                        above[message as usize - 1] = Some(parent as usize - 1);
                    }
                }
            }
            let plain: Vec<(usize, Vec<usize>)> = messages.iter().map(|(own, refers_to, _)| (*own, refers_to.clone())).collect();
            prop_assert_eq!(above, plainly(&plain));
            // A top without a message holds at least two.
            prop_assert!(tree.tops.iter().all(|&top| tree.places[top].message.is_some() || tree.places[top].below.len() > 1));
        }
    }
}
