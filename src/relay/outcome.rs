//! From what was said about a recipient to what becomes of it: delivered, tried again, given up; and whom to tell.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::hosts::random;
use super::report::Kind;
use super::transaction::Said;
use crate::control::Config;
use crate::queue::{Down, Message, Recipient, Settled, Verdict};
use crate::smtp::rcpt::{Notify, NotifyOn};

/// Longest time for which a destination that can't be reached is left alone.
const LONGEST_DOWN: Duration = Duration::from_secs(1800);

/// An outcome on its way to the tables, and what its sender is told.
#[derive(Debug)]
pub(super) enum Finished {
    /// Of a recipient. Boxed: there are thousands in a channel.
    Recipient(Box<Settled>, Option<Kind>, Voice),
    /// Its sender is told; what became of the recipient is committed already.
    Told(Box<Settled>, Kind, Voice),
    /// A destination cannot be reached, or can again (`wait` is zero).
    Destination(Down),
}

/// Who said what was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Voice {
    Remote,
    Own,
}

/// How and where an attempt was made.
#[derive(Debug, Clone, Default)]
pub(super) struct Attempt {
    pub(super) host: Option<String>,
    pub(super) address: Option<IpAddr>,
    pub(super) tls: Option<String>,
    pub(super) took: Duration,
    /// The server sends reports of delivery itself.
    pub(super) reports: bool,
}

/// Judges what was said about a recipient.
pub(super) fn judge(
    config: &Config,
    message: &Arc<Message>,
    domain: &Arc<str>,
    recipient: Recipient,
    said: Said,
    attempt: &Attempt,
    voice: Voice,
) -> Finished {
    let now = Timestamp::now();
    let wants = Wants::of(message, &recipient);
    let (verdict, reply, report) = match said {
        Said::Taken(reply) => {
            let kind = match (attempt.reports, voice) {
                // It has taken that over.
                (true, _) => None,
                (false, Voice::Own) => Some(Kind::Delivered),
                (false, Voice::Remote) => Some(Kind::Relayed),
            };
            let traced = voice == Voice::Remote && message.envelope.deliver_by.is_some_and(|by| by.trace);
            (Verdict::Delivered, reply, kind.filter(|_| wants.success || traced))
        }
        Said::Never(reply) => (Verdict::Failed, reply, wants.failure.then_some(Kind::Failed)),
        Said::Later(reply) | Said::Again(reply) => delay(config, message, &recipient, reply, now, wants),
    };
    let settled = Settled {
        message: message.clone(),
        recipient,
        domain: domain.clone(),
        verdict,
        host: attempt.host.clone(),
        address: attempt.address,
        tls: attempt.tls.clone(),
        reply,
        took: attempt.took,
    };
    Finished::Recipient(Box::new(settled), report.filter(|_| !message.envelope.sender.is_empty()), voice)
}

fn delay(
    config: &Config,
    message: &Message,
    recipient: &Recipient,
    reply: String,
    now: Timestamp,
    wants: Wants,
) -> (Verdict, String, Option<Kind>) {
    let expires = expires(config, message);
    let by = message.envelope.deliver_by.filter(|by| by.at <= now);
    if by.is_some_and(|by| by.return_after) {
        let reply =
            format!("550 5.4.7 the time that the sender gave for delivery is over (RFC 2852); {reply}");
        return (Verdict::Failed, reply, wants.failure.then_some(Kind::Failed));
    }
    if now >= expires {
        let hours = (now.as_second() - message.received_at.as_second()) / 3600;
        let reply = format!("550 5.4.7 not delivered within {hours} hours; {reply}");
        return (Verdict::Expired, reply, wants.failure.then_some(Kind::Failed));
    }
    let hours = config.relay.delay_warning_hours;
    let late = hours > 0 && now.as_second() - message.received_at.as_second() >= hours * 3600;
    let tell = (late || by.is_some())
        && wants.delay
        && !recipient.delay_reported
        && !message.envelope.sender.is_empty();
    let next = next_attempt(config, recipient.attempts, now).min(expires);
    (Verdict::Delayed { next, reported: tell }, reply, tell.then_some(Kind::Delayed))
}

/// When a message is given up.
pub(super) fn expires(config: &Config, message: &Message) -> Timestamp {
    let hours = match message.envelope.sender.is_empty() {
        true => config.relay.bounce_expire_hours,
        false => config.relay.expire_hours,
    };
    let expires = message.received_at.checked_add(SignedDuration::from_hours(hours));
    let expires = expires.unwrap_or(Timestamp::MAX);
    match message.envelope.deliver_by {
        Some(by) if by.return_after => expires.min(by.at),
        _ => expires,
    }
}

/// When it is tried again after so many attempts before this one: as the schedule says, a tenth more or less, so that what
/// failed together does not come back together.
fn next_attempt(config: &Config, before: i32, now: Timestamp) -> Timestamp {
    let at = usize::try_from(before).unwrap_or(0);
    let seconds = config.retry.get(at).or(config.retry.last()).copied().unwrap_or(900);
    let millis = i64::from(seconds) * 1000;
    let tenth = usize::try_from(millis / 10).unwrap_or(0);
    let wait = millis - millis / 10 + i64::try_from(random(2 * tenth + 1)).unwrap_or(0);
    now.checked_add(SignedDuration::from_millis(wait)).unwrap_or(Timestamp::MAX)
}

/// How long a destination is left alone that could not be reached so often in a row before.
pub(super) fn down_for(failures: i32) -> Duration {
    let doubled = 60u64.saturating_mul(1 << failures.clamp(0, 6));
    Duration::from_secs(doubled).min(LONGEST_DOWN)
}

/// What the sender wants to hear of (RFC 3461 §4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wants {
    success: bool,
    failure: bool,
    delay: bool,
}

impl Wants {
    fn of(message: &Message, recipient: &Recipient) -> Self {
        if message.envelope.sender.is_empty() {
            return Self { success: false, failure: false, delay: false };
        }
        match recipient.notify {
            None => Self { success: false, failure: true, delay: true },
            Some(Notify::Never) => Self { success: false, failure: false, delay: false },
            Some(Notify::On(NotifyOn { success, failure, delay })) => Self { success, failure, delay },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_left_alone_for_longer_and_longer() {
        let waits: Vec<u64> = (0..8).map(|failures| down_for(failures).as_secs()).collect();
        assert_eq!(waits, [60, 120, 240, 480, 960, 1800, 1800, 1800]);
        assert_eq!(down_for(-1).as_secs(), 60);
    }
}
