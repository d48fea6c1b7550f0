//! From an envelope and a message to what is to be committed: which mailboxes, which queue entries.
//!
//! An account that is reached on several ways gets one copy, and so does an address elsewhere.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;

use super::commit::{Delivery, Outbound, OutboundRecipient, Place};
use super::facts::{Addressee, Envelope};
use super::trace::{Received, write_delivered_to, write_return_path};
use crate::directory::{Recipient, Route};
use crate::mail::{AccountId, Address, Flags};
use crate::smtp::RcptParams;
use crate::smtp::mail::{Body, Ret};
use crate::smtp::rcpt::Notify;
use crate::store::Draft;

/// A message that has arrived, without its bytes.
pub struct Arrival<'a> {
    /// Its envelope.
    pub envelope: &'a Envelope,
    /// How it came.
    pub received: Received<'a>,
    /// Header fields that we have added.
    pub added: &'a [u8],
    /// The account that submitted it.
    pub submitter: Option<AccountId>,
}

/// What to commit, and the accounts of its places, in their order.
pub struct Plan {
    /// What to commit.
    pub delivery: Delivery,
    /// Whose the places are.
    pub owners: Vec<Arc<Recipient>>,
}

impl Arrival<'_> {
    /// Plans the delivery to some of the envelope's recipients.
    pub fn plan<'r>(&self, draft: Draft, recipients: impl Iterator<Item = &'r Addressee>) -> Plan {
        let mut plan = Plan {
            delivery: Delivery { draft: Arc::new(draft), places: Vec::new(), outbound: None },
            owners: Vec::new(),
        };
        let mut elsewhere = Vec::new();
        let mut accounts = HashSet::new();
        let mut addresses = HashSet::new();
        for addressee in recipients {
            match &*addressee.route {
                Route::To { accounts: targets, remotes } => {
                    for owner in targets.iter().filter(|owner| accounts.insert(owner.account)) {
                        plan.delivery.places.push(self.place(owner, &addressee.address));
                        plan.owners.push(owner.clone());
                    }
                    let remotes = remotes.iter().filter_map(|remote| parse_target(remote));
                    for remote in remotes {
                        if !addresses.contains(&remote) {
                            elsewhere.push(outbound_recipient(&remote, &addressee.params));
                            addresses.insert(remote);
                        }
                    }
                }
                Route::NotLocal if addresses.insert(addressee.address.clone()) => {
                    elsewhere.push(outbound_recipient(&addressee.address, &addressee.params));
                }
                // None of these is ever accepted.
                Route::NotLocal | Route::Unknown | Route::Restricted => {}
            }
        }
        if !elsewhere.is_empty() {
            plan.delivery.outbound = Some(self.outbound(elsewhere));
        }
        plan
    }

    fn place(&self, owner: &Recipient, address: &Address) -> Place {
        let mut prefix = Vec::with_capacity(512);
        write_return_path(self.envelope.sender.as_ref(), &mut prefix);
        write_delivered_to(address, &mut prefix);
        self.write_trace(&mut prefix);
        Place {
            account: owner.account,
            mailbox: owner.inbox,
            prefix: Some(Bytes::from(prefix)),
            internal_date: self.received.at,
            flags: Flags::default(),
            keywords: Vec::new(),
        }
    }

    /// Writes what all copies have.
    fn write_trace(&self, prefix: &mut Vec<u8>) {
        // With more than one recipient the field would tell each of the others (RFC 5321 §7.2).
        let addressee = match &self.envelope.recipients[..] {
            [only] => Some(&only.address),
            _ => None,
        };
        self.received.write(addressee, prefix);
        prefix.extend_from_slice(self.added);
    }

    fn outbound(&self, recipients: Vec<OutboundRecipient>) -> Outbound {
        let mut prefix = Vec::with_capacity(512);
        self.write_trace(&mut prefix);
        let params = &self.envelope.params;
        Outbound {
            prefix: Some(Bytes::from(prefix)),
            sender: self.envelope.sender.as_ref().map(Address::to_string).unwrap_or_default(),
            account: self.submitter,
            envelope_id: params.envelope_id.clone(),
            return_full: params.ret.map(|ret| ret == Ret::Full),
            smtputf8: params.utf8.is_some(),
            body_type: match params.body {
                None | Some(Body::SevenBit) => "7BIT",
                Some(Body::EightBitMime) => "8BITMIME",
                Some(Body::BinaryMime) => "BINARYMIME",
            },
            recipients,
        }
    }
}

/// An alias' target on another server. What is no address was let into the table by hand; it is logged and left out.
pub fn parse_target(target: &str) -> Option<Address> {
    match Address::parse(target.as_bytes()) {
        Ok(address) => Some(address),
        Err(error) => {
            tracing::error!(target, %error, "an alias has a target that is no address");
            None
        }
    }
}

fn outbound_recipient(address: &Address, params: &RcptParams) -> OutboundRecipient {
    OutboundRecipient {
        address: address.to_string(),
        domain: address.domain().to_owned(),
        notify: params.notify.map(notify_words),
        original: params.original.clone().map(|original| {
            let written = RcptParams { notify: None, original: Some(original) }.to_string();
            written.trim_start_matches(" ORCPT=").to_owned()
        }),
    }
}

fn notify_words(notify: Notify) -> String {
    let Notify::On(on) = notify else { return "NEVER".to_owned() };
    let words = [(on.success, "SUCCESS"), (on.failure, "FAILURE"), (on.delay, "DELAY")];
    let words: Vec<&str> = words.into_iter().filter_map(|(set, word)| set.then_some(word)).collect();
    words.join(",")
}
