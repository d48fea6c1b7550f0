//! Threads by subject alone: ORDEREDSUBJECT (RFC 5256 §3). Pure.

use std::collections::HashMap;

use super::tree::{Place, Tree};
use super::{Facts, SubjectKey};

/// The threads of these messages: those with the same base subject are one, the first of them on top and all others
/// directly below it.
pub(super) fn ordered_subject(messages: Vec<Facts>) -> Tree {
    let mut by_subject: HashMap<SubjectKey, Vec<Facts>> = HashMap::new();
    for message in messages {
        by_subject.entry(message.subject.key).or_default().push(message);
    }
    let mut threads: Vec<Vec<Facts>> = by_subject.into_values().collect();
    let order = |message: &Facts| (message.sent, message.number);
    threads.iter_mut().for_each(|thread| thread.sort_unstable_by_key(order));
    threads.sort_unstable_by_key(|thread| thread.first().map(order));
    let mut tree = Tree::default();
    for thread in threads {
        let top = tree.places.len();
        tree.tops.push(top);
        let place = |message: &Facts| Place { message: Some(message.number), below: Vec::new() };
        tree.places.extend(thread.iter().map(place));
        let below = (top + 1..tree.places.len()).collect();
        if let Some(first) = tree.places.get_mut(top) {
            first.below = below;
        }
    }
    tree
}

#[cfg(test)]
mod tests {
    use super::super::tree::tests::written;
    use super::*;
    use crate::mime::subject::BaseSubject;

    fn threads(messages: &[(i64, &str)]) -> String {
        let facts = |(at, (sent, subject)): (usize, &(i64, &str))| Facts {
            number: at as u32 + 1,
            sent: *sent,
            arrived: 0,
            subject: (&BaseSubject::of_text(subject)).into(),
        };
        written(&ordered_subject(messages.iter().enumerate().map(facts).collect()))
    }

    #[test]
    fn shapes() {
        assert_eq!(threads(&[]), "");
        assert_eq!(threads(&[(1, "x")]), "(1)");
        assert_eq!(threads(&[(1, "x"), (2, "Re: X")]), "(1 2)");
        assert_eq!(threads(&[(3, "x"), (2, "x"), (1, "y"), (2, "x"), (0, "Re: x")]), "(5 (2)(4)(1))(3)");
        assert_eq!(threads(&[(1, ""), (1, "Re:"), (1, "a")]), "(1 2)(3)");
    }
}
