//! Reports of delivery (RFC 3464): their bytes. What is reported to whom is decided in `notify`.
//!
//! A report is a message like any other: lines of ASCII with CRLF, unless it returns text that is not (then its parts say so,
//! RFC 6533 under SMTPUTF8). Everything that comes from elsewhere is freed of control characters, so that no reply of a server
//! can add a field.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use crate::mail::DateTime;
use crate::smtp::xtext;

/// What a report tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Failed,
    Delayed,
    Delivered,
    Relayed,
}

impl Kind {
    /// The name of its text in `control.template`.
    pub(super) fn template(self) -> &'static str {
        match self {
            Kind::Failed => "failed",
            Kind::Delayed => "delayed",
            Kind::Delivered => "delivered",
            Kind::Relayed => "relayed",
        }
    }

    /// The value of Action (RFC 3464 §2.3.3), which is the same word.
    fn action(self) -> &'static str {
        self.template()
    }
}

/// A recipient that is reported.
#[derive(Debug)]
pub(super) struct About {
    pub(super) address: String,
    /// ORCPT as written.
    pub(super) original: Option<String>,
    pub(super) host: Option<String>,
    /// What was said.
    pub(super) reply: String,
    /// Whether another server said it.
    pub(super) remote: bool,
    pub(super) retry_until: Option<Timestamp>,
}

/// What comes back of the message.
#[derive(Debug)]
pub(super) enum Returned {
    Header(Vec<u8>),
    Whole(Vec<u8>),
}

/// A report.
#[derive(Debug)]
pub(super) struct Report<'a> {
    pub(super) kind: Kind,
    pub(super) hostname: &'a str,
    /// The sender of the message, who gets it.
    pub(super) to: &'a str,
    pub(super) subject: &'a str,
    pub(super) body: &'a str,
    pub(super) envelope_id: Option<&'a str>,
    pub(super) received_at: Timestamp,
    pub(super) at: Timestamp,
    /// Unique for this report; letters, digits, dots and hyphens.
    pub(super) id: &'a str,
    /// Message-ID of the message, without angle brackets.
    pub(super) about_message: Option<&'a str>,
    /// Whether its sender asked for SMTPUTF8.
    pub(super) utf8: bool,
    pub(super) recipients: &'a [About],
    pub(super) returned: Returned,
}

