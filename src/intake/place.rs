//! From an envelope and a message to what is to be committed: which mailboxes, which queue entries.
//!
//! An account that is reached on several ways gets one copy, and so does an address elsewhere. What an alias or an account
//! forwards has an envelope of its own: its sender is rewritten, and its header says who forwarded it, which ends loops.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

use super::delivery::{Outbound, OutboundRecipient, Place};
use super::facts::{Addressee, Envelope};
use super::forward;
use super::trace::Received;
use crate::directory::{Recipient, Route};
use crate::mail::srs::Srs;
use crate::mail::{AccountId, Address};
use crate::queue::{self, DeliverBy};
use crate::smtp::RcptParams;
use crate::smtp::mail::{Body, ByMode, ByTrace, Hold, Ret};
use crate::smtp::rcpt::Notify;

/// A message that has arrived, without its bytes.
pub struct Arrival<'a> {
    /// Its envelope.
    pub envelope: &'a Envelope,
    /// How it came.
    pub received: Received<'a>,
    /// Header fields that we have added.
    pub added: &'a [u8],
    /// Header fields that only copies for other servers have, before all else.
    pub outbound: &'a [u8],
    /// Rewrites the sender of what is forwarded; none where it stays as it is.
    pub srs: Option<&'a Srs>,
    /// The account that submitted it.
    pub submitter: Option<AccountId>,
    /// Whether reports of success are sent if they are asked for: not about junk.
    pub reports: bool,
}

/// Where a message goes.
#[derive(Default)]
pub struct Plan {
    /// Mailboxes.
    pub places: Vec<Place>,
    /// Whose these are, in their order.
    pub owners: Vec<Arc<Recipient>>,
    /// Recipients elsewhere, by envelope.
    pub outbound: Vec<Outbound>,
}

impl Arrival<'_> {
    /// Plans the delivery to some of the envelope's recipients.
    pub fn plan<'r>(&self, recipients: impl Iterator<Item = &'r Addressee>) -> Plan {
        let mut plan = Plan::default();
        let mut elsewhere = Elsewhere::default();
        let mut accounts = HashSet::new();
        let mut addresses = HashSet::new();
        let held = self.hold().is_some();
        for addressee in recipients {
            match &*addressee.route {
                // Where it goes is found out when its time has come; and who wants to hear of success has his mail go
                // through the queue, where reports are made.
                Route::To { .. } if held || self.is_reported(addressee) => {
                    if addresses.insert(addressee.address.clone()) {
                        let recipient = outbound_recipient(&addressee.address, &addressee.params);
                        elsewhere.push(None, OutboundRecipient { here: true, ..recipient });
                    }
                }
                Route::To { accounts: targets, remotes } => {
                    for owner in targets.iter().filter(|owner| accounts.insert(owner.account)) {
                        plan.places.push(self.place(owner, &addressee.address));
                        plan.owners.push(owner.clone());
                    }
                    for remote in remotes {
                        let Some(address) = parse_target(remote) else { continue };
                        if !addresses.contains(&address) {
                            let recipient = outbound_recipient(&address, &addressee.params);
                            elsewhere.push(remote.forwarded_by.as_deref(), recipient);
                            addresses.insert(address);
                        }
                    }
                }
                Route::NotLocal if addresses.insert(addressee.address.clone()) => {
                    elsewhere.push(None, outbound_recipient(&addressee.address, &addressee.params));
                }
                // None of these is ever accepted.
                Route::NotLocal | Route::Unknown | Route::Restricted => {}
            }
        }
        plan.outbound =
            elsewhere.0.into_iter().map(|(by, recipients)| self.outbound(by, recipients)).collect();
        plan
    }

    fn place(&self, owner: &Recipient, address: &Address) -> Place {
        let sender = self.envelope.sender.as_ref();
        Place::in_inbox(owner, sender, address, self.received.at, |prefix| self.write_trace(prefix))
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

    /// Whether the sender hears of the delivery to a mailbox here (RFC 3461 §4.1).
    fn is_reported(&self, addressee: &Addressee) -> bool {
        let asked = matches!(addressee.params.notify, Some(Notify::On(on)) if on.success);
        asked && self.reports && self.envelope.sender.is_some()
    }

    /// Until when the sender wants the message held (RFC 4865).
    fn hold(&self) -> Option<Timestamp> {
        let now = self.received.at.at();
        let until = match self.envelope.params.hold? {
            Hold::For(seconds) => later(now, i64::from(seconds)),
            Hold::Until(time) => time,
        };
        (until > now).then_some(until)
    }

    fn outbound(&self, forwarded_by: Option<&str>, recipients: Vec<OutboundRecipient>) -> Outbound {
        let mut prefix = Vec::with_capacity(512);
        prefix.extend_from_slice(self.outbound);
        let (envelope, now) = (self.envelope, self.received.at.at());
        let sender = forward::go_on(envelope.sender.as_ref(), forwarded_by, self.srs, now, &mut prefix);
        self.write_trace(&mut prefix);
        let params = &self.envelope.params;
        Outbound {
            prefix: Some(Bytes::from(prefix)),
            envelope: queue::Envelope {
                sender,
                account: self.submitter,
                envelope_id: params.envelope_id.clone(),
                return_full: params.ret.map(|ret| ret == Ret::Full),
                smtputf8: params.utf8.is_some(),
                body: params.body.unwrap_or(Body::SevenBit),
                require_tls: params.require_tls.is_some(),
                priority: i16::from(params.priority.unwrap_or(0)),
                deliver_by: params.by.map(|by| DeliverBy {
                    at: later(self.received.at.at(), i64::from(by.seconds)),
                    return_after: by.mode == ByMode::Return,
                    trace: by.trace == ByTrace::Traced,
                }),
            },
            hold_until: self.hold(),
            recipients,
        }
    }
}

