//! One message to one server: MAIL, RCPT, DATA or BDAT, and what was said to each.
//!
//! With PIPELINING (RFC 2920) envelope and DATA go out in one piece: a message costs two round trips, and with CHUNKING, where
//! the message is small, one. A message is read from memory or from the store piece by piece, and is whole in memory only where
//! it had to be converted (`convert`).

use std::fmt::Write;

use super::body::Body;
use super::client::{Connection, PAGE, Trouble, text};
use crate::queue::{Recipient, Work};
use crate::smtp::dot::DotEncoder;
use crate::smtp::mail::{self, ByMode, ByTrace, MailParams, Ret, SmtpUtf8};
use crate::smtp::reply::{Enhanced, Outcome, Reply};
use crate::smtp::{RcptParams, xtext};

/// Recipients named before their replies are read, so that neither side's buffers can fill up.
const GROUP: usize = 100;
/// A message up to this goes out as one chunk together with its envelope, where the server takes chunks; bytes.
const ONE_CHUNK: u64 = 32 * 1024;

/// What was said about a recipient in the end.
#[derive(Debug, Clone)]
pub(super) enum Said {
    /// The server has taken the message for it.
    Taken(String),
    /// Not now.
    Later(String),
    /// Not in this transaction: the server takes no more recipients in one.
    Again(String),
    /// Never.
    Never(String),
}

/// A transaction that came to its end.
pub(super) struct Done {
    /// For each recipient of the work.
    pub(super) said: Vec<Said>,
    /// The server sends reports of delivery itself (RFC 3461), and was asked to.
    pub(super) reports: bool,
}

/// How a transaction failed.
pub(super) enum Failed {
    /// The server said nothing to this message yet: on a connection that was kept, it may be sent on another.
    Before(Trouble),
    /// The connection was lost in the middle; the server may or may not have the message.
    Within(Trouble),
    /// The message's own bytes can't be had.
    Store(crate::db::Error),
}

impl From<Trouble> for Failed {
    fn from(trouble: Trouble) -> Self {
        Failed::Within(trouble)
    }
}

/// Sends one message to the recipients of `work`. What the server can't take at all is found out before anything is said.
pub(super) async fn send(connection: &mut Connection, work: &Work, body: &mut Body) -> Result<Done, Failed> {
    let head = body.peek().await.map_err(Failed::Store)?;
    let form = match Form::choose(connection, work, body.kind(), &head) {
        Ok(form) => form,
        Err(why) => return Ok(all(work, Said::Never(why))),
    };
    let size = body.size();
    if connection.offer.size.is_some_and(|most| most > 0 && size > most) {
        let most = connection.offer.size.unwrap_or(0);
        let why = format!("552 5.3.4 the message has {size} bytes, and {} takes {most}", connection.host);
        return Ok(all(work, Said::Never(why)));
    }
    Transaction { connection, work, form, refused: false }.run(body).await
}

fn all(work: &Work, said: Said) -> Done {
    Done { said: vec![said; work.recipients.len()], reports: false }
}

/// How the message travels.
#[derive(Debug, Clone, Copy)]
struct Form {
    utf8: bool,
    body: Option<mail::Body>,
    chunks: bool,
}

