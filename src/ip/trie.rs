//! Values by network prefix: the longest prefix that covers an address is found in at most 32 (IPv4) or 128 (IPv6)
//! steps, however many there are.
//!
//! A binary trie with its one-way paths left out: a node stands for a prefix that was inserted, or for the place where
//! two of them part. So there are fewer than two nodes for each prefix, in one vector.

use std::net::IpAddr;

use ipnet::IpNet;

/// The two roots are the first nodes, so that 0, which is nobody's child, can stand for "no child".
const NONE: u32 = 0;
const ROOT_V4: u32 = 0;
const ROOT_V6: u32 = 1;

/// A map from network prefixes to values. IPv4-mapped IPv6 addresses are looked up as IPv4.
#[derive(Clone, Debug)]
pub struct Trie<T> {
    nodes: Vec<Node<T>>,
    len: usize,
}

#[derive(Clone, Debug)]
struct Node<T> {
    /// The prefix, in the highest bits; the others are zero.
    bits: u128,
    /// How many bits the prefix has.
    len: u8,
    /// What follows with a 0 and with a 1 after the prefix.
    children: [u32; 2],
    value: Option<T>,
}

impl<T> Node<T> {
    fn new(bits: u128, len: u8) -> Node<T> {
        Node { bits: bits & mask(len), len, children: [NONE; 2], value: None }
    }

    fn covers(&self, bits: u128) -> bool {
        (bits ^ self.bits) & mask(self.len) == 0
    }
}

/// The first `len` bits.
fn mask(len: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0)
}

/// The bit after the first `len`; 0 when there is none.
fn side(bits: u128, len: u8) -> usize {
    usize::from(bits.checked_shl(u32::from(len)).unwrap_or(0) >> 127 == 1)
}

/// Which root an address hangs on, and its bits from the highest down.
fn place(address: IpAddr) -> (u32, u128) {
    match address.to_canonical() {
        IpAddr::V4(v4) => (ROOT_V4, u128::from(v4.to_bits()) << 96),
        IpAddr::V6(v6) => (ROOT_V6, v6.to_bits()),
    }
}

impl<T> Trie<T> {
    /// An empty map.
    pub fn new() -> Trie<T> {
        Trie { nodes: vec![Node::new(0, 0), Node::new(0, 0)], len: 0 }
    }

    /// How many prefixes have a value.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no prefix has a value.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Sets the value of a prefix (host bits are ignored) and returns the one it had.
    ///
    /// `network` is taken as it is: an IPv4-mapped *network* given as IPv6 would never be found, because addresses are
    /// made IPv4 before they are looked up. [`Pattern`](super::Pattern) takes care of that.
    pub fn insert(&mut self, network: IpNet, value: T) -> Option<T> {
        let len = network.prefix_len();
        let (mut at, bits) = match network {
            IpNet::V4(net) => (ROOT_V4, u128::from(net.addr().to_bits()) << 96),
            IpNet::V6(net) => (ROOT_V6, net.addr().to_bits()),
        };
        let bits = bits & mask(len);
        loop {
            // Here the node at `at` always covers `bits`, and is not longer than `len`.
            let node = &self.nodes[at as usize];
            if node.len == len {
                return self.set(at, value);
            }
            let turn = side(bits, node.len);
            let next = node.children[turn];
            if next == NONE {
                at = self.attach(at, turn, Node::new(bits, len));
                continue;
            }
            let child = &self.nodes[next as usize];
            let shared = ((bits ^ child.bits).leading_zeros() as u8).min(len).min(child.len);
            if shared == child.len {
                at = next;
                continue;
            }
            let mut fork = Node::new(bits, shared);
            fork.children[side(child.bits, shared)] = next;
            at = self.attach(at, turn, fork);
        }
    }

    fn set(&mut self, at: u32, value: T) -> Option<T> {
        let old = self.nodes[at as usize].value.replace(value);
        if old.is_none() {
            self.len += 1;
        }
        old
    }

    /// Adds a node as a child; returns where it is.
    fn attach(&mut self, parent: u32, turn: usize, node: Node<T>) -> u32 {
        // 2^32 nodes would be 128 GB.
        let at = self.nodes.len() as u32;
        self.nodes.push(node);
        self.nodes[parent as usize].children[turn] = at;
        at
    }

    /// The value of the longest prefix that covers the address.
    pub fn most_specific(&self, address: IpAddr) -> Option<&T> {
        self.longest(address).map(|(_, value)| value)
    }

