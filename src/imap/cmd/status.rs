//! STATUS (RFC 3501 §6.3.10), with SIZE (RFC 8438), HIGHESTMODSEQ (RFC 7162 §3.1.7), DELETED (RFC 9051 §6.3.11),
//! DELETED-STORAGE (RFC 9208 §4.1.4), MAILBOXID (RFC 8474 §4.3) and APPENDLIMIT (RFC 7889 §5).

use std::collections::HashMap;

use bytes::BufMut;

use crate::imap::answer::{Done, Fail, Outcome};
use crate::imap::cmd::enable::Extension;
use crate::imap::session::Session;
use crate::imap::wire::bad::Bad;
use crate::imap::wire::name::{MailboxName, NameCoding};
use crate::imap::wire::parser::Parser;
use crate::imap::wire::reply::Line;
use crate::mail::{AccountId, MailboxId, Rights};
use crate::net::out::Out;
use crate::store::mailbox::{self, Mailbox, MailboxError};
use crate::store::object_id::mailbox_id;

/// `status-att`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StatusItem {
    /// How many messages.
    Messages,
    /// How many are recent.
    Recent,
    /// The next uid.
    UidNext,
    /// The UIDVALIDITY.
    UidValidity,
    /// How many lack `\Seen`: a number of messages, not the sequence number that SELECT gives.
    Unseen,
    /// Octets of all messages together.
    Size,
    /// The highest mod-sequence. Asking for it enables CONDSTORE (RFC 7162 §3.1).
    HighestModSeq,
    /// How many have `\Deleted`.
    Deleted,
    /// Octets of those together (RFC 9208 §4.1.4).
    DeletedStorage,
    /// The id that outlives the name.
    MailboxId,
    /// Octets of the largest message it takes.
    AppendLimit,
}

impl StatusItem {
    const EVERY: [StatusItem; 11] = [
        StatusItem::Messages,
        StatusItem::Recent,
        StatusItem::UidNext,
        StatusItem::UidValidity,
        StatusItem::Unseen,
        StatusItem::Size,
        StatusItem::HighestModSeq,
        StatusItem::Deleted,
        StatusItem::DeletedStorage,
        StatusItem::MailboxId,
        StatusItem::AppendLimit,
    ];

    /// The item as it is written.
    pub fn name(self) -> &'static str {
        match self {
            StatusItem::Messages => "MESSAGES",
            StatusItem::Recent => "RECENT",
            StatusItem::UidNext => "UIDNEXT",
            StatusItem::UidValidity => "UIDVALIDITY",
            StatusItem::Unseen => "UNSEEN",
            StatusItem::Size => "SIZE",
            StatusItem::HighestModSeq => "HIGHESTMODSEQ",
            StatusItem::Deleted => "DELETED",
            StatusItem::DeletedStorage => "DELETED-STORAGE",
            StatusItem::MailboxId => "MAILBOXID",
            StatusItem::AppendLimit => "APPENDLIMIT",
        }
    }
}

impl StatusItem {
    /// Whether messages must be counted for it; the others are numbers of the mailbox itself.
    fn is_counted(self) -> bool {
        match self {
            StatusItem::UidNext
            | StatusItem::UidValidity
            | StatusItem::HighestModSeq
            | StatusItem::MailboxId
            | StatusItem::AppendLimit => false,
            StatusItem::Messages
            | StatusItem::Recent
            | StatusItem::Unseen
            | StatusItem::Size
            | StatusItem::Deleted
            | StatusItem::DeletedStorage => true,
        }
    }

    fn write(self, line: &mut Line<'_, impl BufMut>, told: &Told) {
        let status = &told.status;
        line.raw(self.name()).raw(" ");
        match self {
            StatusItem::Messages => line.number(status.messages),
            StatusItem::Recent => line.number(status.recent),
            StatusItem::UidNext => line.number(status.uid_next),
            StatusItem::UidValidity => line.number(status.uid_validity),
            StatusItem::Unseen => line.number(status.unseen),
            StatusItem::Size => line.number(status.size),
            StatusItem::HighestModSeq => line.number(status.highest_modseq),
            StatusItem::Deleted => line.number(status.deleted),
            StatusItem::DeletedStorage => line.number(status.deleted_size),
            StatusItem::MailboxId => line.raw("(").text(&mailbox_id(told.mailbox)).raw(")"),
            StatusItem::AppendLimit => line.number(told.append_limit),
        };
    }
}

/// What there is to tell of a mailbox.
pub(in crate::imap) struct Told {
    mailbox: MailboxId,
    status: mailbox::Status,
    append_limit: u64,
}