impl Form {
    fn choose(connection: &Connection, work: &Work, kind: mail::Body, head: &[u8]) -> Result<Self, String> {
        let (message, recipients) = (&work.message, &work.recipients);
        let offer = &connection.offer;
        let host = &connection.host;
        let in_envelope =
            !message.envelope.sender.is_ascii() || recipients.iter().any(|r| !r.address.is_ascii());
        let utf8 = in_envelope || (message.envelope.smtputf8 && !header(head).is_ascii());
        if utf8 && !offer.utf8 {
            return Err(format!(
                "550 5.6.7 the message needs SMTPUTF8 (RFC 6531), and {host} does not offer it"
            ));
        }
        if message.envelope.require_tls && !connection.authenticated {
            let tls = connection.tls.as_ref().map_or("does not offer it", |_| "can't prove who it is");
            return Err(format!("550 5.7.10 the sender requires TLS (RFC 8689), and {host} {tls}"));
        }
        if message.envelope.require_tls && !offer.require_tls {
            return Err(format!(
                "550 5.7.30 the sender requires TLS (RFC 8689), and {host} does not offer REQUIRETLS"
            ));
        }
        let body = match kind {
            mail::Body::BinaryMime if offer.binary && offer.chunking => Some(mail::Body::BinaryMime),
            mail::Body::BinaryMime => {
                return Err(format!(
                    "550 5.6.1 the message is binary (RFC 3030), and {host} does not take that"
                ));
            }
            // Those that offer SMTPUTF8 offer 8BITMIME as well (RFC 6531 §3.1).
            mail::Body::EightBitMime if offer.eight_bit => Some(mail::Body::EightBitMime),
            mail::Body::EightBitMime | mail::Body::SevenBit => None,
        };
        Ok(Self { utf8, body, chunks: offer.chunking && matches!(body, Some(mail::Body::BinaryMime)) })
    }
}

/// What of these first bytes of a message is its header.
fn header(bytes: &[u8]) -> &[u8] {
    let end = memchr::memmem::find(bytes, b"\r\n\r\n").unwrap_or(bytes.len());
    bytes.get(..end).unwrap_or(bytes)
}

struct Transaction<'a> {
    connection: &'a mut Connection,
    work: &'a Work,
    form: Form,
    /// DATA was refused.
    refused: bool,
}

