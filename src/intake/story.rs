//! What the trace (`log.trace`) is told of a delivery, once it is committed.

use super::delivery::{Content, Delivery, Receipt};
use crate::log::{Step, Trace};
use crate::queue;

/// The story of a message, as far as its bytes and its receipt do not tell it.
pub struct Story {
    /// What the trace calls the message.
    pub message: String,
    /// Reverse path; empty = null sender.
    pub sender: String,
    /// How it begins: what is known of its arrival, and for whom it was said to be. None where a queued message goes on.
    pub begins: Option<(Trace, Vec<String>)>,
    /// Whose the mailboxes of the delivery are, in their order: addresses.
    pub owners: Vec<String>,
}

impl Story {
    /// A message that comes in, by this first row of its story.
    pub fn begins(first: Trace, recipients: Vec<String>) -> Self {
        let (message, sender) = (first.message.clone(), first.sender.clone().unwrap_or_default());
        Self { message, sender, begins: Some((first, recipients)), owners: Vec::new() }
    }

    /// A queued message that goes on here.
    pub fn goes_on(message: &queue::Message) -> Self {
        let sender = message.envelope.sender.clone();
        Self { message: name(message), sender, begins: None, owners: Vec::new() }
    }

    /// A report to the sender of a queued message, as part of that one's story. `kind` says what it reports.
    pub fn reports(message: &queue::Message, kind: &str) -> Self {
        let recipient = message.envelope.sender.clone();
        let first = Trace { reply: Some(kind.to_owned()), ..Trace::new(Step::Reported, &name(message)) };
        Self { sender: String::new(), ..Self::begins(first, vec![recipient]) }
    }
}

/// What the trace calls a queued message; of one that came in untraced it knows the number only.
fn name(message: &queue::Message) -> String {
    message.trace.clone().unwrap_or_else(|| format!("queue-{}", message.id))
}

/// Tells the story of a committed delivery, but for what was queued of it.
pub(super) fn tell(delivery: &Delivery, receipt: &Receipt, rows: &mut Vec<Trace>) {
    let Some(story) = &delivery.story else { return };
    if let (Some((first, recipients)), Some(content)) = (&story.begins, &delivery.content) {
        let message_id = match content {
            Content::Draft(draft) => draft.summary.message_id.clone(),
            Content::Stored { .. } => None,
        };
        let at = jiff::Timestamp::now();
        let first = Trace { at, size: Some(content.size() as i64), message_id, ..first.clone() };
        rows.extend(Trace::for_each(first, recipients.iter().cloned()));
    }
    for (at, ((_, place), placed)) in delivery.placed().zip(receipt).enumerate() {
        let step = if placed.is_some() { Step::Placed } else { Step::Missed };
        rows.push(Trace {
            recipient: story.owners.get(at).cloned(),
            account: Some(place.account.0),
            mailbox: Some(place.mailbox.0),
            uid: placed.map(|placed| placed.uid.into()),
            ..Trace::new(step, &story.message)
        });
    }
}
