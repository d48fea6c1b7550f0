//! A row of the trace: one step of a message.

use std::net::IpAddr;

use jiff::Timestamp;

use super::cut;

/// Longest text of a row that others have made up: addresses, message ids; bytes.
const TEXT: usize = 500;
/// Longest reply.
const REPLY: usize = 1000;

/// What happened to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It was answered 250.
    Accepted,
    /// It was not, or one of its recipients.
    Refused,
    /// It is in a mailbox.
    Placed,
    /// The mailbox was deleted meanwhile.
    Missed,
    /// It is queued.
    Queued,
    /// Its sender is told what became of it.
    Reported,
}

impl Step {
    /// All of them.
    pub const ALL: [Step; 6] =
        [Step::Accepted, Step::Refused, Step::Placed, Step::Missed, Step::Queued, Step::Reported];

    /// As the table calls it.
    pub fn word(self) -> &'static str {
        match self {
            Step::Accepted => "accepted",
            Step::Refused => "refused",
            Step::Placed => "placed",
            Step::Missed => "missed",
            Step::Queued => "queued",
            Step::Reported => "reported",
        }
    }
}

/// A row; its fields are the columns, whose comments say what they mean.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "each field is a column; its meaning stands in the column's COMMENT")]
pub struct Trace {
    pub at: Timestamp,
    pub message: String,
    pub step: Step,
    pub session: Option<i64>,
    pub peer: Option<IpAddr>,
    pub account: Option<i64>,
    pub command: Option<&'static str>,
    pub sender: Option<String>,
    pub recipient: Option<String>,
    pub size: Option<i64>,
    pub message_id: Option<String>,
    pub mailbox: Option<i64>,
    pub uid: Option<i64>,
    pub queue_id: Option<i64>,
    pub reply: Option<String>,
}

impl Trace {
    /// A step of a message that is called so, now.
    pub fn new(step: Step, message: &str) -> Self {
        Self {
            at: Timestamp::now(),
            message: cut(message, TEXT),
            step,
            session: None,
            peer: None,
            account: None,
            command: None,
            sender: None,
            recipient: None,
            size: None,
            message_id: None,
            mailbox: None,
            uid: None,
            queue_id: None,
            reply: None,
        }
    }

    /// The rows of a message that has come in, or has not: `first` says what is known of it, and each recipient has a row, which
    /// else says how it was refused at most.
    pub fn for_each(first: Self, recipients: impl IntoIterator<Item = String>) -> Vec<Self> {
        let mut recipients = recipients.into_iter();
        let other = Self {
            at: first.at,
            command: first.command,
            reply: first.reply.clone(),
            ..Self::new(first.step, &first.message)
        };
        let mut rows = vec![Self { recipient: recipients.next().or(first.recipient.clone()), ..first }];
        rows.extend(recipients.map(|recipient| Self { recipient: Some(recipient), ..other.clone() }));
        rows
    }

    /// As it may stand in the table: texts that others have made up have an end, and no NUL.
    pub(super) fn bounded(mut self) -> Self {
        for text in [&mut self.sender, &mut self.recipient, &mut self.message_id].into_iter().flatten() {
            if text.len() > TEXT || text.contains('\0') {
                *text = cut(text, TEXT);
            }
        }
        if let Some(reply) = &mut self.reply {
            *reply = cut(reply, REPLY);
        }
        self
    }

    pub(super) fn weight(&self) -> usize {
        let texts = [&self.sender, &self.recipient, &self.message_id, &self.reply];
        let texts: usize = texts.into_iter().flatten().map(String::capacity).sum();
        size_of::<Self>() + self.message.capacity() + texts
    }
}

/// A name for a message that no session has brought: a report of ours.
pub fn own_name() -> String {
    let mut bytes = [0; 8];
    // Should there be no randomness two stories are told as one.
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes).ok();
    format!("own-{:016x}", u64::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_row_says_what_all_have_in_common() {
        let first = Trace { size: Some(7), sender: Some(String::new()), ..Trace::new(Step::Accepted, "5-1") };
        let rows = Trace::for_each(first.clone(), ["a@x.test", "b@x.test"].map(str::to_owned));
        let told: Vec<_> =
            rows.iter().map(|row| (row.recipient.as_deref(), row.size, row.at == first.at)).collect();
        assert_eq!(told, [(Some("a@x.test"), Some(7), true), (Some("b@x.test"), None, true)]);
        assert!(rows.iter().all(|row| row.step == Step::Accepted && row.message == "5-1"));
        assert_eq!(Trace::for_each(first, []).len(), 1);
    }

    #[test]
    fn no_row_is_large() {
        let long = || Some("ä\0".repeat(10_000));
        let row = Trace {
            sender: long(),
            recipient: long(),
            message_id: long(),
            reply: long(),
            ..Trace::new(Step::Refused, "x")
        };
        let row = row.bounded();
        assert!(row.weight() < 6000, "{}", row.weight());
        assert!(!row.sender.unwrap().contains('\0') && !row.reply.unwrap().contains('\0'));
    }
}
