//! How a command ends: its tagged response, whose fault it is when it fails, and what the fault is called.

use std::borrow::Cow;

use super::language::Language;
use super::wire::code::{Code, Condition};
use super::wire::reply;
use super::wire::unit::Tag;
use crate::db;
use crate::net::out::{Gone, Out};
use crate::store::mailbox::MailboxError;

/// A response code that owns what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnedCode {
    /// One without text of its own.
    Plain(Code<'static>),
    /// UIDVALIDITY and uids of what was appended.
    AppendUid(u32, String),
    /// UIDVALIDITY of the target, source uids, target uids.
    CopyUid(u32, String, String),
    /// Messages that STORE left alone.
    Modified(String),
    /// The capabilities.
    Capability(String),
    /// A filter that is not there.
    UndefinedFilter(String),
    /// The id of a mailbox.
    MailboxId(String),
    /// A URL that leads nowhere.
    BadUrl(String),
}

impl OwnedCode {
    /// The code as it is written.
    pub fn borrow(&self) -> Code<'_> {
        match self {
            OwnedCode::Plain(code) => *code,
            OwnedCode::AppendUid(validity, uids) => Code::AppendUid(*validity, uids),
            OwnedCode::CopyUid(validity, from, to) => Code::CopyUid(*validity, from, to),
            OwnedCode::Modified(set) => Code::Modified(set),
            OwnedCode::Capability(list) => Code::Capability(list),
            OwnedCode::UndefinedFilter(name) => Code::UndefinedFilter(name),
            OwnedCode::MailboxId(id) => Code::MailboxId(id),
            OwnedCode::BadUrl(url) => Code::BadUrl(url),
        }
    }
}

/// A command that was carried out: the tagged OK.
#[derive(Debug)]
pub struct Done {
    code: Option<OwnedCode>,
    text: Cow<'static, str>,
}

impl Done {
    /// OK with these words.
    pub fn ok(text: impl Into<Cow<'static, str>>) -> Self {
        Done { code: None, text: text.into() }
    }

    /// OK with a response code.
    pub fn with(code: OwnedCode, text: impl Into<Cow<'static, str>>) -> Self {
        Done { code: Some(code), text: text.into() }
    }

    /// Whether there is a response code already.
    pub fn has_code(&self) -> bool {
        self.code.is_some()
    }

    /// The same, with this response code.
    pub fn coded(self, code: OwnedCode) -> Self {
        Done { code: Some(code), ..self }
    }

    /// Writes the tagged response.
    pub fn write(&self, tag: &Tag, language: Language, out: &mut Out<'_>) {
        reply::tagged(
            &mut out.buffer(),
            tag,
            Condition::Ok,
            self.code.as_ref().map(OwnedCode::borrow),
            &language.say(&self.text),
        );
    }
}

/// A command that was not carried out.
#[derive(Debug)]
pub enum Fail {
    /// The client's mistake in form: BAD.
    Bad(Cow<'static, str>),
    /// The same, with a response code.
    BadWith(Code<'static>, Cow<'static, str>),
    /// Not possible: NO.
    No(Option<OwnedCode>, Cow<'static, str>),
    /// The connection ends: BYE.
    Bye(Cow<'static, str>),
    /// The client is gone.
    Gone,
    /// The database, and so ours.
    Database(db::Error),
}

impl Fail {
    /// NO with a response code.
    pub fn no(code: Code<'static>, text: impl Into<Cow<'static, str>>) -> Self {
        Fail::No(Some(OwnedCode::Plain(code)), text.into())
    }

    /// BAD.
    pub fn bad(text: impl Into<Cow<'static, str>>) -> Self {
        Fail::Bad(text.into())
    }

    /// Writes the tagged response, if there is one to write.
    pub fn write(&self, tag: &Tag, language: Language, out: &mut Out<'_>) {
        let (condition, code, text) = match self {
            Fail::Bad(text) => (Condition::Bad, None, text.as_ref()),
            Fail::BadWith(code, text) => (Condition::Bad, Some(*code), text.as_ref()),
            Fail::No(code, text) => (Condition::No, code.as_ref().map(OwnedCode::borrow), text.as_ref()),
            Fail::Bye(_) | Fail::Gone => return,
            Fail::Database(error) if error.is_unavailable() => {
                (Condition::No, Some(Code::Unavailable), "the server cannot do this now, try again later")
            }
            Fail::Database(error) if error.is_retry() => {
                (Condition::No, Some(Code::InUse), "others are changing the same messages, try again")
            }
            Fail::Database(db::Error::Refused { message, .. }) => {
                (Condition::No, Some(Code::Cannot), message.as_str())
            }
            Fail::Database(error) => {
                tracing::error!(%error, "a command failed");
                (Condition::No, Some(Code::ServerBug), "internal error; the administrator's log says more")
            }
        };
        reply::tagged(&mut out.buffer(), tag, condition, code, &language.say(text));
    }
}

impl From<db::Error> for Fail {
    fn from(error: db::Error) -> Self {
        Fail::Database(error)
    }
}

impl From<Gone> for Fail {
    fn from(_: Gone) -> Self {
        Fail::Gone
    }
}

impl From<MailboxError> for Fail {
    fn from(error: MailboxError) -> Self {
        let text = error.to_string();
        match error {
            MailboxError::Missing => Fail::no(Code::NonExistent, text),
            MailboxError::UseTaken(_) => Fail::no(Code::UseAttr, text),
            MailboxError::Exists => Fail::no(Code::AlreadyExists, text),
            MailboxError::HasChildren => Fail::no(Code::HasChildren, text),
            MailboxError::Inbox | MailboxError::BelowItself => Fail::no(Code::Cannot, text),
            MailboxError::TooMany(_) => Fail::no(Code::OverQuota, text),
            MailboxError::TooManySubscriptions(_) => Fail::no(Code::Limit, text),
            MailboxError::Database(error) => Fail::Database(error),
        }
    }
}

/// How a command ends.
pub type Outcome = Result<Done, Fail>;