impl Report<'_> {
    /// The message.
    pub(super) fn write(&self) -> Vec<u8> {
        let mut out = String::new();
        // Writing to memory does not fail.
        self.try_write(&mut out).ok();
        let mut bytes = out.into_bytes();
        let (Returned::Header(returned) | Returned::Whole(returned)) = &self.returned;
        bytes.extend_from_slice(returned);
        if !returned.ends_with(b"\r\n") {
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(format!("\r\n--{}--\r\n", self.boundary()).as_bytes());
        bytes
    }

    fn boundary(&self) -> String {
        format!("report-{}", self.id)
    }

    fn try_write(&self, out: &mut String) -> std::fmt::Result {
        let (host, id, boundary) = (self.hostname, self.id, self.boundary());
        write!(out, "From: Mail Delivery System <MAILER-DAEMON@{host}>\r\nTo: <{}>\r\n", clean(self.to))?;
        write!(out, "Subject: {}\r\n", encoded(self.subject))?;
        write!(out, "Date: {}\r\n", date(self.at))?;
        write!(out, "Message-ID: <{id}@{host}>\r\n")?;
        if let Some(about) = self.about_message {
            let about = clean(about);
            write!(out, "In-Reply-To: <{about}>\r\nReferences: <{about}>\r\n")?;
        }
        // RFC 3834 §5.
        out.push_str("Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n");
        write!(
            out,
            "Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"{boundary}\"\r\n\r\n"
        )?;
        write!(out, "--{boundary}\r\n")?;
        self.words(out)?;
        write!(out, "\r\n--{boundary}\r\n")?;
        self.status(out)?;
        write!(out, "\r\n--{boundary}\r\n")?;
        self.introduce_returned(out)
    }

    fn words(&self, out: &mut String) -> std::fmt::Result {
        let text = self.body.lines().map(|line| format!("{line}\r\n")).collect::<String>();
        if text.is_ascii() && text.lines().all(|line| line.len() < 990) {
            return write!(out, "Content-Type: text/plain; charset=us-ascii\r\n\r\n{text}");
        }
        out.push_str("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n");
        let encoded = STANDARD.encode(text);
        let mut rest = encoded.as_str();
        while let Some((line, more)) = rest.split_at_checked(76) {
            write!(out, "{line}\r\n")?;
            rest = more;
        }
        write!(out, "{rest}\r\n")
    }

    fn status(&self, out: &mut String) -> std::fmt::Result {
        let international = self.utf8 && self.recipients.iter().any(|about| !about.address.is_ascii());
        if international {
            out.push_str(
                "Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
            );
        } else {
            out.push_str("Content-Type: message/delivery-status\r\n\r\n");
        }
        if let Some(id) = self.envelope_id {
            field(out, "Original-Envelope-Id", &xtext::encode(id.as_bytes()))?;
        }
        field(out, "Reporting-MTA", &format!("dns; {}", self.hostname))?;
        field(out, "Arrival-Date", &date(self.received_at))?;
        for about in self.recipients {
            out.push_str("\r\n");
            if let Some(original) = about.original.as_deref().and_then(|original| original.split_once(';')) {
                let (kind, address) = original;
                let address = match kind.eq_ignore_ascii_case("utf-8") {
                    true => xtext::decode_utf8_address(address).unwrap_or_else(|_| address.to_owned()),
                    false => xtext::decode_text(address.as_bytes()).unwrap_or_else(|_| address.to_owned()),
                };
                let address = if international { address } else { ascii(&address) };
                field(out, "Original-Recipient", &format!("{kind}; {address}"))?;
            }
            let (kind, address) = match (about.address.is_ascii(), international) {
                (true, _) => ("rfc822", about.address.clone()),
                (false, true) => ("utf-8", about.address.clone()),
                // RFC 6533 §3: for those who know no UTF-8.
                (false, false) => ("utf-8", xtext::encode_utf8_xtext(&about.address)),
            };
            field(out, "Final-Recipient", &format!("{kind}; {address}"))?;
            field(out, "Action", self.kind.action())?;
            field(out, "Status", &self.status_code(&about.reply))?;
            if let Some(host) = &about.host {
                field(out, "Remote-MTA", &format!("dns; {host}"))?;
            }
            if matches!(self.kind, Kind::Failed | Kind::Delayed) {
                let kind = if about.remote { "smtp" } else { "X-Mailwright" };
                field(out, "Diagnostic-Code", &format!("{kind}; {}", ascii(&about.reply)))?;
            }
            field(out, "Last-Attempt-Date", &date(self.at))?;
            if let Some(until) = about.retry_until.filter(|_| self.kind == Kind::Delayed) {
                field(out, "Will-Retry-Until", &date(until))?;
            }
        }
        Ok(())
    }

    /// The enhanced code that was said, if it fits the report, or one that says no more than that.
    fn status_code(&self, reply: &str) -> String {
        let class = match self.kind {
            Kind::Failed => "5",
            Kind::Delayed => "4",
            Kind::Delivered | Kind::Relayed => "2",
        };
        let said = reply.split(' ').take(2).find(|word| {
            let mut parts = word.split('.');
            let number = |part: Option<&str>| {
                part.is_some_and(|p| (1..=3).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_digit()))
            };
            parts.next() == Some(class)
                && number(parts.next())
                && number(parts.next())
                && parts.next().is_none()
        });
        said.map_or_else(|| format!("{class}.0.0"), str::to_owned)
    }

    fn introduce_returned(&self, out: &mut String) -> std::fmt::Result {
        let (bytes, plain, global) = match &self.returned {
            Returned::Header(bytes) => (bytes, "text/rfc822-headers", "message/global-headers"),
            Returned::Whole(bytes) => (bytes, "message/rfc822", "message/global"),
        };
        let eight_bit = !bytes.is_ascii();
        let kind = if eight_bit && self.utf8 { global } else { plain };
        write!(out, "Content-Type: {kind}\r\n")?;
        if eight_bit {
            out.push_str("Content-Transfer-Encoding: 8bit\r\n");
        }
        out.push_str("\r\n");
        Ok(())
    }
}

fn date(at: Timestamp) -> String {
    DateTime::new(at, 0).to_rfc5322()
}

/// Without control characters.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Without control characters, and with ? for what is not ASCII.
fn ascii(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect()
}

/// A field, folded where it is long.
fn field(out: &mut String, name: &str, value: &str) -> std::fmt::Result {
    const ROOM: usize = 900;
    let value = clean(value);
    write!(out, "{name}: ")?;
    let mut rest = value.as_str();
    while rest.len() > ROOM {
        let cut = rest.floor_char_boundary(ROOM);
        let Some((line, more)) = rest.split_at_checked(cut) else { break };
        write!(out, "{line}\r\n ")?;
        rest = more;
    }
    write!(out, "{rest}\r\n")
}

/// A Subject's value: as it is, or in encoded words (RFC 2047).
fn encoded(text: &str) -> String {
    let text = clean(text);
    if text.is_ascii() && text.len() < 900 {
        return text;
    }
    let mut words = Vec::new();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        // 45 bytes make 60 characters of base64, and 75 are allowed.
        let Some((word, more)) = rest.split_at_checked(rest.floor_char_boundary(45)) else { break };
        words.push(format!("=?utf-8?B?{}?=", STANDARD.encode(word)));
        rest = more;
    }
    words.join("\r\n ")
}

