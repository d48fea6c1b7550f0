//! Trees that grow together and are taken apart, and always know the root of a node: link-cut trees (Sleator and Tarjan).
//!
//! Threads are made by linking messages one after another, and no link may close a circle. Walking up from a message to
//! find that out takes as many steps as the thread is deep, and a sender decides how deep a thread is; here it takes
//! some logarithm of that, over all links together. Pure, and nothing recurses.
//!
//! Each path from some node upwards is kept in a splay tree, ordered by depth; `up` of the root of a splay tree leads to
//! the node above the path.

/// A node.
pub(super) type Node = u32;

/// No node.
const NONE: Node = Node::MAX;

/// Which child in a splay tree: the left one is higher up in the thread.
const LEFT: usize = 0;
const RIGHT: usize = 1;

#[derive(Debug, Clone, Copy)]
struct Links {
    up: Node,
    down: [Node; 2],
}

const ALONE: Links = Links { up: NONE, down: [NONE; 2] };

/// The trees, and of each node its parent.
#[derive(Debug, Default)]
pub(super) struct Forest {
    links: Vec<Links>,
    parents: Vec<Node>,
}

impl Forest {
    /// A new tree of one node.
    pub(super) fn add(&mut self) -> Node {
        self.links.push(ALONE);
        self.parents.push(NONE);
        // There is memory for fewer nodes than that.
        (self.links.len() - 1) as Node
    }

    /// How many nodes there are.
    pub(super) fn len(&self) -> usize {
        self.links.len()
    }

    /// The parent of a node.
    pub(super) fn parent(&self, node: Node) -> Option<Node> {
        self.parents.get(node as usize).copied().filter(|parent| *parent != NONE)
    }

    /// Makes a node without a parent a child of another, unless that would close a circle.
    pub(super) fn link(&mut self, child: Node, parent: Node) {
        debug_assert!(self.parent(child).is_none());
        if child == parent || self.root(parent) == child {
            return;
        }
        self.expose(child);
        self.set_up(child, parent);
        if let Some(slot) = self.parents.get_mut(child as usize) {
            *slot = parent;
        }
    }

    /// Makes a node the root of what is below it.
    pub(super) fn cut(&mut self, child: Node) {
        if self.parent(child).is_none() {
            return;
        }
        self.expose(child);
        let above = self.down(child, LEFT);
        self.set_down(child, LEFT, NONE);
        self.set_up(above, NONE);
        if let Some(slot) = self.parents.get_mut(child as usize) {
            *slot = NONE;
        }
    }

    /// The root of the tree that a node is in.
    fn root(&mut self, node: Node) -> Node {
        self.expose(node);
        let mut root = node;
        while self.down(root, LEFT) != NONE {
            root = self.down(root, LEFT);
        }
        self.splay(root);
        root
    }

    /// Puts the path from the root to a node into one splay tree, with the node at its top and nothing below it.
    fn expose(&mut self, node: Node) {
        self.splay(node);
        self.set_down(node, RIGHT, NONE);
        while self.up(node) != NONE {
            let above = self.up(node);
            self.splay(above);
            self.set_down(above, RIGHT, node);
            self.splay(node);
        }
    }

    fn splay(&mut self, node: Node) {
        while let Some(side) = self.side(node) {
            let parent = self.up(node);
            match self.side(parent) {
                Some(same) if same == side => self.rotate(parent),
                Some(_) => self.rotate(node),
                None => {}
            }
            self.rotate(node);
        }
    }

    /// Puts a node in its splay parent's place.
    fn rotate(&mut self, node: Node) {
        let Some(side) = self.side(node) else { return };
        let parent = self.up(node);
        let (grandparent, of_parent) = (self.up(parent), self.side(parent));
        let between = self.down(node, 1 - side);
        self.set_down(parent, side, between);
        self.set_up(between, parent);
        self.set_down(node, 1 - side, parent);
        self.set_up(parent, node);
        if let Some(of_parent) = of_parent {
            self.set_down(grandparent, of_parent, node);
        }
        self.set_up(node, grandparent);
    }

    /// Which child of its splay parent a node is; `None` at the top of a splay tree.
    fn side(&self, node: Node) -> Option<usize> {
        let parent = self.up(node);
        [LEFT, RIGHT].into_iter().find(|&side| parent != NONE && self.down(parent, side) == node)
    }

    fn links(&self, node: Node) -> Links {
        self.links.get(node as usize).copied().unwrap_or(ALONE)
    }

    fn up(&self, node: Node) -> Node {
        self.links(node).up
    }

    fn down(&self, node: Node, side: usize) -> Node {
        self.links(node).down.get(side).copied().unwrap_or(NONE)
    }

    fn set_up(&mut self, node: Node, up: Node) {
        if let Some(links) = self.links.get_mut(node as usize) {
            links.up = up;
        }
    }

    fn set_down(&mut self, node: Node, side: usize, down: Node) {
        if let Some(slot) = self.links.get_mut(node as usize).and_then(|links| links.down.get_mut(side)) {
            *slot = down;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same, walking up.
    #[derive(Default)]
    struct Plain(Vec<Option<usize>>);

    impl Plain {
        fn root(&self, mut node: usize) -> usize {
            while let Some(parent) = self.0[node] {
                node = parent;
            }
            node
        }
    }

    proptest! {
        #[test]
        fn links_and_cuts_as_if_walked(steps in proptest::collection::vec((0u32..12, 0u32..12, any::<bool>()), 0..80)) {
            let (mut forest, mut plain) = (Forest::default(), Plain(vec![None; 12]));
            (0..12).for_each(|_| _ = forest.add());
            for (child, parent, cut) in steps {
                let (c, p) = (child as usize, parent as usize);
                if cut {
                    forest.cut(child);
                    plain.0[c] = None;
                } else if plain.0[c].is_none() {
                    forest.link(child, parent);
                    if plain.root(p) != c {
                        plain.0[c] = Some(p);
                    }
                }
                for node in 0..12 {
                    prop_assert_eq!(forest.parent(node).map(|p| p as usize), plain.0[node as usize]);
                    prop_assert_eq!(forest.root(node) as usize, plain.root(node as usize));
                }
            }
        }
    }

    #[test]
    fn deep_trees_are_taken_apart_and_put_together_in_good_time() {
        const DEPTH: Node = 100_000;
        let mut forest = Forest::default();
        (0..DEPTH).for_each(|_| _ = forest.add());
        (1..DEPTH).for_each(|node| forest.link(node, node - 1));
        assert_eq!(forest.root(DEPTH - 1), 0);
        for node in (1..DEPTH).rev() {
            forest.cut(node);
            forest.link(node, node / 2);
        }
        assert_eq!(forest.root(DEPTH - 1), 0);
        forest.link(0, DEPTH - 1);
        assert_eq!(forest.parent(0), None, "a circle");
    }
}
