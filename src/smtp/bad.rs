//! What can be wrong with a command line, and the reply each fault is answered with.

use super::param::Extension;
use super::reply::Reply;

/// Why a command line wasn't understood. [`Bad::reply`] is the answer; the connection can go on after each of these, except
/// after a refused BDAT, whose chunk can't be told from commands any more ([`Bad::loses_sync`]).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Bad {
    /// The line is empty or blank.
    #[error("Empty command line")]
    Empty,
    /// NUL or another control character stands in the line (RFC 5321 §4.1.2 allows none in a command).
    #[error("Control characters are not allowed in commands")]
    Control,
    /// Octets beyond ASCII that are not UTF-8, or stand where SMTPUTF8 allows none (RFC 6531 §3.3).
    #[error("Only ASCII is allowed here")]
    NotAscii,
    /// The command doesn't follow its grammar; holds the grammar.
    #[error("Syntax: {0}")]
    Usage(&'static str),
    /// The chunk size of BDAT can't be read.
    #[error("Syntax: {0}")]
    Chunk(&'static str),
    /// The path of MAIL can't be delimited; holds what is wrong.
    #[error("Bad sender address: {0}")]
    Sender(&'static str),
    /// The path of RCPT can't be delimited; holds what is wrong.
    #[error("Bad recipient address: {0}")]
    Recipient(&'static str),
    /// A parameter isn't `keyword` or `keyword=value`; holds the text.
    #[error("Malformed parameter {0}")]
    ParamSyntax(String),
    /// A parameter has a value it can't have; holds keyword and what is expected.
    #[error("Bad value for {0}, expected {1}")]
    ParamValue(&'static str, &'static str),
    /// A parameter stands twice; holds its keyword.
    #[error("Parameter {0} given twice")]
    ParamTwice(&'static str),
    /// Two parameters that exclude each other.
    #[error("Parameters {0} and {1} exclude each other")]
    ParamConflict(&'static str, &'static str),
    /// A parameter nobody knows; holds its keyword.
    #[error("Unknown parameter {0}")]
    ParamUnknown(String),
    /// A parameter of an extension that wasn't offered to this client. Not made by the parser, but by the face that offers.
    #[error("Parameter needs extension {}, which is not offered", .0.keyword())]
    NotOffered(Extension),
}

impl Bad {
    /// The reply for this fault: 500 for what isn't a command, 501 for wrong arguments, 555 for parameters that are not
    /// recognised or not implemented (RFC 5321 §4.2.3, §4.1.1.11).
    #[must_use]
    pub fn reply(&self) -> Reply {
        let (code, enhanced) = match self {
            Bad::Empty | Bad::Control | Bad::NotAscii => (500, (5, 5, 2)),
            Bad::Usage(_)
            | Bad::Chunk(_)
            | Bad::ParamSyntax(_)
            | Bad::ParamValue(..)
            | Bad::ParamTwice(_)
            | Bad::ParamConflict(..) => (501, (5, 5, 4)),
            Bad::Sender(_) => (501, (5, 1, 7)),
            Bad::Recipient(_) => (501, (5, 1, 3)),
            Bad::ParamUnknown(_) | Bad::NotOffered(_) => (555, (5, 5, 4)),
        };
        Reply::new(code, enhanced, self.to_string())
    }

    /// Must the connection be closed, because what follows can't be told from commands? So it is with a BDAT whose size is
    /// unknown: the client sends its chunk without waiting (RFC 3030 §2).
    #[must_use]
    pub fn loses_sync(&self) -> bool {
        matches!(self, Bad::Chunk(_))
    }
}
