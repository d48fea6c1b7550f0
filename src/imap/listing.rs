//! The names of an account as a tree, and which of them LIST and LSUB show (RFC 5258 §3, RFC 3501 §6.3.9). Pure.
//!
//! A level without a mailbox is in the tree when there is something below it. Names stand in order by their levels,
//! INBOX and what is below it first, so that a parent comes before its children and they directly behind it.

use std::cmp::Ordering;

use super::wire::name::SEPARATOR;
use crate::store::mailbox::{Entry, Mailbox};
use crate::store::sharing::Shared;

/// A name in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node<'a> {
    /// The full name.
    pub name: &'a str,
    /// The mailbox, if there is one.
    pub mailbox: Option<&'a Mailbox>,
    /// Whose it is, where it is another account's.
    pub shared: Option<&'a Shared>,
    /// Whether the account has subscribed to it.
    pub subscribed: bool,
    /// Whether a mailbox is below it.
    pub has_children: bool,
    parent: Option<usize>,
}

/// What a name must be to be shown; it must be all that is asked for. Without any of it, all are shown that exist, or
/// that something is below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Criteria {
    /// It must be subscribed to; then it need not exist.
    pub subscribed: bool,
    /// It must have a special use.
    pub special_use: bool,
    /// Parents are shown for the sake of what is below them (RFC 5258 §3.1, RECURSIVEMATCH).
    pub recursive: bool,
}

impl Criteria {
    fn met_by(self, node: &Node<'_>) -> bool {
        let special = node.mailbox.is_some_and(|mailbox| mailbox.special_use.is_some());
        let shown = self.subscribed || self.special_use || node.mailbox.is_some() || node.has_children;
        shown && (!self.subscribed || node.subscribed) && (!self.special_use || special)
    }
}

/// A name to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed<'t, 'a> {
    /// It.
    pub node: &'t Node<'a>,
    /// Whether it meets the criteria, or is here only for what is below it.
    pub meets: bool,
    /// With RECURSIVEMATCH: whether something below it meets them.
    pub meets_below: bool,
}

/// All names of an account.
#[derive(Debug)]
pub struct Tree<'a> {
    nodes: Vec<Node<'a>>,
}

impl<'a> Tree<'a> {
    /// The tree of these names, each of which is there once.
    pub fn new(entries: &'a [Entry]) -> Self {
        let mut sorted: Vec<&Entry> = entries.iter().collect();
        sorted.sort_unstable_by(|a, b| by_level(&a.name, &b.name));
        let mut nodes: Vec<Node<'a>> = Vec::with_capacity(sorted.len());
        // The way from the root to the last name.
        let mut above: Vec<usize> = Vec::new();
        for entry in sorted {
            let is_above = |&at: &usize| nodes.get(at).is_some_and(|node| is_below(&entry.name, node.name));
            while above.last().is_some_and(|at| !is_above(at)) {
                above.pop();
            }
            let known = above.last().and_then(|&at| nodes.get(at)).map_or(0, |node| node.name.len() + 1);
            let missing = entry.name.match_indices(SEPARATOR).map(|(at, _)| at).filter(|&at| at > known);
            for name in missing.filter_map(|at| entry.name.get(..at)) {
                let parent = above.last().copied();
                above.push(nodes.len());
                nodes.push(Node {
                    name,
                    mailbox: None,
                    shared: None,
                    subscribed: false,
                    has_children: false,
                    parent,
                });
            }
            let parent = above.last().copied();
            above.push(nodes.len());
            nodes.push(Node {
                name: &entry.name,
                mailbox: entry.mailbox.as_ref(),
                shared: entry.shared.as_ref(),
                subscribed: entry.subscribed,
                has_children: false,
                parent,
            });
        }
        let exists = rolled_up(&nodes, |_, node| node.mailbox.is_some());
        nodes.iter_mut().zip(exists).for_each(|(node, below)| node.has_children = below);
        Self { nodes }
    }

    /// The names, in order.
    pub fn nodes(&self) -> &[Node<'a>] {
        &self.nodes
    }

    /// Those to be shown. `matched` says of each node whether a pattern matches its name.
    pub fn select<'t>(
        &'t self,
        criteria: Criteria,
        matched: &'t [bool],
    ) -> impl Iterator<Item = Listed<'t, 'a>> + 't {
        let is_matched = |at: usize| matched.get(at) == Some(&true);
        let met_below = rolled_up(&self.nodes, |_, node| criteria.met_by(node));
        // RFC 5258 §3.5: a parent that does not meet them itself is shown only for what is not shown in its own right.
        let hidden_below = rolled_up(&self.nodes, |at, node| criteria.met_by(node) && !is_matched(at));
        let below = met_below.into_iter().zip(hidden_below);
        self.nodes.iter().zip(below).enumerate().filter_map(move |(at, (node, (met_below, hidden_below)))| {
            let meets = criteria.met_by(node);
            let shown = is_matched(at) && (meets || criteria.recursive && hidden_below);
            shown.then_some(Listed { node, meets, meets_below: criteria.recursive && met_below })
        })
    }
}

/// Of each node, whether something below it is so.
fn rolled_up(nodes: &[Node<'_>], is_so: impl Fn(usize, &Node<'_>) -> bool) -> Vec<bool> {
    let mut below = vec![false; nodes.len()];
    for (at, node) in nodes.iter().enumerate().rev() {
        let passed_on = below.get(at) == Some(&true) || is_so(at, node);
        if let Some(parent) = node.parent.filter(|_| passed_on).and_then(|parent| below.get_mut(parent)) {
            *parent = true;
        }
    }
    below
}

