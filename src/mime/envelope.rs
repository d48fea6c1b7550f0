//! The envelope of a message, as IMAP shows it (RFC 9051 §7.5.2).

use serde::{Deserialize, Serialize};

use super::address::{Address, Mailbox, parse_list};
use super::header::{Field, fields, unfold};
use super::nstring::{write_nstring, write_string};

/// Addresses kept of one envelope, over all its fields.
pub const ADDRESSES_MAX: usize = 10_000;

/// The fields of an envelope: unfolded, undecoded bytes. An absent field is none, an empty one is empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Envelope {
    /// Date as written.
    pub date: Option<Vec<u8>>,
    /// Subject as written.
    pub subject: Option<Vec<u8>>,
    /// From.
    pub from: Vec<Address>,
    /// Sender; empty if absent, then [`write_envelope`] shows From.
    pub sender: Vec<Address>,
    /// Reply-To; empty if absent, then [`write_envelope`] shows From.
    pub reply_to: Vec<Address>,
    /// To.
    pub to: Vec<Address>,
    /// Cc.
    pub cc: Vec<Address>,
    /// Bcc.
    pub bcc: Vec<Address>,
    /// In-Reply-To as written.
    pub in_reply_to: Option<Vec<u8>>,
    /// Message-ID as written.
    pub message_id: Option<Vec<u8>>,
}

impl Envelope {
    /// Reads the envelope of a header block. At most [`ADDRESSES_MAX`] addresses are kept.
    #[must_use]
    pub fn parse(header: &[u8]) -> Envelope {
        let mut envelope = Envelope::default();
        let mut room = ADDRESSES_MAX;
        for field in fields(header) {
            envelope.take(&field, &mut room);
        }
        envelope
    }

    /// The first of several text fields counts; the addresses of several address fields are all kept.
    fn take(&mut self, field: &Field<'_>, room: &mut usize) {
        let texts = [
            ("date", &mut self.date),
            ("subject", &mut self.subject),
            ("in-reply-to", &mut self.in_reply_to),
            ("message-id", &mut self.message_id),
        ];
        for (name, text) in texts {
            if field.is(name) && text.is_none() {
                *text = Some(unfold(field.value));
            }
        }
        let lists = [
            ("from", &mut self.from),
            ("sender", &mut self.sender),
            ("reply-to", &mut self.reply_to),
            ("to", &mut self.to),
            ("cc", &mut self.cc),
            ("bcc", &mut self.bcc),
        ];
        for (name, list) in lists {
            if field.is(name) {
                let more = parse_list(field.value, *room);
                *room = room.saturating_sub(more.len());
                list.extend(more);
            }
        }
    }

    /// The six address fields.
    pub(super) fn lists(&self) -> [&[Address]; 6] {
        [&self.from, &self.sender, &self.reply_to, &self.to, &self.cc, &self.bcc]
    }

    /// The four text fields.
    pub(super) fn texts(&self) -> [Option<&[u8]>; 4] {
        [&self.date, &self.subject, &self.in_reply_to, &self.message_id].map(Option::as_deref)
    }
}

/// Writes the envelope: `(date subject from sender reply-to to cc bcc in-reply-to message-id)`.
///
/// Sender and Reply-To that are absent or empty show From (RFC 9051 §7.5.2).
pub fn write_envelope(envelope: &Envelope, out: &mut Vec<u8>) {
    let or_from = |list| if <[Address]>::is_empty(list) { envelope.from.as_slice() } else { list };
    out.push(b'(');
    write_nstring(envelope.date.as_deref(), out);
    out.push(b' ');
    write_nstring(envelope.subject.as_deref(), out);
    out.push(b' ');
    write_addresses(&envelope.from, out);
    out.push(b' ');
    write_addresses(or_from(&envelope.sender), out);
    out.push(b' ');
    write_addresses(or_from(&envelope.reply_to), out);
    for list in [&envelope.to, &envelope.cc, &envelope.bcc] {
        out.push(b' ');
        write_addresses(list, out);
    }
    out.push(b' ');
    write_nstring(envelope.in_reply_to.as_deref(), out);
    out.push(b' ');
    write_nstring(envelope.message_id.as_deref(), out);
    out.push(b')');
}

/// Writes addresses: `((name adl mailbox host) …)`, or `NIL` for none.
pub fn write_addresses(list: &[Address], out: &mut Vec<u8>) {
    if list.is_empty() {
        return write_nstring(None, out);
    }
    out.push(b'(');
    for address in list {
        match address {
            Address::Mailbox(mailbox) => write_mailbox(mailbox, out),
            // A group begins with its name as mailbox and no host, and ends with neither.
            Address::GroupStart(name) => {
                out.extend_from_slice(b"(NIL NIL ");
                write_string(name, out);
                out.extend_from_slice(b" NIL)");
            }
            Address::GroupEnd => out.extend_from_slice(b"(NIL NIL NIL NIL)"),
        }
    }
    out.push(b')');
}

/// A missing host is written as an empty string, since `NIL` there would mean a group.
fn write_mailbox(mailbox: &Mailbox, out: &mut Vec<u8>) {
    out.push(b'(');
    write_nstring(mailbox.name.as_deref(), out);
    out.push(b' ');
    write_nstring(mailbox.route.as_deref(), out);
    out.push(b' ');
    write_string(&mailbox.local, out);
    out.push(b' ');
    write_string(&mailbox.domain, out);
    out.push(b')');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(header: &str) -> String {
        let mut out = Vec::new();
        write_envelope(&Envelope::parse(header.as_bytes()), &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn absent_is_nil_and_empty_is_empty() {
        assert_eq!(written(""), "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)");
        assert_eq!(
            written("Subject:\r\nMessage-ID: \r\nTo:\r\n\r\n"),
            "(NIL \"\" NIL NIL NIL NIL NIL NIL NIL \"\")"
        );
    }

    #[test]
    fn sender_and_reply_to_default_to_from() {
        assert_eq!(
            written("From: a@b\r\nSender:\r\nReply-To: c@d\r\n\r\n"),
            "(NIL NIL ((NIL NIL \"a\" \"b\")) ((NIL NIL \"a\" \"b\")) ((NIL NIL \"c\" \"d\")) NIL NIL NIL NIL NIL)"
        );
    }

    #[test]
    fn first_text_counts_and_lists_add_up() {
        assert_eq!(
            written("Subject: 1\nSubject: 2\nTo: a@b\nTo: g:;\n"),
            "(NIL \"1\" NIL NIL NIL ((NIL NIL \"a\" \"b\")(NIL NIL \"g\" NIL)(NIL NIL NIL NIL)) NIL NIL NIL NIL)"
        );
    }

    #[test]
    fn addresses_are_limited() {
        let header = format!("To: {}\r\nCc: {}\r\n", "a@b,".repeat(9_000), "a@b,".repeat(9_000));
        let envelope = Envelope::parse(header.as_bytes());
        assert_eq!(envelope.to.len() + envelope.cc.len(), ADDRESSES_MAX);
    }
}
