//! Values by pattern, of which the most specific that matches wins.
//!
//! Prefixes are found in a [`Trie`]; patterns with wildcards that are no prefix (`10.0.?.1`) are tried one after
//! another, 4 to 6 ns each (measured with 1,000 of them): people write few.

use std::net::IpAddr;

use super::{
    pattern::{Form, Pattern, Specificity},
    trie::Trie,
};

/// A map from patterns to values.
#[derive(Clone, Debug)]
pub struct PatternMap<T> {
    every: Option<T>,
    nets: Trie<T>,
    wild: Vec<(Pattern, Specificity, T)>,
}

impl<T> PatternMap<T> {
    /// An empty map.
    pub fn new() -> PatternMap<T> {
        PatternMap { every: None, nets: Trie::new(), wild: Vec::new() }
    }

    /// Adds a pattern. Of two that are equally specific the one added later wins.
    pub fn insert(&mut self, pattern: Pattern, value: T) {
        match pattern.form() {
            Form::Every => self.every = Some(value),
            Form::Net(net) => {
                self.nets.insert(*net, value);
            }
            Form::V4(_) | Form::V6(_) => {
                let specificity = pattern.specificity();
                self.wild.push((pattern, specificity, value));
            }
        }
    }

    /// Whether there is no pattern at all.
    pub fn is_empty(&self) -> bool {
        self.every.is_none() && self.nets.is_empty() && self.wild.is_empty()
    }

    /// The value of the most specific pattern that matches (see [`Specificity`]).
    pub fn most_specific(&self, address: IpAddr) -> Option<&T> {
        let net = self.nets.longest(address).map(|(len, value)| (Specificity::of_prefix(len), value));
        let wild = self.wild_matches(address).map(|(_, specificity, value)| (*specificity, value));
        // The last of equal maxima is taken, as promised by `insert`; `*` has the least of all.
        let best = net.into_iter().chain(wild).max_by_key(|(specificity, _)| *specificity);
        best.map(|(_, value)| value).or(self.every.as_ref())
    }

    /// Whether any pattern matches.
    pub fn matches(&self, address: IpAddr) -> bool {
        self.every.is_some()
            || self.nets.covering(address).next().is_some()
            || self.wild_matches(address).next().is_some()
    }

    fn wild_matches(&self, address: IpAddr) -> impl Iterator<Item = &(Pattern, Specificity, T)> {
        let address = address.to_canonical();
        self.wild.iter().filter(move |(pattern, ..)| pattern.matches(address))
    }
}

impl<T> Default for PatternMap<T> {
    fn default() -> PatternMap<T> {
        PatternMap::new()
    }
}

impl<T> FromIterator<(Pattern, T)> for PatternMap<T> {
    fn from_iter<I: IntoIterator<Item = (Pattern, T)>>(entries: I) -> PatternMap<T> {
        let mut map = PatternMap::new();
        for (pattern, value) in entries {
            map.insert(pattern, value);
        }
        map
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_rule_wins_wildcards_included() {
        let rules = [
            "*",
            "10.*",
            "10.0.0.0/24",
            "10.0.0.?",
            "10.0.0.1?",
            "10.0.0.7",
            "10.*.0.9",
            "::*",
            "fe80:*",
            "fe80::?",
        ];
        let map: PatternMap<&str> = rules.iter().map(|rule| (rule.parse().unwrap(), *rule)).collect();
        for (address, rule) in [
            ("9.9.9.9", "*"),
            ("10.9.9.9", "10.*"),
            ("10.0.0.200", "10.0.0.0/24"),
            ("10.0.0.8", "10.0.0.?"),
            ("10.0.0.12", "10.0.0.1?"),
            ("10.0.0.7", "10.0.0.7"),
            ("10.5.0.9", "10.*.0.9"),
            ("::ffff:10.0.0.7", "10.0.0.7"),
            ("::1", "::*"),
            ("fe80::10", "fe80:*"),
            ("fe80::a", "fe80::?"),
        ] {
            assert_eq!(map.most_specific(address.parse().unwrap()), Some(&rule), "{address}");
        }
    }

    #[test]
    fn of_equals_the_later_wins() {
        for rule in ["*", "10.*", "10.0.?.1"] {
            let map: PatternMap<u8> =
                [(rule.parse().unwrap(), 1), (rule.parse().unwrap(), 2)].into_iter().collect();
            assert_eq!(map.most_specific("10.0.1.1".parse().unwrap()), Some(&2), "{rule}");
        }
    }

    #[test]
    fn an_empty_map_matches_nothing() {
        let map = PatternMap::<()>::new();
        assert!(map.is_empty());
        assert!(!map.matches("1.2.3.4".parse().unwrap()));
        assert_eq!(map.most_specific("::1".parse().unwrap()), None);
    }
}
