//! Queued mail for addresses here: what was held for a time, or queued before its domain became ours.
//!
//! Leaving the queue and entering the mailboxes is one transaction, so nothing is lost or doubled.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

use super::Relay;
use super::outcome::{Attempt, Finished, Voice, judge};
use super::transaction::Said;
use crate::db::Error;
use crate::directory::Route;
use crate::intake::forward;
use crate::intake::place::parse_target;
use crate::intake::{Content, Delivery, Outbound, OutboundRecipient, Place, Story};
use crate::mail::{Address, DateTime};
use crate::queue::{self, Message, Recipient, Verdict, Work};
use crate::smtp::rcpt::{Notify, NotifyOn};
use crate::sql;

const READ_DIGEST: &str = sql!("relay/read_digest");

/// Whether the domain of this work is ours. What was handed over at once was looked up when it came in.
pub(super) async fn is_here(relay: &Relay, work: &Work) -> Result<bool, Error> {
    if work.was_handed_over() {
        return Ok(false);
    }
    let Some(first) = work.recipients.first().and_then(|r| r.address.parse::<Address>().ok()) else {
        return Ok(false);
    };
    let route = relay.parts.directory.resolve(&first, true).await?;
    Ok(!matches!(&*route, Route::NotLocal) && !route.is_passed_on(&first))
}

/// Delivers to mailboxes here, and on to where aliases lead.
pub(super) async fn deliver(relay: &Relay, mut work: Work) {
    for recipient in std::mem::take(&mut work.recipients) {
        if let Err((recipient, error)) = one(relay, &work, recipient).await {
            if !error.is_unavailable() {
                tracing::error!(%error, "queued mail for an address here");
            }
            let later = Said::Later(format!("451 4.3.0 {error}"));
            finish(relay, &work, recipient, later);
        }
    }
}

/// Leaves work for later: something here that it needs is not at hand.
pub(super) fn postpone(relay: &Relay, mut work: Work, error: &Error) {
    for recipient in std::mem::take(&mut work.recipients) {
        finish(relay, &work, recipient, Said::Later(format!("451 4.3.0 {error}")));
    }
}

fn finish(relay: &Relay, work: &Work, recipient: Recipient, said: Said) {
    let config = relay.parts.control.config();
    let finished =
        judge(&config, &work.message, &work.domain, recipient, said, &Attempt::default(), Voice::Own);
    relay.finished.send(finished).ok();
}

async fn one(relay: &Relay, work: &Work, recipient: Recipient) -> Result<(), (Recipient, Error)> {
    match plan(relay, &work.message, &recipient).await {
        Ok(Planned::Deliver(delivery)) => commit(relay, work, recipient, delivery).await,
        Ok(Planned::Say(said)) => {
            finish(relay, work, recipient, said);
            Ok(())
        }
        Err(error) => Err((recipient, error)),
    }
}

enum Planned {
    Deliver(Delivery),
    Say(Said),
}

