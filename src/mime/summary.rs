//! Facts of a message for SQL columns: readable, short, and always storable.
//!
//! A `text` column never decides whether mail can be stored: every string here is valid UTF-8 without NUL or line ends
//! and at most [`TEXT_MAX`] characters long.

use jiff::Timestamp;
use jiff::civil;

use super::address::{Address, Mailbox};
use super::charset;
use super::decode::{decode_words, filename};
use super::envelope::Envelope;
use super::part::Part;
use super::thread::thread_id;

/// Characters kept of each string.
pub const TEXT_MAX: usize = 1_000;
/// Recipients kept.
pub const RECIPIENTS_MAX: usize = 1_000;
/// File names kept.
pub const ATTACHMENTS_MAX: usize = 100;

/// What SQL columns say about a message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// Subject, decoded.
    pub subject: Option<String>,
    /// Address of the first mailbox in From.
    pub from: Option<String>,
    /// Its display name, decoded.
    pub from_name: Option<String>,
    /// Addresses of To, then Cc.
    pub to: Vec<String>,
    /// Message-ID as written, angle brackets included.
    pub message_id: Option<String>,
    /// In-Reply-To as written.
    pub in_reply_to: Option<String>,
    /// Date, and its offset from UTC in minutes.
    pub date: Option<(Timestamp, i32)>,
    /// File names of parts that have one, decoded.
    pub attachments: Vec<String>,
    /// The conversation it belongs to, as THREADID is written.
    pub thread: Option<String>,
}

impl Summary {
    /// Gathers the facts of a message from its header block and its tree.
    #[must_use]
    pub fn new(header: &[u8], root: &Part) -> Summary {
        let envelope = Envelope::parse(header);
        let sender = mailboxes(&envelope.from).next();
        let recipients = mailboxes(&envelope.to).chain(mailboxes(&envelope.cc));
        let names = root.walk().filter_map(filename);
        Summary {
            subject: envelope.subject.as_deref().map(decode_words).map(clean),
            from: sender.map(address),
            from_name: sender.and_then(|m| m.name.as_deref()).map(decode_words).map(clean),
            to: recipients.take(RECIPIENTS_MAX).map(address).collect(),
            message_id: envelope.message_id.as_deref().map(charset::guess).map(clean),
            in_reply_to: envelope.in_reply_to.as_deref().map(charset::guess).map(clean),
            date: envelope.date.as_deref().and_then(date),
            attachments: names.take(ATTACHMENTS_MAX).map(clean).collect(),
            thread: thread_id(header),
        }
    }
}

fn mailboxes(list: &[Address]) -> impl Iterator<Item = &Mailbox> {
    list.iter().filter_map(|address| match address {
        Address::Mailbox(mailbox) => Some(mailbox),
        Address::GroupStart(_) | Address::GroupEnd => None,
    })
}

/// The addr-spec, its local part quoted where RFC 5322 §3.4.1 demands it; the local part alone if there is no domain.
fn address(mailbox: &Mailbox) -> String {
    let atext = |b: &u8| b.is_ascii_alphanumeric() || !b.is_ascii() || b"!#$%&'*+-/=?^_`{|}~.".contains(b);
    let atom = mailbox.local.iter().all(atext) && !mailbox.local.is_empty();
    let local = charset::guess(&mailbox.local);
    let local = if atom || mailbox.domain.is_empty() {
        local
    } else {
        format!("\"{}\"", local.replace('\\', "\\\\").replace('"', "\\\""))
    };
    if mailbox.domain.is_empty() {
        return clean(local);
    }
    clean(format!("{local}@{}", charset::guess(&mailbox.domain)))
}

/// Makes a string fit for a column: control characters become spaces, NUL nothing, and the rest is cut off.
fn clean(text: String) -> String {
    let kept = text.chars().filter(|c| *c != '\0').map(|c| if c.is_control() { ' ' } else { c });
    kept.take(TEXT_MAX).collect()
}

/// Longest date read; comments in it may be anything.
const DATE_MAX: usize = 200;

