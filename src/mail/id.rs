//! Identities, each a type of its own, so that a mailbox is never looked up by an account's number.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A newtype over the key of a table.
macro_rules! key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

key! {
    /// `directory.account.id`.
    AccountId
}
key! {
    /// `directory.domain.id`.
    DomainId
}
key! {
    /// `store.mailbox.id`.
    MailboxId
}
key! {
    /// `store.content.id`: one distinct message, shared by all mailboxes it lies in.
    ContentId
}

/// A message's unique identifier within its mailbox (RFC 9051 §2.3.1.1), 1 to 4,294,967,295.
///
/// 0 is the uid of no message: a `Uid(0)` stands only for "before the first", such as the last uid seen of an empty
/// mailbox. What comes from a client goes through [`Uid::new`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Uid(pub u32);

impl Uid {
    /// A uid that can be a message's: not 0.
    pub fn new(uid: u32) -> Option<Uid> {
        (uid != 0).then_some(Uid(uid))
    }

    /// The uid after this one; `None` when the mailbox has used up its numbers.
    pub fn next(self) -> Option<Uid> {
        self.0.checked_add(1).map(Uid)
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A modification sequence (RFC 7162 §3.1): 63 bits, 0 only where a client says "everything".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ModSeq(pub u64);

impl ModSeq {
    /// The greatest there is (RFC 7162 §7: `mod-sequence-value` is below 2^63).
    pub const MAX: ModSeq = ModSeq(i64::MAX as u64);

    /// A modification sequence from a client; `None` for one of 64 bits.
    pub fn new(modseq: u64) -> Option<ModSeq> {
        (modseq <= ModSeq::MAX.0).then_some(ModSeq(modseq))
    }

    /// As the database stores it. A number beyond 63 bits, which [`ModSeq::new`] doesn't make, becomes the greatest.
    pub fn to_i64(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }
}

impl fmt::Display for ModSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_identify_nothing() {
        assert_eq!(Uid::new(0), None);
        assert_eq!(Uid(u32::MAX).next(), None);
        assert_eq!(ModSeq::new(1 << 63), None);
        assert_eq!(ModSeq::new(i64::MAX as u64), Some(ModSeq::MAX));
        assert_eq!(ModSeq(u64::MAX).to_i64(), i64::MAX);
    }

    #[test]
    fn json_is_the_bare_number() {
        assert_eq!(serde_json::to_string(&(AccountId(7), Uid(8), ModSeq(9))).unwrap(), "[7,8,9]");
        assert_eq!(serde_json::from_str::<MailboxId>("12").unwrap(), MailboxId(12));
        assert_eq!(format!("{:>4}", ContentId(12)), "  12");
    }
}