impl Transaction<'_> {
    async fn run(mut self, body: &mut Body) -> Result<Done, Failed> {
        let patience = self.connection.waits().reply;
        let small = self.connection.offer.chunking && body.size() <= ONE_CHUNK;
        let chunks = self.form.chunks || small;
        let pipelining = self.connection.offer.pipelining;
        let one_group = self.work.recipients.len() <= GROUP;
        let reset = std::mem::replace(&mut self.connection.unfinished, true);
        if reset {
            self.connection.put(format_args!("RSET\r\n"));
        }
        let params = self.mail_params(body.size());
        self.connection.put(format_args!("MAIL FROM:<{}>{params}\r\n", self.work.message.envelope.sender));
        // What goes out before the first reply is read.
        let mut in_flight = 0;
        let mut data_sent = false;
        if pipelining {
            in_flight = self.work.recipients.len().min(GROUP);
            self.name(0..in_flight);
            if one_group && small {
                self.chunk(body, true).await?;
                data_sent = true;
            } else if one_group && !chunks {
                self.connection.put(format_args!("DATA\r\n"));
                data_sent = true;
            }
        }
        if let Err(trouble) = self.connection.flush().await {
            return Err(Failed::Before(trouble));
        }
        if reset {
            self.connection.reply(patience).await.map_err(Failed::Before)?;
        }
        let mail = self.connection.reply(patience).await.map_err(Failed::Before)?;
        let mut replies: Vec<Reply> = Vec::with_capacity(self.work.recipients.len());
        let accepted = mail.outcome() == Outcome::Done;
        loop {
            for _ in 0..in_flight {
                replies.push(self.connection.reply(patience).await?);
            }
            let next = replies.len();
            if next >= self.work.recipients.len() || !accepted {
                break;
            }
            in_flight = match pipelining {
                true => (self.work.recipients.len() - next).min(GROUP),
                false => 1,
            };
            self.name(next..next + in_flight);
            self.connection.flush().await?;
        }
        let mut said: Vec<Said> = match accepted {
            true => replies.iter().map(recipient_said).collect(),
            false => vec![refusal(&mail); self.work.recipients.len()],
        };
        let some = accepted && replies.iter().any(|reply| reply.outcome() == Outcome::Done);
        if !some && !data_sent {
            return Ok(self.done(said));
        }
        let end = self.message(body, Sending { some, chunks, data_sent, small }).await?;
        if let Some(end) = end.filter(|_| some) {
            self.connection.unfinished = self.refused;
            self.connection.sent += 1;
            for one in &mut said {
                if matches!(one, Said::Taken(_)) {
                    *one = match end.outcome() {
                        Outcome::Done => Said::Taken(text(&end)),
                        _ => refusal(&end),
                    };
                }
            }
        }
        // Too many at once: the others have their turn, if this was any use.
        if !said.iter().any(|one| matches!(one, Said::Taken(_))) {
            for one in &mut said {
                if let Said::Again(why) = one {
                    *one = Said::Later(std::mem::take(why));
                }
            }
        }
        Ok(self.done(said))
    }

    fn done(&self, said: Vec<Said>) -> Done {
        Done { said, reports: self.connection.offer.dsn }
    }

    /// Sends the message; gives the reply to its end.
    async fn message(&mut self, body: &mut Body, sending: Sending) -> Result<Option<Reply>, Failed> {
        let (patience, end) = (self.connection.waits().reply, self.connection.waits().end);
        if sending.chunks {
            if sending.small {
                if !sending.data_sent {
                    self.chunk(body, true).await?;
                    self.connection.flush().await?;
                }
                return Ok(Some(self.connection.reply(end).await?));
            }
            let mut left = body.size();
            loop {
                left -= self.chunk(body, false).await?;
                self.connection.flush().await?;
                let reply = self.connection.reply(if left == 0 { end } else { patience }).await?;
                if left == 0 || reply.outcome() != Outcome::Done {
                    return Ok(Some(reply));
                }
            }
        }
        if !sending.data_sent {
            self.connection.put(format_args!("DATA\r\n"));
            self.connection.flush().await?;
        }
        let go = self.connection.reply(patience).await?;
        if go.outcome() != Outcome::GoOn {
            // The transaction stays open until it is reset.
            self.refused = true;
            return Ok(sending.some.then_some(go));
        }
        let mut encoder = DotEncoder::new();
        if sending.some {
            while let Some(piece) = body.next().await.map_err(Failed::Store)? {
                for part in piece.chunks(PAGE) {
                    encoder.encode(part, self.connection.output());
                    if self.connection.output().len() >= PAGE {
                        self.connection.flush().await?;
                    }
                }
            }
            encoder.finish(self.connection.output());
        } else {
            // RFC 2920 §3.1: no recipient is left, and the server waits for a message all the same.
            self.connection.put(format_args!(".\r\n"));
        }
        self.connection.flush().await?;
        Ok(Some(self.connection.reply(end).await?))
    }

    /// Puts the next chunk, or all of a small message, into the output; gives its size.
    async fn chunk(&mut self, body: &mut Body, whole: bool) -> Result<u64, Failed> {
        let mut bytes = Vec::new();
        let mut last = false;
        while !last {
            match body.next().await.map_err(Failed::Store)? {
                Some(piece) => bytes.extend_from_slice(&piece),
                None => last = true,
            }
            if !whole && bytes.len() >= 4 * PAGE {
                break;
            }
        }
        last |= body.is_empty();
        let size = bytes.len();
        self.connection.put(format_args!("BDAT {size}{}\r\n", if last { " LAST" } else { "" }));
        self.connection.output().extend_from_slice(&bytes);
        Ok(size as u64)
    }

    fn name(&mut self, which: std::ops::Range<usize>) {
        for recipient in self.work.recipients.get(which).unwrap_or_default() {
            let params = self.rcpt_params(recipient);
            self.connection.put(format_args!("RCPT TO:<{}>{params}\r\n", recipient.address));
        }
    }

    fn mail_params(&self, size: u64) -> MailParams {
        let (message, offer) = (&self.work.message, &self.connection.offer);
        let by = message.envelope.deliver_by.filter(|_| offer.deliver_by).map(|by| mail::DeliverBy {
            seconds: seconds_left(by.at),
            mode: if by.return_after { ByMode::Return } else { ByMode::Notify },
            trace: if by.trace { ByTrace::Traced } else { ByTrace::Silent },
        });
        MailParams {
            size: offer.size.map(|_| size),
            body: self.form.body,
            utf8: self.form.utf8.then_some(SmtpUtf8),
            ret: message
                .envelope
                .return_full
                .filter(|_| offer.dsn)
                .map(|full| if full { Ret::Full } else { Ret::Headers }),
            envelope_id: message.envelope.envelope_id.clone().filter(|_| offer.dsn),
            require_tls: message.envelope.require_tls.then_some(mail::RequireTls),
            by,
            priority: (offer.priority && message.envelope.priority != 0)
                .then(|| i8::try_from(message.envelope.priority).unwrap_or(0)),
            ..MailParams::default()
        }
    }

    /// NOTIFY and ORCPT go on to a server that knows them (RFC 3461 §5.2.1). Without an ORCPT the recipient as we had it
    /// is the original one.
    fn rcpt_params(&self, recipient: &Recipient) -> String {
        let mut params = String::new();
        if self.connection.offer.dsn {
            params = RcptParams { notify: recipient.notify, original: None }.to_string();
            if let Some(original) = &recipient.original {
                // Writing to memory does not fail.
                write!(params, " ORCPT={original}").ok();
            } else if recipient.notify.is_some() && recipient.address.is_ascii() {
                write!(params, " ORCPT=rfc822;{}", xtext::encode(recipient.address.as_bytes())).ok();
            }
        }
        params
    }
}

