//! Conditions and response codes: what a status response says to programs (RFC 3501 §7.1).

use super::flag::Flag;

/// `resp-cond-state` and `resp-cond-bye` (RFC 3501 §7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Done.
    Ok,
    /// Not done.
    No,
    /// Not understood, or not now.
    Bad,
    /// The connection ends.
    Bye,
}

/// `resp-text-code`: RFC 3501 §7.1, and where another is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code<'a> {
    /// To be shown to the user.
    Alert,
    /// RFC 5530 §3
    AlreadyExists,
    /// UIDVALIDITY and uid set of what was appended (RFC 4315 §3).
    AppendUid(u32, &'a str),
    /// RFC 5530 §3
    AuthenticationFailed,
    /// RFC 5530 §3
    AuthorizationFailed,
    /// The charset of SEARCH is unknown; those known follow.
    BadCharset,
    /// RFC 5530 §3
    Cannot,
    /// A URL of CATENATE that leads nowhere (RFC 4469 §4.1).
    BadUrl(&'a str),
    /// The capabilities, separated by spaces.
    Capability(&'a str),
    /// RFC 5530 §3
    ClientBug,
    /// The mailbox selected before is no longer (RFC 7162 §3.2.11).
    Closed,
    /// UIDVALIDITY of the target, source uids, target uids (RFC 4315 §3).
    CopyUid(u32, &'a str, &'a str),
    /// RFC 5530 §3
    ExpungeIssued,
    /// RFC 7162 §3.1.2.1
    HighestModSeq(u64),
    /// RFC 5530 §3
    InUse,
    /// RFC 5530 §3
    Limit,
    /// The id of the mailbox (RFC 8474 §4).
    MailboxId(&'a str),
    /// The messages that STORE left alone (RFC 7162 §3.1.3).
    Modified(&'a str),
    /// RFC 7162 §3.1.2.2
    NoModSeq,
    /// RFC 5530 §3
    NonExistent,
    /// RFC 5530 §3
    NoPerm,
    /// RFC 5530 §3
    OverQuota,
    /// The flags that can be changed, and whether new keywords can be made (`\*`).
    PermanentFlags(&'a [Flag], NewKeywords),
    /// RFC 5530 §3
    PrivacyRequired,
    /// EXAMINE, or a mailbox that can't be changed.
    ReadOnly,
    /// SELECT.
    ReadWrite,
    /// RFC 5530 §3
    ServerBug,
    /// The message is too large (RFC 4469 §4.2).
    TooBig,
    /// The target mailbox could be created.
    TryCreate,
    /// The next uid.
    UidNext(u32),
    /// The UIDVALIDITY of the mailbox.
    UidValidity(u32),
    /// RFC 5530 §3
    Unavailable,
    /// The transfer encoding of a part is not known (RFC 3516 §4.3).
    UnknownCte,
    /// Sequence number of the first unseen message.
    Unseen(u32),
    /// With what URLs can be authorized (RFC 4467 §8): INTERNAL.
    UrlMech,
    /// RFC 6154 §3
    UseAttr,
}

/// Whether a mailbox takes keywords that it does not know yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewKeywords {
    /// `\*` is among the permanent flags.
    Allowed,
    /// It isn't.
    Refused,
}

impl Code<'_> {
    /// The code's name, without its arguments.
    pub fn name(self) -> &'static str {
        match self {
            Code::Alert => "ALERT",
            Code::AlreadyExists => "ALREADYEXISTS",
            Code::AppendUid(..) => "APPENDUID",
            Code::AuthenticationFailed => "AUTHENTICATIONFAILED",
            Code::AuthorizationFailed => "AUTHORIZATIONFAILED",
            Code::BadCharset => "BADCHARSET",
            Code::Cannot => "CANNOT",
            Code::BadUrl(_) => "BADURL",
            Code::Capability(_) => "CAPABILITY",
            Code::ClientBug => "CLIENTBUG",
            Code::Closed => "CLOSED",
            Code::CopyUid(..) => "COPYUID",
            Code::ExpungeIssued => "EXPUNGEISSUED",
            Code::HighestModSeq(_) => "HIGHESTMODSEQ",
            Code::InUse => "INUSE",
            Code::Limit => "LIMIT",
            Code::MailboxId(_) => "MAILBOXID",
            Code::Modified(_) => "MODIFIED",
            Code::NoModSeq => "NOMODSEQ",
            Code::NonExistent => "NONEXISTENT",
            Code::NoPerm => "NOPERM",
            Code::OverQuota => "OVERQUOTA",
            Code::PermanentFlags(..) => "PERMANENTFLAGS",
            Code::PrivacyRequired => "PRIVACYREQUIRED",
            Code::ReadOnly => "READ-ONLY",
            Code::ReadWrite => "READ-WRITE",
            Code::ServerBug => "SERVERBUG",
            Code::TooBig => "TOOBIG",
            Code::TryCreate => "TRYCREATE",
            Code::UidNext(_) => "UIDNEXT",
            Code::UidValidity(_) => "UIDVALIDITY",
            Code::Unavailable => "UNAVAILABLE",
            Code::UnknownCte => "UNKNOWN-CTE",
            Code::Unseen(_) => "UNSEEN",
            Code::UrlMech => "URLMECH",
            Code::UseAttr => "USEATTR",
        }
    }
}
