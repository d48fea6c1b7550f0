//! Rights on a mailbox (RFC 4314 §2.1), as a set of letters.

use std::fmt;
use std::ops::{BitOr, BitOrAssign};

use super::Flags;

/// What somebody may do in a mailbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rights(u16);

/// In the order of RFC 4314 §2.1, in which they are written.
const LETTERS: [(Rights, char); 12] = [
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
    (Rights::ANNOTATE, 'n'),
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
    /// `n`: shared annotations of messages can be changed (RFC 5257 §3.4); kept, not used.
    pub const ANNOTATE: Rights = Rights(1 << 11);
    /// All: the owner's.
    pub const ALL: Rights = Rights((1 << 12) - 1);

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

    /// One by one, in the order in which they are written.
    pub fn iter(self) -> impl Iterator<Item = Rights> {
        LETTERS.into_iter().map(|(right, _)| right).filter(move |right| self.contains(*right))
    }

    /// As clients of RFC 2086 are to see them too: with `c` and `d` wherever something is there of what became of them
    /// (RFC 4314 §2.1.1).
    pub fn with_obsolete(self) -> String {
        let mut letters = self.to_string();
        if self.contains(Rights::CREATE) {
            letters.push('c');
        }
        if self.intersects(Rights::DELETE_MAILBOX | Rights::DELETE_MESSAGES | Rights::EXPUNGE) {
            letters.push('d');
        }
        letters
    }

    /// The flags that can be changed with them (RFC 4314 §2.1, §4).
    pub fn flags(self) -> FlagMask {
        let mut flags = Flags::NONE;
        if self.contains(Rights::SEEN) {
            flags |= Flags::SEEN;
        }
        if self.contains(Rights::DELETE_MESSAGES) {
            flags |= Flags::DELETED;
        }
        let keywords = self.contains(Rights::WRITE);
        if keywords {
            flags |= Flags::ANSWERED | Flags::FLAGGED | Flags::DRAFT;
        }
        FlagMask { flags, keywords }
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

/// Flags that may be changed, or go along with a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlagMask {
    /// These system flags.
    pub flags: Flags,
    /// Whether keywords may.
    pub keywords: bool,
}

impl FlagMask {
    /// All flags.
    pub const ALL: FlagMask = FlagMask { flags: Flags::ALL, keywords: true };

    /// For the database: the bits of the system flags, and 32 for keywords.
    pub fn bits(self) -> i32 {
        i32::from(self.flags.bits()) | if self.keywords { 32 } else { 0 }
    }

    /// What is left of these flags and keywords.
    pub fn pass(self, flags: Flags, keywords: Vec<String>) -> (Flags, Vec<String>) {
        let flags = Flags::from_bits_truncate(flags.bits() & self.flags.bits());
        (flags, if self.keywords { keywords } else { Vec::new() })
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
            ("nlrswipkxtea", "lrswipkxtena"),
            ("aetl", "ltea"),
            ("lrswicda", "lrswikxtea"),
            ("ll", "l"),
        ] {
            assert_eq!(Rights::parse(letters).unwrap().to_string(), written);
        }
        for refused in ["L", "lq", "l ", "0", "é"] {
            assert_eq!(Rights::parse(refused), None, "{refused}");
        }
        assert_eq!(Rights::parse("lrswipkxtena"), Some(Rights::ALL));
    }

    #[test]
    fn for_old_clients() {
        for (letters, shown) in [
            ("", ""),
            ("lr", "lr"),
            ("k", "kc"),
            ("e", "ed"),
            ("xt", "xtd"),
            ("lrswipkxtena", "lrswipkxtenacd"),
        ] {
            assert_eq!(Rights::parse(letters).unwrap().with_obsolete(), shown);
        }
    }

    #[test]
    fn flags_that_can_be_changed() {
        let keywords = vec!["k".to_owned()];
        for (letters, flags, kept) in [
            ("lr", Flags::NONE, 0),
            ("s", Flags::SEEN, 0),
            ("t", Flags::DELETED, 0),
            ("w", Flags::ANSWERED | Flags::FLAGGED | Flags::DRAFT, 1),
            ("swt", Flags::ALL, 1),
        ] {
            let mask = Rights::parse(letters).unwrap().flags();
            let (passed, passed_keywords) = mask.pass(Flags::ALL, keywords.clone());
            assert_eq!((passed, passed_keywords.len()), (flags, kept), "{letters}");
        }
        assert_eq!(Rights::ALL.flags(), FlagMask::ALL);
        assert_eq!(FlagMask::ALL.bits(), 63);
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
