//! LIST's patterns (RFC 3501 §6.3.8): `*` stands for anything, `%` for anything within a level.
//!
//! The match follows all possibilities at once, one set of positions in the pattern per character of the name, so
//! that its cost is the product of the two lengths and no pattern makes it worse: with backtracking, `%a%a%a%b` is a
//! way to keep a server busy.

use unicode_normalization::UnicodeNormalization;

use super::wire::name::{NAME_MAX, SEPARATOR};

/// A pattern ready to be matched with canonical names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    steps: Vec<Step>,
    /// Characters that a name must at least have.
    fixed: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Char(char),
    /// `*`
    Any,
    /// `%`
    Level,
}

impl Pattern {
    /// A pattern behind a reference: the two are joined as they are (RFC 3501 §6.3.8 leaves it to the server).
    pub fn new(reference: &str, pattern: &str) -> Self {
        let mut steps: Vec<Step> = Vec::new();
        let fixed = reference.nfc().map(Step::Char);
        let wild = pattern.nfc().map(|c| match c {
            '*' => Step::Any,
            '%' => Step::Level,
            c => Step::Char(c),
        });
        for step in fixed.chain(wild) {
            match (steps.last_mut(), step) {
                // Neighbouring wildcards are worth as much as the strongest of them.
                (Some(Step::Any), Step::Any | Step::Level) | (Some(Step::Level), Step::Level) => {}
                (Some(last @ Step::Level), Step::Any) => *last = Step::Any,
                _ => steps.push(step),
            }
        }
        let fixed = steps.iter().filter(|step| matches!(step, Step::Char(_))).count();
        Pattern { steps, fixed }
    }

    /// Whether no wildcard is in it, so that it names one mailbox.
    pub fn is_plain(&self) -> bool {
        self.fixed == self.steps.len()
    }

    /// Whether `name`, in its canonical form, matches. INBOX matches in any case.
    pub fn matches(&self, name: &str) -> bool {
        if self.fixed > name.len().min(NAME_MAX) {
            return false;
        }
        let inbox = name == "INBOX" || name.starts_with("INBOX/");
        // `here[i]`: the name so far is matched by the first `i` steps.
        let mut here = vec![false; self.steps.len() + 1];
        let mut next = here.clone();
        mark(&mut here, 0);
        self.pass_wildcards(&mut here);
        for (index, c) in name.chars().enumerate() {
            next.fill(false);
            let any_case = inbox && index < "INBOX".len();
            let reached = here.iter().zip(&self.steps).enumerate().filter(|(_, (reached, _))| **reached);
            for (at, (_, step)) in reached {
                match step {
                    Step::Any => mark(&mut next, at),
                    Step::Level if c != SEPARATOR => mark(&mut next, at),
                    Step::Char(p) if *p == c || any_case && p.eq_ignore_ascii_case(&c) => {
                        mark(&mut next, at + 1)
                    }
                    Step::Level | Step::Char(_) => {}
                }
            }
            self.pass_wildcards(&mut next);
            std::mem::swap(&mut here, &mut next);
            if !here.contains(&true) {
                return false;
            }
        }
        here.last() == Some(&true)
    }

    /// A wildcard also stands for nothing.
    fn pass_wildcards(&self, set: &mut [bool]) {
        for (at, step) in self.steps.iter().enumerate() {
            if *step != Step::Any && *step != Step::Level {
                continue;
            }
            if set.get(at) == Some(&true) {
                mark(set, at + 1);
            }
        }
    }
}

fn mark(set: &mut [bool], at: usize) {
    if let Some(place) = set.get_mut(at) {
        *place = true;
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn matches() {
        for (pattern, name, expected) in [
            ("", "a", false),
            ("a", "ab", false),
            ("ab", "a", false),
            ("A", "a", false),
            ("%", "a/b", false),
            ("a/%", "a", false),
            ("a/%", "a/b/c", false),
            ("%b", "a/b", false),
            ("*c", "a/b", false),
            ("inbox", "inboxes", false),
            ("inbox/SUB", "INBOX/Sub", false),
            ("INBOX", "a/INBOX", false),
            ("%/%", "a", false),
            ("*", "a/b/c", true),
            ("%", "a", true),
            ("%%", "a", true),
            ("%/%", "a/b", true),
            ("a*c", "a/b/c", true),
            ("a%*c", "a/b/c", true),
            ("*%", "a/b/c", true),
            ("%*", "a/b/c", true),
            ("a/%/c", "a/b/c", true),
            ("*b%", "a/b/bc", true),
            ("inbox", "INBOX", true),
            ("in*", "INBOX/a", true),
            ("Cafe\u{301}", "Café", true),
            ("a/b/", "a/b/", true),
        ] {
            assert_eq!(Pattern::new("", pattern).matches(name), expected, "{pattern} {name}");
        }
        assert!(Pattern::new("a/", "%").matches("a/b"));
        assert!(Pattern::new("a*", "b").matches("a*b"));
        assert!(!Pattern::new("a*", "b").matches("axb"), "a reference has no wildcards");
    }

    #[test]
    fn plain_patterns() {
        assert!(Pattern::new("a/", "b").is_plain());
        assert!(!Pattern::new("a/", "b%").is_plain());
    }

    #[test]
    fn no_pattern_is_slow() {
        let pattern = Pattern::new("", &format!("*{}b", "%a".repeat(400)));
        let name = "a".repeat(NAME_MAX);
        let begun = Instant::now();
        assert!(!pattern.matches(&name));
        // Backtracking would need longer than the world has been.
        assert!(begun.elapsed() < Duration::from_secs(2));
    }

    /// The definition, word by word, for short input.
    fn slow(pattern: &[char], name: &[char]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((wild @ ('*' | '%'), rest)) => {
                slow(rest, name)
                    || name
                        .split_first()
                        .is_some_and(|(&c, tail)| (*wild == '*' || c != '/') && slow(pattern, tail))
            }
            Some((p, rest)) => name.split_first().is_some_and(|(c, tail)| p == c && slow(rest, tail)),
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[ab/*%]{0,7}", name in "[ab/]{0,8}") {
            let chars = |s: &str| s.chars().collect::<Vec<_>>();
            prop_assert_eq!(Pattern::new("", &pattern).matches(&name), slow(&chars(&pattern), &chars(&name)));
        }
    }
}
