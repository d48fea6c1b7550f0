//! Rights on a mailbox (RFC 4314 §2.1), as a set of letters.

use std::fmt;
use std::ops::{BitOr, BitOrAssign};

/// What somebody may do in a mailbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rights(u16);

/// In the order of RFC 4314 §2.1, in which they are written.
const LETTERS: [(Rights, char); 11] = [
    (Rights::LOOKUP, 'l'),
    (Rights::READ, 'r'),
    (Rights::SEEN, 's'),
    (Rights::WRITE, 'w'),
    (Rights::INSERT, 'i'),
    (Rights::POST, 'p'),
    (Rights::CREATE, 'k'),
    (Rights::DELETE_MAILBOX, 'x'),
    (Rights::DELETE_MESSAGES, 't'),
    (Rights::EXPUNGE, 'e'),
    (Rights::ADMINISTER, 'a'),
];

impl Rights {
    /// No right.
    pub const NONE: Rights = Rights(0);
    /// `l`: the mailbox is shown by LIST, and can be subscribed to.
    pub const LOOKUP: Rights = Rights(1);
    /// `r`: it can be selected and read.
    pub const READ: Rights = Rights(1 << 1);
    /// `s`: `\Seen` is kept.
    pub const SEEN: Rights = Rights(1 << 2);
    /// `w`: flags other than `\Seen` and `\Deleted` can be changed.
    pub const WRITE: Rights = Rights(1 << 3);
    /// `i`: messages can be put into it.
    pub const INSERT: Rights = Rights(1 << 4);
    /// `p`: mail can be sent to its submission address; kept, not used.
    pub const POST: Rights = Rights(1 << 5);
    /// `k`: mailboxes can be made below it.
    pub const CREATE: Rights = Rights(1 << 6);
    /// `x`: it can be deleted and renamed.
    pub const DELETE_MAILBOX: Rights = Rights(1 << 7);
    /// `t`: `\Deleted` can be changed.
    pub const DELETE_MESSAGES: Rights = Rights(1 << 8);
    /// `e`: messages can be expunged.
    pub const EXPUNGE: Rights = Rights(1 << 9);
    /// `a`: rights can be looked at and given.
    pub const ADMINISTER: Rights = Rights(1 << 10);
    /// All: the owner's.
    pub const ALL: Rights = Rights((1 << 11) - 1);

    /// Reads letters in any order. `c` and `d` of RFC 2086 stand for what became of them (RFC 4314 §2.1.1): `k`, and
    /// `x`, `t` and `e`. `None` when a letter is no right.
    pub fn parse(letters: &str) -> Option<Rights> {
        letters.chars().try_fold(Rights::NONE, |rights, letter| {
            Some(
                rights
                    | match letter {
                        'c' => Rights::CREATE,
                        'd' => Rights::DELETE_MAILBOX | Rights::DELETE_MESSAGES | Rights::EXPUNGE,
                        _ => LETTERS.iter().find(|(_, known)| *known == letter).map(|(right, _)| *right)?,
                    },
            )
        })
    }

    /// Whether all of these are among them.
    pub fn contains(self, rights: Rights) -> bool {
        self.0 & rights.0 == rights.0
    }

    /// Whether at least one of these is among them.
    pub fn intersects(self, rights: Rights) -> bool {
        self.0 & rights.0 != 0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// These without those.
    pub fn without(self, rights: Rights) -> Rights {
        Rights(self.0 & !rights.0)
    }
}

impl BitOr for Rights {
    type Output = Rights;

    fn bitor(self, other: Rights) -> Rights {
        Rights(self.0 | other.0)
    }
}

impl BitOrAssign for Rights {
    fn bitor_assign(&mut self, other: Rights) {
        self.0 |= other.0;
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = LETTERS.iter().filter(|(right, _)| self.contains(*right)).map(|(_, letter)| letter);
        f.write_str(&letters.collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters() {
        for (letters, written) in [
            ("", ""),
            ("lrswipkxtea", "lrswipkxtea"),
            ("aetl", "ltea"),
            ("lrswicda", "lrswikxtea"),
            ("ll", "l"),
        ] {
            assert_eq!(Rights::parse(letters).unwrap().to_string(), written);
        }
        for refused in ["L", "lq", "l ", "0", "é"] {
            assert_eq!(Rights::parse(refused), None, "{refused}");
        }
        assert_eq!(Rights::parse("lrswipkxtea"), Some(Rights::ALL));
    }

    #[test]
    fn sets() {
        let rights = Rights::LOOKUP | Rights::READ;
        assert!(rights.contains(Rights::READ) && !rights.contains(Rights::READ | Rights::SEEN));
        assert!(rights.intersects(Rights::READ | Rights::SEEN) && !rights.intersects(Rights::SEEN));
        assert_eq!(rights.without(Rights::READ | Rights::SEEN), Rights::LOOKUP);
        assert!(Rights::NONE.is_empty() && Rights::ALL.contains(Rights::NONE));
    }
}