    /// The longest prefix that covers the address: its length and value.
    pub fn longest(&self, address: IpAddr) -> Option<(u8, &T)> {
        self.covering(address).last()
    }

    /// Every prefix that covers the address, the shortest first: length and value.
    pub fn covering(&self, address: IpAddr) -> impl Iterator<Item = (u8, &T)> {
        let (root, bits) = place(address);
        let mut at = Some(root);
        std::iter::from_fn(move || {
            let node = &self.nodes[at? as usize];
            if !node.covers(bits) {
                at = None;
                return None;
            }
            let next = node.children[side(bits, node.len)];
            at = (next != NONE).then_some(next);
            Some((node.len, node.value.as_ref()))
        })
        .filter_map(|(len, value)| Some((len, value?)))
    }
}

impl<T> Default for Trie<T> {
    fn default() -> Trie<T> {
        Trie::new()
    }
}

impl<T> FromIterator<(IpNet, T)> for Trie<T> {
    fn from_iter<I: IntoIterator<Item = (IpNet, T)>>(entries: I) -> Trie<T> {
        let mut trie = Trie::new();
        for (network, value) in entries {
            trie.insert(network, value);
        }
        trie
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_longest_prefix_wins() {
        let nets =
            ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "10.1.2.2/31", "::/0", "fe80::/10"];
        let trie: Trie<&str> = nets.iter().map(|net| (net.parse().unwrap(), *net)).collect();
        assert_eq!(trie.len(), nets.len());
        for (address, net) in [
            ("9.9.9.9", "0.0.0.0/0"),
            ("10.9.9.9", "10.0.0.0/8"),
            ("10.1.9.9", "10.1.0.0/16"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("10.1.2.2", "10.1.2.2/31"),
            ("::ffff:10.1.2.3", "10.1.2.3/32"),
            ("::1", "::/0"),
            ("febf::", "fe80::/10"),
        ] {
            assert_eq!(trie.most_specific(address.parse().unwrap()), Some(&net), "{address}");
        }
        let lens: Vec<u8> = trie.covering("10.1.2.3".parse().unwrap()).map(|(len, _)| len).collect();
        assert_eq!(lens, [0, 8, 16, 31, 32]);
    }

    #[test]
    fn nothing_covers_in_an_empty_trie_and_families_stay_apart() {
        let mut trie = Trie::new();
        assert_eq!(trie.most_specific("1.2.3.4".parse().unwrap()), None);
        assert!(trie.is_empty());
        trie.insert("::/0".parse().unwrap(), 6);
        assert_eq!(trie.most_specific("1.2.3.4".parse().unwrap()), None);
        assert_eq!(trie.insert("::/0".parse().unwrap(), 7), Some(6));
        assert_eq!(trie.len(), 1);
    }

    #[test]
    fn a_node_is_small() {
        // What the figures at the head of list.rs rest on.
        assert_eq!(size_of::<Node<()>>(), 32);
    }

    /// Addresses that are close to each other, so that prefixes nest and part at all depths.
    fn net() -> impl Strategy<Value = IpNet> {
        let v4 = (prop::sample::select(vec![0u32, 0x0a00_0000, 0x0a01_02ff, u32::MAX]), 0u32..16, 0u8..=32)
            .prop_map(|(base, low, len)| IpNet::new(Ipv4Addr::from(base ^ low).into(), len).unwrap());
        let v6 =
            (prop::sample::select(vec![0u128, 1 << 127, 0xfe80 << 112, u128::MAX]), 0u128..16, 0u8..=128)
                .prop_map(|(base, low, len)| IpNet::new(Ipv6Addr::from(base ^ low).into(), len).unwrap());
        prop_oneof![v4, v6]
    }

    proptest! {
        #[test]
        fn as_a_linear_search_would(nets in prop::collection::vec(net(), 0..40), probes in prop::collection::vec(net(), 1..20)) {
            let mut trie = Trie::new();
            let mut model = std::collections::HashMap::new();
            for (i, net) in nets.iter().enumerate() {
                prop_assert_eq!(trie.insert(*net, i), model.insert(net.trunc(), i));
            }
            prop_assert_eq!(trie.len(), model.len());
            prop_assert!(trie.nodes.len() <= 2 * model.len() + 2);
            for probe in probes {
                let address = probe.addr().to_canonical();
                let expected = model.iter().filter(|(net, _)| net.contains(&address)).max_by_key(|(net, _)| net.prefix_len());
                prop_assert_eq!(trie.most_specific(address), expected.map(|(_, value)| value));
            }
        }
    }
}