/// A text with the words in braces replaced by what they stand for.
pub(super) fn filled(text: &str, words: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let known = after.split_once('}').and_then(|(word, after)| {
            words.iter().find(|(name, _)| *name == word).map(|(_, value)| (*value, after))
        });
        match known {
            Some((value, after)) => {
                out.push_str(value);
                rest = after;
            }
            None => {
                out.push('{');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail_parser::{MessageParser, MimeHeaders};

    fn report(kind: Kind, recipients: &[About], returned: Returned, utf8: bool) -> String {
        let report = Report {
            kind,
            hostname: "mail.example.test",
            to: "alice@example.test",
            subject: "Not delivered: Grüße an alle",
            body: "Line one\nLine two",
            envelope_id: Some("Q+1"),
            received_at: Timestamp::UNIX_EPOCH,
            at: Timestamp::UNIX_EPOCH,
            id: "7-1",
            about_message: Some("x@y.test"),
            utf8,
            recipients,
            returned,
        };
        String::from_utf8(report.write()).unwrap()
    }

    fn about(address: &str, reply: &str) -> About {
        About {
            address: address.to_owned(),
            original: Some("rfc822;b+2Bc@z.test".to_owned()),
            host: Some("mx.y.test".to_owned()),
            reply: reply.to_owned(),
            remote: true,
            retry_until: Some(Timestamp::UNIX_EPOCH),
        }
    }

    #[test]
    fn a_failure_report_is_a_multipart_report() {
        let header = Returned::Header(b"From: a\r\nSubject: b\r\n\r\n".to_vec());
        let text = report(
            Kind::Failed,
            &[about("bob@y.test", "550 5.1.1 No such user\r\nX-Evil: yes")],
            header,
            false,
        );
        let parsed = MessageParser::default().parse(&text).unwrap();
        assert_eq!(parsed.content_type().unwrap().subtype(), Some("report"));
        assert_eq!(parsed.parts.len(), 4);
        assert_eq!(parsed.subject(), Some("Not delivered: Grüße an alle"));
        assert_eq!(parsed.body_text(0).unwrap(), "Line one\r\nLine two\r\n");
        for line in [
            "Original-Envelope-Id: Q+2B1\r\n",
            "Reporting-MTA: dns; mail.example.test\r\n",
            "Original-Recipient: rfc822; b+c@z.test\r\n",
            "Final-Recipient: rfc822; bob@y.test\r\n",
            "Action: failed\r\nStatus: 5.1.1\r\nRemote-MTA: dns; mx.y.test\r\n",
            "Diagnostic-Code: smtp; 550 5.1.1 No such user??X-Evil: yes\r\n",
            "Content-Type: text/rfc822-headers\r\n\r\nFrom: a\r\n",
            "In-Reply-To: <x@y.test>\r\n",
            "Auto-Submitted: auto-replied\r\n",
        ] {
            assert!(text.contains(line), "{line:?} is not in\n{text}");
        }
        assert!(!text.contains("Will-Retry-Until") && text.is_ascii());
    }

    #[test]
    fn codes_that_do_not_fit_are_not_repeated() {
        let empty = || Returned::Header(Vec::new());
        let text = report(Kind::Delayed, &[about("bob@y.test", "451 4.3.0 later")], empty(), false);
        assert!(text.contains("Action: delayed\r\nStatus: 4.3.0\r\n") && text.contains("Will-Retry-Until: "));
        let text = report(Kind::Failed, &[about("bob@y.test", "451 4.3.0 too long")], empty(), false);
        assert!(text.contains("Status: 5.0.0\r\n"));
        let text = report(Kind::Relayed, &[about("bob@y.test", "250 ok")], empty(), false);
        assert!(text.contains("Action: relayed\r\nStatus: 2.0.0\r\n") && !text.contains("Diagnostic"));
    }

    #[test]
    fn addresses_beyond_ascii() {
        let whole = || Returned::Whole("Subject: ü\r\n\r\nx".as_bytes().to_vec());
        let text = report(Kind::Failed, &[about("bücher@y.test", "550 ü")], whole(), true);
        assert!(text.contains("message/global-delivery-status") && text.contains("utf-8; bücher@y.test"));
        assert!(text.contains("Content-Type: message/global\r\nContent-Transfer-Encoding: 8bit"));
        let text = report(Kind::Failed, &[about("bücher@y.test", "550 ü")], whole(), false);
        assert!(text.contains("utf-8; b\\x{FC}cher@y.test"), "{text}");
        assert!(text.contains("message/delivery-status") && text.contains("message/rfc822"));
    }

    #[test]
    fn long_replies_are_folded() {
        let text = report(
            Kind::Failed,
            &[about("b@y.test", &"x".repeat(3000))],
            Returned::Header(Vec::new()),
            false,
        );
        assert!(text.lines().all(|line| line.len() < 998));
    }

    #[test]
    fn texts_are_filled() {
        let words = [("a", "1"), ("b", "{a}")];
        assert_eq!(filled("{a}-{b}-{c}-{", &words), "1-{a}-{c}-{");
    }
}
