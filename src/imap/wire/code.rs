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
    /// An event that NOTIFY does not know; the names of those known follow (RFC 5465 §3.1).
    BadEvent(&'a str),
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
    /// RFC 4978 §3
    CompressionActive,
    /// UIDVALIDITY of the target, source uids, target uids (RFC 4315 §3).
    CopyUid(u32, &'a str, &'a str),
    /// RFC 5530 §3
    ExpungeIssued,
    /// The mailbox has others below it (RFC 9051 §7.1).
    HasChildren,
    /// RFC 7162 §3.1.2.1
    HighestModSeq(u64),
    /// How far the command with this tag is, and how far it has to go; 0 = not known (RFC 9585 §4).
    InProgress(&'a str, u64, u64),
    /// RFC 5530 §3
    InUse,
    /// RFC 5530 §3
    Limit,
    /// The id of the mailbox (RFC 8474 §4).
    MailboxId(&'a str),
    /// The longest value that was larger than MAXSIZE, bytes (RFC 5464 §4.2.1).
    MetadataLongEntries(u64),
    /// The largest value that is taken, bytes (RFC 5464 §4.3).
    MetadataMaxSize(u64),
    /// There are as many annotations as there may be (RFC 5464 §4.3).
    MetadataTooMany,
    /// The messages that STORE left alone (RFC 7162 §3.1.3).
    Modified(&'a str),
    /// RFC 7162 §3.1.2.2
    NoModSeq,
    /// RFC 5530 §3
    NonExistent,
    /// RFC 5530 §3
    NoPerm,
    /// The search whose result will not be kept up to date: its tag (RFC 5267 §4.3.1).
    NoUpdate(&'a str),
    /// More is to be notified of than the server will (RFC 5465 §5.8).
    NotificationOverflow,
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
    /// A sequence number, on a connection that has done without them (RFC 9586 §3).
    UidRequired,
    /// The UIDVALIDITY of the mailbox.
    UidValidity(u32),
    /// RFC 5530 §3
    Unavailable,
    /// The transfer encoding of a part is not known (RFC 3516 §4.3).
    UnknownCte,
    /// A filter that is not there: its name (RFC 5466 §3.1).
    UndefinedFilter(&'a str),
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
            Code::BadEvent(_) => "BADEVENT",
            Code::Cannot => "CANNOT",
            Code::BadUrl(_) => "BADURL",
            Code::Capability(_) => "CAPABILITY",
            Code::ClientBug => "CLIENTBUG",
            Code::Closed => "CLOSED",
            Code::CompressionActive => "COMPRESSIONACTIVE",
            Code::CopyUid(..) => "COPYUID",
            Code::ExpungeIssued => "EXPUNGEISSUED",
            Code::HasChildren => "HASCHILDREN",
            Code::HighestModSeq(_) => "HIGHESTMODSEQ",
            Code::InProgress(..) => "INPROGRESS",
            Code::InUse => "INUSE",
            Code::Limit => "LIMIT",
            Code::MailboxId(_) => "MAILBOXID",
            Code::MetadataLongEntries(_) | Code::MetadataMaxSize(_) | Code::MetadataTooMany => "METADATA",
            Code::Modified(_) => "MODIFIED",
            Code::NoModSeq => "NOMODSEQ",
            Code::NonExistent => "NONEXISTENT",
            Code::NoPerm => "NOPERM",
            Code::NoUpdate(_) => "NOUPDATE",
            Code::NotificationOverflow => "NOTIFICATIONOVERFLOW",
            Code::OverQuota => "OVERQUOTA",
            Code::PermanentFlags(..) => "PERMANENTFLAGS",
            Code::PrivacyRequired => "PRIVACYREQUIRED",
            Code::ReadOnly => "READ-ONLY",
            Code::ReadWrite => "READ-WRITE",
            Code::ServerBug => "SERVERBUG",
            Code::TooBig => "TOOBIG",
            Code::TryCreate => "TRYCREATE",
            Code::UidNext(_) => "UIDNEXT",
            Code::UidRequired => "UIDREQUIRED",
            Code::UidValidity(_) => "UIDVALIDITY",
            Code::Unavailable => "UNAVAILABLE",
            Code::UnknownCte => "UNKNOWN-CTE",
            Code::UndefinedFilter(_) => "UNDEFINED-FILTER",
            Code::Unseen(_) => "UNSEEN",
            Code::UrlMech => "URLMECH",
            Code::UseAttr => "USEATTR",
        }
    }
}