#[derive(Clone, Copy)]
struct Sending {
    some: bool,
    chunks: bool,
    data_sent: bool,
    small: bool,
}

fn seconds_left(at: jiff::Timestamp) -> i32 {
    let left = at.as_second() - jiff::Timestamp::now().as_second();
    // RFC 2852 §4: at most nine digits.
    i32::try_from(left.clamp(-999_999_999, 999_999_999)).unwrap_or(0)
}

fn recipient_said(reply: &Reply) -> Said {
    match (reply.outcome(), reply.code(), reply.enhanced()) {
        (Outcome::Done, ..) => Said::Taken(text(reply)),
        // RFC 5321 §4.5.3.1.10: 552 is what old servers say for too many recipients.
        (_, 452, None | Some((4, 5, 3))) | (_, 552, Some((5, 5, 3))) => Said::Again(text(reply)),
        _ => refusal(reply),
    }
}

fn refusal(reply: &Reply) -> Said {
    match reply.outcome() {
        // 503 says that the server has lost track, or we: nothing about the message.
        Outcome::Failed if reply.code() != 503 && !is_about_now(reply.enhanced()) => Said::Never(text(reply)),
        _ => Said::Later(text(reply)),
    }
}

/// 5xx with an enhanced code of class 4: some servers mean the latter.
fn is_about_now(enhanced: Option<Enhanced>) -> bool {
    enhanced.is_some_and(|(class, ..)| class == 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_replies_mean() {
        let said = |code, enhanced| {
            let reply = Reply::checked(code, enhanced, "x").unwrap();
            match recipient_said(&reply) {
                Said::Taken(_) => "taken",
                Said::Later(_) => "later",
                Said::Again(_) => "again",
                Said::Never(_) => "never",
            }
        };
        for (code, enhanced, expected) in [
            (250, None, "taken"),
            (251, Some((2, 1, 5)), "taken"),
            (450, Some((4, 2, 0)), "later"),
            (452, None, "again"),
            (452, Some((4, 5, 3)), "again"),
            (452, Some((4, 2, 2)), "later"),
            (550, None, "never"),
            (552, Some((5, 2, 2)), "never"),
            (552, Some((5, 5, 3)), "again"),
            (503, None, "later"),
            (354, None, "later"),
        ] {
            assert_eq!(said(code, enhanced), expected, "{code} {enhanced:?}");
        }
    }

    #[test]
    fn a_header_ends_at_the_empty_line() {
        assert_eq!(header(b"A: b\r\n\r\nbody"), b"A: b");
        assert_eq!(header(b"A: b"), b"A: b");
    }
}