impl Told {
    /// What this is of a mailbox, told to this session.
    pub(in crate::imap) fn new(mailbox: MailboxId, status: mailbox::Status, session: &Session) -> Self {
        Told { mailbox, status, append_limit: session.append_limit() }
    }
}

/// `STATUS mailbox (item …)`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The mailbox.
    pub mailbox: MailboxName,
    /// What to tell of it; each item once, at least one.
    pub items: Vec<StatusItem>,
}

impl Status {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>) -> Result<Self, Bad> {
        parser.space()?;
        let mailbox = parser.mailbox()?;
        parser.space()?;
        let items = status_items(parser)?;
        Ok(Status { mailbox, items })
    }
}

/// `"(" status-att *(SP status-att) ")"`
pub(super) fn status_items(parser: &mut Parser<'_>) -> Result<Vec<StatusItem>, Bad> {
    let at = parser.at();
    let mut items = Vec::new();
    for item in parser.list_of(status_item)? {
        if !items.contains(&item) {
            items.push(item);
        }
    }
    if items.is_empty() { Err(Bad::new("expected a STATUS item", at)) } else { Ok(items) }
}

fn status_item(parser: &mut Parser<'_>) -> Result<StatusItem, Bad> {
    let at = parser.at();
    let name = parser.atom()?;
    let known = StatusItem::EVERY.into_iter().find(|item| name.eq_ignore_ascii_case(item.name().as_bytes()));
    known.ok_or(Bad::new("unknown STATUS item", at))
}

impl Status {
    /// Tells it of one mailbox.
    pub async fn run(self, session: &mut Session, out: &mut Out<'_>) -> Outcome {
        let place = session.place(&self.mailbox).await?;
        place.needs(Rights::READ)?;
        let answers = gather(session, &self.items, [(place.account, &place.mailbox)]).await?;
        let status = answers.get(&place.mailbox.id).ok_or(MailboxError::Missing)?;
        write(out, self.mailbox.as_str(), session.coding(), &self.items, status);
        Ok(Done::ok("done"))
    }
}

/// What `items` are of these mailboxes, each with its owner, by one query or none. One that has just been deleted may be
/// missing.
pub(super) async fn gather(
    session: &mut Session,
    items: &[StatusItem],
    mailboxes: impl IntoIterator<Item = (AccountId, &Mailbox)>,
) -> Result<HashMap<MailboxId, Told>, Fail> {
    if items.contains(&StatusItem::Recent) && session.enabled.has(Extension::Rev2) {
        return Err(Fail::bad("IMAP4rev2 has no RECENT"));
    }
    if items.contains(&StatusItem::HighestModSeq) {
        // RFC 7162 §3.1: the client has shown that it knows mod-sequences.
        session.enable_condstore();
    }
    let statuses: HashMap<MailboxId, mailbox::Status> = if items.iter().any(|item| item.is_counted()) {
        let ids: Vec<(AccountId, MailboxId)> =
            mailboxes.into_iter().map(|(account, mailbox)| (account, mailbox.id)).collect();
        session.house.store.statuses(&ids).await?
    } else {
        mailboxes.into_iter().map(|(_, mailbox)| (mailbox.id, mailbox.into())).collect()
    };
    let told = |(mailbox, status)| (mailbox, Told::new(mailbox, status, session));
    Ok(statuses.into_iter().map(told).collect())
}

/// `* STATUS name (…)`
pub(in crate::imap) fn write(
    out: &mut Out<'_>,
    name: &str,
    coding: NameCoding,
    items: &[StatusItem],
    told: &Told,
) {
    let mut buffer = out.buffer();
    let mut line = Line::untagged(&mut buffer);
    line.raw("STATUS ").mailbox(name, coding).raw(" ").list(items, |line, item| item.write(line, told));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::cmd::Command;
    use crate::imap::cmd::tests::{command, refusal};

    #[test]
    fn grammar() {
        for input in [
            "STATUS",
            "STATUS a",
            "STATUS a ()",
            "STATUS a MESSAGES",
            "STATUS a (FOO)",
            "STATUS a (MESSAGES",
            "STATUS (MESSAGES)",
        ] {
            refusal(input);
        }
        let status = |items: &[StatusItem]| {
            Command::Status(Status { mailbox: MailboxName::new("a").unwrap(), items: items.to_vec() })
        };
        assert_eq!(command("STATUS a (messages)"), status(&[StatusItem::Messages]));
        assert_eq!(
            command(
                "STATUS a (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN SIZE HIGHESTMODSEQ DELETED DELETED-STORAGE \
                MAILBOXID APPENDLIMIT UNSEEN)"
            ),
            status(&StatusItem::EVERY)
        );
    }
}
