//! What the trace (`log.trace`) is told of a session's messages: who brought them, for whom, and what was refused.

use super::session::{Session, State};
use crate::intake::{Addressee, Story};
use crate::log::{Step, Trace};
use crate::mail::Address;
use crate::smtp::{RawPath, Reply};

impl Session {
    /// What the message is called that the session's last MAIL has begun.
    pub(super) fn message_name(&self) -> String {
        format!("{}-{}", self.handle.id(), self.transactions)
    }

    /// A row that says who is there.
    fn row(&self, step: Step, message: &str) -> Trace {
        Trace {
            session: Some(self.handle.id()),
            peer: Some(self.peer().to_canonical()),
            account: self.login.as_ref().map(|login| login.account.0),
            ..Trace::new(step, message)
        }
    }

    /// The story of a message that comes in; none where the trace is not kept.
    pub(super) fn story<'a>(
        &self,
        message: &str,
        sender: Option<&Address>,
        recipients: impl Iterator<Item = &'a Addressee>,
    ) -> Option<Box<Story>> {
        let tell = || {
            let first = Trace { sender: Some(path(sender)), ..self.row(Step::Accepted, message) };
            Box::new(Story::begins(first, recipients.map(|r| r.address.to_string()).collect()))
        };
        self.house.log.keeps_trace().then(tell)
    }

    /// Notes that a sender was refused. No message has begun: the row is the session's.
    pub(super) fn note_refused_sender(&self, sender: RawPath<'_>, reply: &Reply) {
        if self.house.log.keeps_trace() {
            let session = self.handle.id().to_string();
            self.house.log.trace(vec![Trace {
                command: Some("MAIL"),
                sender: Some(String::from_utf8_lossy(sender.0).into_owned()),
                reply: Some(said(reply)),
                ..self.row(Step::Refused, &session)
            }]);
        }
    }

    /// Notes that a recipient was refused.
    pub(super) fn note_refused_recipient(&self, recipient: RawPath<'_>, reply: &Reply) {
        let State::Open(_, envelope) = &self.state else { return };
        if self.house.log.keeps_trace() {
            self.house.log.trace(vec![Trace {
                command: Some("RCPT"),
                sender: Some(path(envelope.sender.as_ref())),
                recipient: Some(String::from_utf8_lossy(recipient.0).into_owned()),
                reply: Some(said(reply)),
                ..self.row(Step::Refused, &self.message_name())
            }]);
        }
    }

    /// Notes that a message was refused, for some of its recipients or all.
    pub(super) fn note_refused_message<'a>(
        &self,
        sender: Option<&Address>,
        recipients: impl Iterator<Item = &'a Address>,
        size: Option<u64>,
        reply: &Reply,
    ) {
        if self.house.log.keeps_trace() {
            let first = Trace {
                command: Some("DATA"),
                sender: Some(path(sender)),
                size: size.map(|size| size as i64),
                reply: Some(said(reply)),
                ..self.row(Step::Refused, &self.message_name())
            };
            self.house.log.trace(Trace::for_each(first, recipients.map(Address::to_string)));
        }
    }
}

fn path(sender: Option<&Address>) -> String {
    sender.map(Address::to_string).unwrap_or_default()
}

/// A reply on one line.
fn said(reply: &Reply) -> String {
    let mut text = reply.code().to_string();
    if let Some((class, subject, detail)) = reply.enhanced() {
        text += &format!(" {class}.{subject}.{detail}");
    }
    for line in reply.lines() {
        text.push(' ');
        text += line;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_on_one_line() {
        let refused = Reply::new(550, (5, 7, 1), "Not").and("from you");
        assert_eq!(said(&refused), "550 5.7.1 Not from you");
        assert_eq!(said(&Reply::plain(421, "Bye")), "421 Bye");
    }
}