fn date(value: &[u8]) -> Option<(Timestamp, i32)> {
    let text = std::str::from_utf8(value.get(..DATE_MAX).unwrap_or(value)).ok()?;
    let date = mail_parser::DateTime::parse_rfc822(text)?;
    let year = i16::try_from(date.year).ok()?;
    let small = |n: u8| i8::try_from(n).ok();
    // RFC 5322 §3.3 allows a leap second; clocks here don't.
    let second = small(date.second.min(59))?;
    let local = civil::DateTime::new(
        year,
        small(date.month)?,
        small(date.day)?,
        small(date.hour)?,
        small(date.minute)?,
        second,
        0,
    )
    .ok()?;
    let offset = i32::from(date.tz_hour) * 60 + i32::from(date.tz_minute);
    let offset = if date.tz_before_gmt { -offset } else { offset };
    let zone = jiff::tz::Offset::from_seconds(offset * 60).ok()?;
    Some((zone.to_timestamp(local).ok()?, offset))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mime::structure::{Builder, Limits};

    fn summary(message: &[u8]) -> Summary {
        let mut builder = Builder::new(Limits::default());
        builder.feed(message);
        let parsed = builder.finish();
        Summary::new(&parsed.header, &parsed.root)
    }

    #[test]
    fn nothing_gives_nothing() {
        assert_eq!(summary(b""), Summary::default());
        for date in ["", "yesterday", "Mon, 99 Jan 2024 10:00:00 +0000"] {
            assert_eq!(summary(format!("Date: {date}\r\n\r\n").as_bytes()).date, None, "{date}");
        }
    }

    #[test]
    fn everything() {
        let found = summary(
            "Date: Mon, 1 Jan 2024 10:00:00 +0130\r\nSubject: =?utf-8?q?gr=C3=BCn?=\r\n =?utf-8?q?er=00=0A?=\r\n\
            From: g: =?utf-8?q?J=C3=B6?= <\"j d\"@b.c>;\r\nTo: a@b, c\r\nCc: \"q\\\"\"@[1.2.3.4]\r\nMessage-ID: <1@b>\r\n\
            In-Reply-To: <0@b>\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\
            Content-Disposition: attachment; filename*=utf-8''%C3%BC.txt\r\n\r\n--x\r\n\
            Content-Type: image/png; name=a.png\r\n\r\n--x--\r\n"
                .as_bytes(),
        );
        assert_eq!(
            found,
            Summary {
                subject: Some("grüner ".into()),
                from: Some("\"j d\"@b.c".into()),
                from_name: Some("Jö".into()),
                to: vec!["a@b".into(), "c".into(), "\"q\\\"\"@[1.2.3.4]".into()],
                message_id: Some("<1@b>".into()),
                in_reply_to: Some("<0@b>".into()),
                date: Some(("2024-01-01T08:30:00Z".parse().unwrap(), 90)),
                attachments: vec!["ü.txt".into(), "a.png".into()],
                thread: thread_id(b"Message-ID: <0@b>\r\n\r\n"),
            }
        );
    }

    #[test]
    fn everything_is_capped() {
        let many = "a@b,".repeat(5_000);
        let found = summary(format!("Subject: {}\r\nTo: {many}\r\n\r\n", "ü".repeat(3_000)).as_bytes());
        assert_eq!(found.subject.unwrap().chars().count(), TEXT_MAX);
        assert_eq!(found.to.len(), RECIPIENTS_MAX);
    }

    proptest! {
        #[test]
        fn strings_are_storable(value in proptest::collection::vec(any::<u8>(), 0..80), date in "[0-9 :+a-zA-Z,()-]{0,40}") {
            let mut header = b"Subject: ".to_vec();
            header.extend_from_slice(&value);
            header.extend_from_slice(b"\r\nFrom: ");
            header.extend_from_slice(&value);
            header.extend_from_slice(format!("\r\nDate: {date}\r\n").as_bytes());
            let found = Summary::new(&header, &Part::default());
            for text in [found.subject, found.from, found.from_name].into_iter().flatten() {
                prop_assert!(!text.chars().any(|c| c.is_control()));
            }
        }
    }
}