async fn plan(relay: &Relay, message: &Arc<Message>, recipient: &Recipient) -> Result<Planned, Error> {
    let directory = &relay.parts.directory;
    let never = |why: &str| Ok(Planned::Say(Said::Never(why.to_owned())));
    let Ok(address) = recipient.address.parse::<Address>() else {
        return never("550 5.1.3 the recipient is no address");
    };
    let route = directory.resolve(&address, message.envelope.account.is_some()).await?;
    let (accounts, remotes) = match &*route {
        Route::To { accounts, remotes } => (accounts, remotes),
        Route::Restricted => return never("550 5.7.1 only users of this server may write to this address"),
        Route::NotLocal | Route::Unknown => return never("550 5.1.1 no such user here"),
    };
    let row = relay.parts.control.db.query_opt(READ_DIGEST, &[&message.content]).await?;
    let (Some(row), Some(size)) = (row, message.content_size) else {
        return never("550 5.3.0 the message's content is not in the store any more");
    };
    let Ok(digest) = <[u8; 32]>::try_from(row.get::<_, &[u8]>(0)) else {
        return never("550 5.3.0 the message's content is damaged");
    };
    let sender = message.envelope.sender.parse::<Address>().ok();
    let (mut places, mut owners) = (Vec::new(), Vec::new());
    let mut seen = HashSet::new();
    for account in accounts.iter().filter(|account| seen.insert(account.account)) {
        if message.size > account.max_message {
            return never("552 5.3.4 the message is too large for this mailbox");
        }
        if !directory.has_room(account, message.size).await? {
            return Ok(Planned::Say(Said::Later("452 4.2.2 the mailbox is full".to_owned())));
        }
        let now = DateTime::new(Timestamp::now(), 0);
        owners.push(account.address.clone());
        places.push(Place::in_inbox(account, sender.as_ref(), &address, now, |prefix| {
            prefix.extend_from_slice(&message.prefix);
        }));
    }
    let config = relay.parts.control.config();
    let srs = forward::rewriter(directory, &config, sender.as_ref(), [&*route].into_iter()).await?;
    let single = accounts.is_empty() && remotes.len() == 1;
    let mut groups: HashMap<Option<&str>, Vec<OutboundRecipient>> = HashMap::new();
    for remote in remotes {
        let Some(address) = parse_target(remote) else { continue };
        let notify = notify_beyond(recipient.notify, single);
        let further = OutboundRecipient::elsewhere(&address, notify, recipient.original.clone());
        groups.entry(remote.forwarded_by.as_deref()).or_default().push(further);
    }
    if places.is_empty() && groups.is_empty() {
        return Ok(Planned::Say(Said::Later("451 4.3.5 this address leads nowhere".to_owned())));
    }
    let outbound = groups.into_iter().map(|(forwarded_by, recipients)| {
        let mut prefix = Vec::new();
        let now = Timestamp::now();
        let sender = forward::go_on(sender.as_ref(), forwarded_by, srs.as_ref(), now, &mut prefix);
        prefix.extend_from_slice(&message.prefix);
        Outbound {
            prefix: Some(Bytes::from(prefix)),
            envelope: queue::Envelope { sender, ..message.envelope.clone() },
            hold_until: None,
            recipients,
        }
    });
    Ok(Planned::Deliver(Delivery {
        content: Some(Content::Stored { digest, size }),
        places,
        outbound: outbound.collect(),
        story: Some(Box::new(Story { owners, ..Story::goes_on(message) })),
        ..Delivery::default()
    }))
}

/// What those hear of to whom an address here leads. The success of one address that leads to one other is the other's;
/// else it is reported here (RFC 3461 §5.2.7).
fn notify_beyond(notify: Option<Notify>, single: bool) -> Option<Notify> {
    match notify {
        Some(Notify::On(on)) if on.success && !single => {
            let rest = NotifyOn { success: false, ..on };
            Some(if rest.failure || rest.delay { Notify::On(rest) } else { Notify::Never })
        }
        other => other,
    }
}

async fn commit(
    relay: &Relay,
    work: &Work,
    recipient: Recipient,
    mut delivery: Delivery,
) -> Result<(), (Recipient, Error)> {
    let config = relay.parts.control.config();
    let taken = Said::Taken("250 2.1.5 delivered to the mailbox".to_owned());
    let finished = judge(
        &config,
        &work.message,
        &work.domain,
        recipient.clone(),
        taken,
        &Attempt::default(),
        Voice::Own,
    );
    let Finished::Recipient(settled, report, voice) = finished else { return Ok(()) };
    debug_assert_eq!(settled.verdict, Verdict::Delivered);
    let id = settled.recipient.id;
    // Where it only goes on, what becomes of it is reported there.
    let goes_on = delivery.places.is_empty()
        && delivery.outbound.iter().map(|out| out.recipients.len()).sum::<usize>() == 1;
    delivery.settled.push((*settled).clone());
    match relay.parts.committer.deliver(delivery).await {
        Ok(receipt) => {
            if receipt.iter().any(Option::is_none) {
                tracing::error!(
                    recipient = recipient.address,
                    "a mailbox was deleted while queued mail was put into it; the message is lost to it"
                );
            }
            relay.forget([id].into_iter());
            if let Some(kind) = report.filter(|_| !goes_on) {
                relay.finished.send(Finished::Told(settled, kind, voice)).ok();
            }
            Ok(())
        }
        Err(error) => Err((recipient, error)),
    }
}