fn is_below(name: &str, above: &str) -> bool {
    name.strip_prefix(above).is_some_and(|rest| rest.starts_with(SEPARATOR))
}

fn by_level(a: &str, b: &str) -> Ordering {
    let is_other = |name: &str| name.split(SEPARATOR).next() != Some("INBOX");
    is_other(a).cmp(&is_other(b)).then_with(|| a.split(SEPARATOR).cmp(b.split(SEPARATOR)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::imap::pattern::Pattern;
    use crate::mail::MailboxId;

    const SUBSCRIBED: Criteria = Criteria { subscribed: true, special_use: false, recursive: false };

    /// `name` a mailbox, `+name` subscribed too, `?name` subscribed only, `name \Use` with a special use.
    fn entries(names: &[&str]) -> Vec<Entry> {
        let entry = |word: &&str| {
            let name = word.trim_start_matches(['+', '?']);
            let (name, special) = name.split_once(" \\").map_or((name, None), |(n, u)| (n, Some(u)));
            let mailbox = Mailbox {
                id: MailboxId(1),
                uid_validity: 1,
                uid_next: 1,
                recent_uid: 1,
                highest_modseq: 1,
                special_use: special.map(|special| format!("\\{special}")),
            };
            Entry {
                name: name.into(),
                mailbox: (!word.starts_with('?')).then_some(mailbox),
                subscribed: word.starts_with(['+', '?']),
                shared: None,
            }
        };
        names.iter().map(entry).collect()
    }

    /// The names shown; `!` in front of one that does not meet the criteria, `>` behind one with something below.
    fn shown(names: &[&str], pattern: &str, criteria: Criteria) -> Vec<String> {
        let entries = entries(names);
        let tree = Tree::new(&entries);
        let pattern = Pattern::new("", pattern);
        let matched: Vec<bool> = tree.nodes().iter().map(|node| pattern.matches(node.name)).collect();
        let word = |listed: Listed<'_, '_>| {
            let (before, after) =
                (if listed.meets { "" } else { "!" }, if listed.meets_below { ">" } else { "" });
            format!("{before}{}{after}", listed.node.name)
        };
        tree.select(criteria, &matched).map(word).collect()
    }

    #[test]
    fn order_and_levels_without_mailbox() {
        let names = ["b", "a b", "INBOX/x", "a/b", "a", "A", "INBOX", "c/d/e", "?z/y"];
        assert_eq!(
            shown(&names, "*", Criteria::default()),
            ["INBOX", "INBOX/x", "A", "a", "a/b", "a b", "b", "c", "c/d", "c/d/e"]
        );
        let entries = entries(&names);
        let tree = Tree::new(&entries);
        let parents: Vec<_> = tree.nodes().iter().filter(|n| n.has_children).map(|n| n.name).collect();
        assert_eq!(parents, ["INBOX", "a", "c", "c/d"], "a name without mailbox is nobody's child");
    }

    #[test]
    fn selections() {
        let names = ["INBOX", "+a", "?gone", "Sent \\Sent", "+Junk \\Junk", "b/c"];
        assert_eq!(shown(&names, "*", SUBSCRIBED), ["Junk", "a", "gone"]);
        assert_eq!(
            shown(&names, "*", Criteria { special_use: true, ..Criteria::default() }),
            ["Junk", "Sent"]
        );
        assert_eq!(shown(&names, "*", Criteria { special_use: true, ..SUBSCRIBED }), ["Junk"]);
        assert_eq!(shown(&names, "%", Criteria::default()), ["INBOX", "Junk", "Sent", "a", "b"]);
    }

    #[test]
    fn recursive_match() {
        // After RFC 5258 §5, examples 8 and 9.
        let recursive = Criteria { recursive: true, ..SUBSCRIBED };
        let names = ["foo2", "+foo2/bar1", "+foo2/bar2", "baz2", "+baz2/bar2", "baz2/bar22", "?eps2/mamba"];
        assert_eq!(shown(&names, "%", recursive), ["!baz2>", "!eps2>", "!foo2>"]);
        assert_eq!(
            shown(&names, "*", recursive),
            ["baz2/bar2", "eps2/mamba", "foo2/bar1", "foo2/bar2"],
            "parents are of no use where the children are shown"
        );
        assert_eq!(shown(&["+a", "+a/b", "+a/b/c"], "*", recursive), ["a>", "a/b>", "a/b/c"]);
        assert_eq!(shown(&["a", "+a/b/c"], "%", SUBSCRIBED), [""; 0]);
    }

    proptest! {
        #[test]
        fn every_name_once_its_parents_before(names in proptest::collection::btree_set("[ab ](/[ab ]){0,3}", 0..12)) {
            let words: Vec<&str> = names.iter().map(String::as_str).collect();
            let entries = entries(&words);
            let tree = Tree::new(&entries);
            let nodes = tree.nodes();
            for (at, node) in nodes.iter().enumerate() {
                prop_assert!(nodes[..at].iter().all(|before| before.name != node.name));
                let parent = node.name.rsplit_once('/').map(|(parent, _)| parent);
                prop_assert_eq!(node.parent.map(|parent| nodes[parent].name), parent);
                prop_assert_eq!(node.mailbox.is_some(), names.contains(node.name));
                let below = names.iter().any(|name| is_below(name, node.name));
                prop_assert_eq!(node.has_children, below);
            }
            let there = names.iter().all(|name| nodes.iter().any(|node| node.name == name));
            prop_assert!(there);
        }
    }
}
