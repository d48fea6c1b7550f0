//! Threads as they are answered: messages below messages, and how they are written (RFC 5256 §4, `thread-data`).
//!
//! Nothing recurses: a thread may be as deep as the mailbox is large.

/// A place in a tree.
pub(super) type At = usize;

/// Something in a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The message; none at the top of a thread whose first message is not there.
    pub(super) message: Option<u32>,
    /// What is below it, in the order in which it is answered.
    pub(super) below: Vec<At>,
}

/// Threads.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tree {
    /// All places; those that no way leads to do not count.
    pub(super) places: Vec<Place>,
    /// The tops of the threads, in the order in which they are answered.
    pub(super) tops: Vec<At>,
}

/// A piece of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    /// `(`
    Open,
    /// `)`
    Close,
    /// Between a message and what is below it.
    Space,
    /// A message.
    Message(u32),
}

impl Tree {
    /// The answer, piece by piece.
    pub(super) fn pieces(&self) -> Pieces<'_> {
        Pieces { tree: self, due: self.tops.iter().rev().map(|&top| Due::Thread(top)).collect() }
    }

    fn place(&self, at: At) -> Option<&Place> {
        self.places.get(at)
    }
}

/// What is still to be written, the next at the end.
#[derive(Debug)]
pub(super) struct Pieces<'t> {
    tree: &'t Tree,
    due: Vec<Due>,
}

#[derive(Debug, Clone, Copy)]
enum Due {
    /// A place in parentheses.
    Thread(At),
    /// A place without.
    Place(At),
    Piece(Piece),
}

impl Iterator for Pieces<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        loop {
            match self.due.pop()? {
                Due::Piece(piece) => return Some(piece),
                Due::Thread(at) => {
                    self.due.push(Due::Piece(Piece::Close));
                    self.due.push(Due::Place(at));
                    return Some(Piece::Open);
                }
                Due::Place(at) => {
                    let Some(place) = self.tree.place(at) else { continue };
                    match place.below.as_slice() {
                        [only] => self.due.push(Due::Place(*only)),
                        several => self.due.extend(several.iter().rev().map(|&at| Due::Thread(at))),
                    }
                    if let Some(message) = place.message {
                        if !place.below.is_empty() {
                            self.due.push(Due::Piece(Piece::Space));
                        }
                        return Some(Piece::Message(message));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The answer as text.
    pub(in crate::imap::cmd::thread) fn written(tree: &Tree) -> String {
        let mut text = String::new();
        for piece in tree.pieces() {
            match piece {
                Piece::Open => text.push('('),
                Piece::Close => text.push(')'),
                Piece::Space => text.push(' '),
                Piece::Message(number) => text.push_str(&number.to_string()),
            }
        }
        text
    }

    fn tree(places: &[(u32, &[At])], tops: &[At]) -> Tree {
        let place = |&(message, below): &(u32, &[At])| Place {
            message: (message > 0).then_some(message),
            below: below.to_vec(),
        };
        Tree { places: places.iter().map(place).collect(), tops: tops.to_vec() }
    }

    #[test]
    fn shapes() {
        assert_eq!(written(&tree(&[], &[])), "");
        assert_eq!(written(&tree(&[(2, &[])], &[0])), "(2)");
        // RFC 5256 §4: 3 has the child 6, which has the children 4 (with 23) and 44 (with 7, and that with 96).
        let places: &[(u32, &[At])] =
            &[(2, &[]), (3, &[2]), (6, &[3, 5]), (4, &[4]), (23, &[]), (44, &[6]), (7, &[7]), (96, &[])];
        assert_eq!(written(&tree(places, &[0, 1])), "(2)(3 6 (4 23)(44 7 96))");
        // A first message that is not there.
        assert_eq!(written(&tree(&[(0, &[1, 2]), (3, &[]), (5, &[])], &[0])), "((3)(5))");
    }

    #[test]
    fn depth_is_no_matter() {
        let deep = 300_000;
        let places = (0..deep).map(|at| Place {
            message: Some(at as u32 + 1),
            below: if at + 1 < deep { vec![at + 1] } else { Vec::new() },
        });
        let text = written(&Tree { places: places.collect(), tops: vec![0] });
        assert!(text.starts_with("(1 2 3 ") && text.ends_with(" 299999 300000)"));
    }
}
