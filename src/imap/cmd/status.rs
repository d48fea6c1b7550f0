//! STATUS (RFC 3501 §6.3.10), with SIZE (RFC 8438), HIGHESTMODSEQ (RFC 7162 §3.1.7) and DELETED (RFC 9051 §6.3.11).

use crate::imap::wire::bad::Bad;
use crate::imap::wire::name::MailboxName;
use crate::imap::wire::parser::Parser;

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
}

impl StatusItem {
    const EVERY: [StatusItem; 8] = [
        StatusItem::Messages,
        StatusItem::Recent,
        StatusItem::UidNext,
        StatusItem::UidValidity,
        StatusItem::Unseen,
        StatusItem::Size,
        StatusItem::HighestModSeq,
        StatusItem::Deleted,
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
        }
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
                "STATUS a (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN SIZE HIGHESTMODSEQ DELETED UNSEEN)"
            ),
            status(&StatusItem::EVERY)
        );
    }
}