/// Recipients elsewhere, by who forwards to them.
#[derive(Default)]
struct Elsewhere<'a>(HashMap<Option<&'a str>, Vec<OutboundRecipient>>);

impl<'a> Elsewhere<'a> {
    fn push(&mut self, forwarded_by: Option<&'a str>, recipient: OutboundRecipient) {
        self.0.entry(forwarded_by).or_default().push(recipient);
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
    let original = params.original.clone().map(|original| {
        let written = RcptParams { notify: None, original: Some(original) }.to_string();
        written.trim_start_matches(" ORCPT=").to_owned()
    });
    OutboundRecipient::elsewhere(address, params.notify, original)
}

/// So many seconds later, or as late as can be said.
fn later(at: Timestamp, seconds: i64) -> Timestamp {
    at.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::directory::Remote;
    use crate::intake::trace::Protocol;
    use crate::mail::DateTime;
    use crate::smtp::{Command, parse};

    fn addressee(command: &str, route: Route) -> Addressee {
        let Command::Rcpt(rcpt) = parse(command.as_bytes()).unwrap() else { panic!("{command}") };
        let address = Address::parse(rcpt.path.0).unwrap();
        Addressee { address, params: rcpt.params, route: Arc::new(route), max_message: u64::MAX }
    }

    fn to(accounts: &[i64], remotes: &[&str]) -> Route {
        Route::To {
            accounts: accounts.iter().map(|id| Arc::new(Recipient::sample(*id))).collect(),
            remotes: remotes.iter().map(|remote| remote_of(remote, None)).collect(),
        }
    }

    fn remote_of(address: &str, forwarded_by: Option<&str>) -> Remote {
        Remote { address: address.to_owned(), forwarded_by: forwarded_by.map(str::to_owned) }
    }

    fn planned(mail: &str, recipients: Vec<Addressee>) -> Plan {
        let Command::Mail(mail) = parse(mail.as_bytes()).unwrap() else { panic!("{mail}") };
        let mut envelope = Envelope::new(Address::parse(mail.path.0).ok(), mail.params);
        recipients.into_iter().for_each(|recipient| envelope.push(recipient));
        let received = Received {
            helo: "mx.example.org",
            well_formed: true,
            reverse_name: None,
            peer: IpAddr::from([192, 0, 2, 1]),
            host: "mail.example.test",
            protocol: Protocol::Esmtp,
            tls: None,
            authenticated: true,
            utf8: false,
            id: "7-1",
            at: DateTime::new(jiff::Timestamp::UNIX_EPOCH, 0),
        };
        let srs = Srs::new("the secret of this test", 21);
        let arrival = Arrival {
            envelope: &envelope,
            received,
            added: b"Added: x\r\n",
            outbound: b"",
            srs: Some(&srs),
            submitter: Some(AccountId(9)),
            reports: true,
        };
        arrival.plan(envelope.recipients.iter())
    }

    fn text(prefix: &Option<Bytes>) -> &str {
        std::str::from_utf8(prefix.as_ref().unwrap()).unwrap()
    }

    #[test]
    fn nobody_gets_two_copies() {
        let plan = planned(
            "MAIL FROM:<a@b.test>",
            vec![
                addressee("RCPT TO:<team@x.test>", to(&[1, 2], &["far@y.test"])),
                addressee("RCPT TO:<one@x.test>", to(&[1], &[])),
                addressee("RCPT TO:<far@y.test>", Route::NotLocal),
            ],
        );
        let accounts: Vec<i64> = plan.places.iter().map(|place| place.account.0).collect();
        let owners: Vec<i64> = plan.owners.iter().map(|owner| owner.account.0).collect();
        assert_eq!((&accounts[..], &owners[..]), (&[1, 2][..], &[1, 2][..]));
        let [outbound] = &plan.outbound[..] else { panic!() };
        assert_eq!(outbound.recipients.len(), 1);
        assert_eq!(
            (outbound.recipients[0].address.as_str(), outbound.recipients[0].domain.as_str()),
            ("far@y.test", "y.test")
        );
        // Several recipients: none learns of the others.
        assert!(
            text(&plan.places[0].prefix)
                .starts_with("Return-Path: <a@b.test>\r\nDelivered-To: team@x.test\r\nReceived: ")
        );
        assert!(!text(&plan.places[0].prefix).contains("for <") && !text(&outbound.prefix).contains("for <"));
        assert!(
            text(&outbound.prefix).starts_with("Received: ")
                && text(&outbound.prefix).ends_with("Added: x\r\n")
        );
    }

    #[test]
    fn the_queue_keeps_what_was_asked_for() {
        let rcpt = "RCPT TO:<far@y.test> NOTIFY=DELAY,SUCCESS ORCPT=rfc822;a+2Bb@z.test";
        let plan = planned(
            "MAIL FROM:<> RET=HDRS ENVID=Q+2B1 BODY=8BITMIME SMTPUTF8",
            vec![addressee(rcpt, Route::NotLocal)],
        );
        let outbound = &plan.outbound[0];
        assert_eq!(outbound.envelope.sender, "");
        assert_eq!(outbound.envelope.account, Some(AccountId(9)));
        assert_eq!(outbound.envelope.envelope_id.as_deref(), Some("Q+1"));
        assert_eq!(
            (outbound.envelope.return_full, outbound.envelope.smtputf8, outbound.envelope.body),
            (Some(false), true, Body::EightBitMime)
        );
        assert_eq!(outbound.recipients[0].notify.map(queue::notify_words).as_deref(), Some("SUCCESS,DELAY"));
        assert_eq!(outbound.recipients[0].original.as_deref(), Some("rfc822;a+2Bb@z.test"));
        assert!(text(&outbound.prefix).contains("for <far@y.test>;"));
        assert!(plan.places.is_empty());
    }

    #[test]
    fn what_is_forwarded_has_an_envelope_of_its_own() {
        let forwarding = |targets: &[(&str, Option<&str>)]| Route::To {
            accounts: Vec::new(),
            remotes: targets.iter().map(|(address, by)| remote_of(address, *by)).collect(),
        };
        let recipients = || {
            vec![
                addressee(
                    "RCPT TO:<team@x.test>",
                    forwarding(&[("one@y.test", Some("team@x.test")), ("two@y.test", Some("team@x.test"))]),
                ),
                addressee("RCPT TO:<far@gate.test>", forwarding(&[("far@gate.test", None)])),
                addressee("RCPT TO:<me@x.test>", forwarding(&[("two@y.test", Some("me@x.test"))])),
            ]
        };
        let mut plan = planned("MAIL FROM:<a@b.test>", recipients());
        plan.outbound.sort_by_key(|out| out.recipients.len());
        let [passed, forwarded] = &plan.outbound[..] else { panic!("{}", plan.outbound.len()) };
        assert_eq!((passed.envelope.sender.as_str(), passed.recipients.len()), ("a@b.test", 1));
        assert!(text(&passed.prefix).starts_with("Received: "));
        assert!(
            forwarded.envelope.sender.starts_with("SRS0=")
                && forwarded.envelope.sender.ends_with("=b.test=a@x.test")
        );
        assert!(text(&forwarded.prefix).starts_with("Delivered-To: team@x.test\r\nReceived: "));
        let bounce = planned("MAIL FROM:<>", recipients());
        assert!(bounce.outbound.iter().all(|out| out.envelope.sender.is_empty()));
    }
}
