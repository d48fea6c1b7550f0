//! What is known of a message besides its bytes: its envelope (RFC 5321 §2.3.1).

use std::sync::Arc;

use crate::directory::Route;
use crate::mail::Address;
use crate::smtp::{MailParams, RcptParams};

/// The envelope of a message.
#[derive(Debug)]
pub struct Envelope {
    /// The reverse path; none is `<>`.
    pub sender: Option<Address>,
    /// What was said with it.
    pub params: MailParams,
    /// Whom it is for, as accepted: in their order, duplicates included (LMTP answers for each).
    pub recipients: Vec<Addressee>,
    /// How many copies that makes, aliases expanded.
    pub copies: usize,
}

impl Envelope {
    /// An envelope without recipients.
    pub fn new(sender: Option<Address>, params: MailParams) -> Self {
        Self { sender, params, recipients: Vec::new(), copies: 0 }
    }

    /// Adds a recipient.
    pub fn push(&mut self, addressee: Addressee) {
        self.copies += addressee.route.copies();
        self.recipients.push(addressee);
    }
}

/// An accepted recipient.
#[derive(Debug)]
pub struct Addressee {
    /// The address as given.
    pub address: Address,
    /// What was said with it.
    pub params: RcptParams,
    /// Where mail for it goes: [`Route::To`], or [`Route::NotLocal`] for a recipient on another server.
    pub route: Arc<Route>,
    /// Largest message for it, bytes.
    pub max_message: u64,
}
