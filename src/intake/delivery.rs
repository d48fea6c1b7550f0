//! What is to be committed together: a message, the mailboxes it goes into, the queue entries it makes.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

use super::story::Story;
use super::trace::{write_delivered_to, write_return_path};
use crate::directory;
use crate::mail::{AccountId, Address, DateTime, Flags, MailboxId};
use crate::queue::{self, Down, Settled};
use crate::smtp::rcpt::Notify;
use crate::store::Draft;

/// One message and where it goes, and what has become of others: all of it is committed together.
#[derive(Default)]
pub struct Delivery {
    /// The message; none where only outcomes are committed.
    pub content: Option<Content>,
    /// Mailboxes it goes into.
    pub places: Vec<Place>,
    /// Further messages of the same command, all into the mailbox of the first: all of them are there, or none.
    pub more: Vec<(Content, Place)>,
    /// A message that leaves its mailbox for the one that comes in. It stays where the first place of that is gone.
    pub replaced: Option<Replaced>,
    /// Recipients elsewhere, by envelope.
    pub outbound: Vec<Outbound>,
    /// Recipients that leave the queue, or wait on.
    pub settled: Vec<Settled>,
    /// Destinations that could not be reached.
    pub down: Vec<Down>,
    /// What is told of it in the trace; none where it leaves none.
    pub story: Option<Box<Story>>,
}

/// A message that another one takes the place of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replaced {
    /// The account.
    pub account: AccountId,
    /// Its mailbox.
    pub mailbox: MailboxId,
    /// The UID.
    pub uid: u32,
}

/// The bytes of a message.
#[derive(Clone)]
pub enum Content {
    /// They come in now.
    Draft(Arc<Draft>),
    /// They are in the store.
    Stored {
        /// BLAKE3 of them.
        digest: [u8; 32],
        /// How many.
        size: u64,
    },
}

impl Content {
    pub(super) fn digest(&self) -> &[u8] {
        match self {
            Content::Draft(draft) => &draft.digest,
            Content::Stored { digest, .. } => digest,
        }
    }

    pub(super) fn size(&self) -> u64 {
        match self {
            Content::Draft(draft) => draft.size,
            Content::Stored { size, .. } => *size,
        }
    }
}

impl Delivery {
    /// A new message.
    pub fn new(draft: Draft, places: Vec<Place>, outbound: Vec<Outbound>) -> Self {
        Self { content: Some(Content::Draft(Arc::new(draft))), places, outbound, ..Self::default() }
    }

    /// Several new messages, each with its place in one and the same mailbox; `None` where there is none at all.
    pub fn several(messages: Vec<(Draft, Place)>) -> Option<Self> {
        let mut messages =
            messages.into_iter().map(|(draft, place)| (Content::Draft(Arc::new(draft)), place));
        let (content, place) = messages.next()?;
        let more = messages.collect();
        Some(Self { content: Some(content), places: vec![place], more, ..Self::default() })
    }

    pub(super) fn drafts(&self) -> impl Iterator<Item = &Draft> {
        let contents = self.content.iter().chain(self.more.iter().map(|(content, _)| content));
        contents.filter_map(|content| match content {
            Content::Draft(draft) => Some(&**draft),
            Content::Stored { .. } => None,
        })
    }

    /// Every place with the message that goes there, in the order of the receipt.
    pub(super) fn placed(&self) -> impl Iterator<Item = (&Content, &Place)> {
        let first =
            self.content.iter().flat_map(|content| self.places.iter().map(move |place| (content, place)));
        first.chain(self.more.iter().map(|(content, place)| (content, place)))
    }

    pub(super) fn stored_bytes(&self) -> usize {
        self.drafts().map(Draft::stored_bytes).sum()
    }
}

/// A mailbox and how the message shall be there.
pub struct Place {
    /// The account.
    pub account: AccountId,
    /// Its mailbox.
    pub mailbox: MailboxId,
    /// Header lines of this copy that stand before the message; shared by copies that have the same.
    pub prefix: Option<Bytes>,
    /// INTERNALDATE.
    pub internal_date: DateTime,
    /// Flags to set.
    pub flags: Flags,
    /// Keywords to set.
    pub keywords: Vec<String>,
    /// The unique id that it had by POP3 on another server.
    pub pop3_uidl: Option<String>,
    /// It comes from a session that has this mailbox open and wants \Recent of it (RFC 3501 §2.3.2).
    pub takes_recent: bool,
}

impl Place {
    /// Somebody's inbox, for a message to one of his addresses; `trace` writes what stands between the fields of the final
    /// delivery (RFC 5321 §4.4) and the message.
    pub fn in_inbox(
        owner: &directory::Recipient,
        sender: Option<&Address>,
        address: &Address,
        at: DateTime,
        trace: impl FnOnce(&mut Vec<u8>),
    ) -> Self {
        let mut prefix = Vec::with_capacity(512);
        write_return_path(sender, &mut prefix);
        write_delivered_to(address, &mut prefix);
        trace(&mut prefix);
        Self {
            account: owner.account,
            mailbox: owner.inbox,
            prefix: Some(Bytes::from(prefix)),
            internal_date: at,
            flags: Flags::default(),
            keywords: Vec::new(),
            pop3_uidl: None,
            takes_recent: false,
        }
    }
}

/// The recipients of a message that are on other servers, and the envelope they need.
pub struct Outbound {
    /// Header lines that stand before the message.
    pub prefix: Option<Bytes>,
    /// From whom, and how it wants to be sent.
    pub envelope: queue::Envelope,
    /// Not before then (RFC 4865).
    pub hold_until: Option<Timestamp>,
    /// The recipients.
    pub recipients: Vec<OutboundRecipient>,
}

impl Outbound {
    /// A message that nothing stands before and that need not wait.
    pub fn new(envelope: queue::Envelope, recipients: Vec<OutboundRecipient>) -> Self {
        Self { prefix: None, envelope, hold_until: None, recipients }
    }
}

/// A recipient on another server.
#[derive(Clone)]
pub struct OutboundRecipient {
    /// Forward path.
    pub address: String,
    /// Its domain, in lower case and ASCII.
    pub domain: String,
    /// The domain is ours: the relay puts the message into the mailbox.
    pub here: bool,
    /// NOTIFY (RFC 3461 §4.1).
    pub notify: Option<Notify>,
    /// ORCPT (RFC 3461 §4.2), as written.
    pub original: Option<String>,
}

impl OutboundRecipient {
    /// One whose domain is not ours.
    pub fn elsewhere(address: &Address, notify: Option<Notify>, original: Option<String>) -> Self {
        Self {
            address: address.to_string(),
            domain: address.domain().to_owned(),
            here: false,
            notify,
            original,
        }
    }
}

/// What a message got in its mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Its UID.
    pub uid: u32,
    /// UIDVALIDITY of the mailbox.
    pub uid_validity: u32,
    /// Its modseq.
    pub modseq: u64,
    /// What the account keeps now, bytes.
    pub used_bytes: i64,
    /// It is \Recent for the session that brought it, and for no other.
    pub recent: bool,
}

/// What became of a delivery: for each place, those of further messages last, what it got; `None` where the mailbox is
/// gone.
pub type Receipt = Vec<Option<Placed>>;
