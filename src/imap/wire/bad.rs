//! What is said to a client whose bytes can't be carried out.
//!
//! The texts are fixed sentences: nothing that the client sent is repeated to it or to a log, so that neither a
//! password nor a control character leaks by way of an error.

use super::unit::Tag;

/// A command that can't be understood: what is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} (at byte {at})")]
pub struct Bad {
    /// What is wrong, as a phrase for the person who reads the protocol log.
    pub what: &'static str,
    /// Offset into the command's bytes, literals included.
    pub at: usize,
    /// How it is answered.
    pub answer: Answer,
}

impl Bad {
    /// A syntax error, answered with BAD.
    pub const fn new(what: &'static str, at: usize) -> Self {
        Bad { what, at, answer: Answer::Bad }
    }
}

/// The tagged response that a [`Bad`] becomes. Nearly everything is BAD; some things are well formed and still
/// impossible, for which an RFC names a NO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// `BAD`: the client broke the protocol.
    Bad,
    /// `NO [BADCHARSET (…)]` (RFC 3501 §6.4.4).
    BadCharset,
    /// `BAD [BADCHARSET (…)]`: a charset that a filter cannot be read in (RFC 5466 §3.1).
    BadCharsetOfFilter,
    /// `NO [CANNOT]`: a mailbox of that name can never exist (RFC 5530 §3).
    Cannot,
    /// `NO [USEATTR]`: a special use that this server does not know (RFC 6154 §3).
    UseAttr,
}

/// A refused command with the tag to answer it by. Without a tag (there was none to read) the answer is untagged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The command's tag, when it began with one.
    pub tag: Option<Tag>,
    /// The reason.
    pub bad: Bad,
}
