//! The queue: mail on its way to other servers, in its tables.
//!
//! A recipient is a row of `queue.recipient`; while a node delivers to it, the row is leased to that node, so that no other
//! one does. A lease that ends without a word (the node died) makes the row due again. What is due is found through
//! `queue.destination`, one row for each domain with waiting mail, so that looking for work costs the same whether a thousand
//! or a million recipients wait (`cargo bench -- claim`).
//!
//! Most mail is sent at once. Then it never waits in the table for somebody to find it: whoever commits it leases the row to
//! this node in the same transaction and hands the message over through the [`Inlet`], its bytes still in memory: no claim,
//! no reading. The inlet takes no more than it has room for; what it does not take is found by a claim.
//!
//! What becomes of a recipient is a [`Settled`]. It is committed by the group committer, with whatever else is committed at
//! that moment: a message that is relayed costs its share of two batches and no transaction of its own.

mod claim;
mod inlet;
mod upkeep;

pub use claim::claim;
pub use inlet::{Inlet, Place, Work};
pub use upkeep::{hasten, mend, prune, release, renew, return_leases, still_wanted};

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use crate::mail::AccountId;
use crate::smtp::mail::Body;
use crate::smtp::rcpt::Notify;
use crate::store::Chunk;

/// How long a recipient is a node's own. It renews what it still holds long before.
pub const LEASE: Duration = Duration::from_secs(300);

/// A queued message: its envelope, and where its bytes are.
#[derive(Debug)]
pub struct Message {
    /// Its row.
    pub id: i64,
    /// Its content in the store.
    pub content: i64,
    /// Bytes of the content; none when it is gone.
    pub content_size: Option<u64>,
    /// Header lines that stand before the content.
    pub prefix: Bytes,
    /// Bytes, prefix included.
    pub size: u64,
    /// When it was accepted.
    pub received_at: Timestamp,
    /// What the trace calls it; none where it was not traced when it came in.
    pub trace: Option<String>,
    /// From whom, and how it wants to be sent.
    pub envelope: Envelope,
    /// The content's chunks, where they are still in memory.
    pub chunks: Option<Vec<Chunk>>,
}

/// What all recipients of a message have in common, as MAIL said it.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// Reverse path; empty = null sender.
    pub sender: String,
    /// Who submitted it.
    pub account: Option<AccountId>,
    /// ENVID (RFC 3461 §4.4).
    pub envelope_id: Option<String>,
    /// RET (RFC 3461 §4.3): true = FULL.
    pub return_full: Option<bool>,
    /// SMTPUTF8 was asked for.
    pub smtputf8: bool,
    /// BODY.
    pub body: Body,
    /// It may travel under verified TLS only (RFC 8689).
    pub require_tls: bool,
    /// MT-PRIORITY (RFC 6710).
    pub priority: i16,
    /// BY (RFC 2852).
    pub deliver_by: Option<DeliverBy>,
}

impl Envelope {
    /// One in which nothing special is asked for.
    pub fn new(sender: String, body: Body) -> Self {
        Self {
            sender,
            account: None,
            envelope_id: None,
            return_full: None,
            smtputf8: false,
            body,
            require_tls: false,
            priority: 0,
            deliver_by: None,
        }
    }
}

/// A time limit for delivery (RFC 2852).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliverBy {
    /// When it must have been delivered.
    pub at: Timestamp,
    /// Whether it is returned after that time; else the sender is only told.
    pub return_after: bool,
    /// Whether the sender is told when it is relayed.
    pub trace: bool,
}

/// A recipient that is leased to this node.
#[derive(Debug, Clone)]
pub struct Recipient {
    /// Its row.
    pub id: i64,
    /// Forward path.
    pub address: String,
    /// Attempts so far.
    pub attempts: i32,
    /// NOTIFY, if said.
    pub notify: Option<Notify>,
    /// ORCPT, as written.
    pub original: Option<String>,
    /// Whether the sender has been told that it is delayed.
    pub delay_reported: bool,
}

/// What became of a recipient.
#[derive(Debug, Clone)]
pub struct Settled {
    /// The message.
    pub message: Arc<Message>,
    /// The recipient.
    pub recipient: Recipient,
    /// Its domain.
    pub domain: Arc<str>,
    /// What became of it.
    pub verdict: Verdict,
    /// The server, by name.
    pub host: Option<String>,
    /// The server, by address.
    pub address: Option<IpAddr>,
    /// How the connection was encrypted.
    pub tls: Option<String>,
    /// What was said.
    pub reply: String,
    /// How long it took.
    pub took: Duration,
}

/// The end of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The other server, or a mailbox here, has it.
    Delivered,
    /// It never will be.
    Failed,
    /// It was tried for too long.
    Expired,
    /// Later.
    Delayed {
        /// When it is tried next.
        next: Timestamp,
        /// Whether the sender is told of the delay together with this.
        reported: bool,
    },
}

impl Verdict {
    /// As `queue.attempt` calls it.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Delivered => "delivered",
            Verdict::Failed => "failed",
            Verdict::Expired => "expired",
            Verdict::Delayed { .. } => "delayed",
        }
    }
}

/// None of a destination's servers could be reached: all its mail waits.
#[derive(Debug, Clone)]
pub struct Down {
    /// The domain.
    pub domain: Arc<str>,
    /// Why.
    pub reason: String,
    /// How long nothing is tried.
    pub wait: Duration,
}

/// Reads BODY as the table has it.
pub(crate) fn body_type(word: &str) -> Body {
    match word {
        "8BITMIME" => Body::EightBitMime,
        "BINARYMIME" => Body::BinaryMime,
        _ => Body::SevenBit,
    }
}

/// BODY as the table has it.
pub fn body_word(body: Option<Body>) -> &'static str {
    match body {
        None | Some(Body::SevenBit) => "7BIT",
        Some(Body::EightBitMime) => "8BITMIME",
        Some(Body::BinaryMime) => "BINARYMIME",
    }
}

/// NOTIFY as the table has it.
pub fn notify_words(notify: Notify) -> String {
    let Notify::On(on) = notify else { return "NEVER".to_owned() };
    let words = [(on.success, "SUCCESS"), (on.failure, "FAILURE"), (on.delay, "DELAY")];
    let words: Vec<&str> = words.into_iter().filter_map(|(set, word)| set.then_some(word)).collect();
    words.join(",")
}
